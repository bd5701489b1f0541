// SPDX-License-Identifier: Apache-2.0
// Addresses as users write them.
import EftBenchmarks
import Testing

@Suite struct ServerTargetTests {
    @Test(
        arguments: [
            ("http://127.0.0.1:8000", "127.0.0.1", 8000, ""),
            ("http://localhost:80/", "localhost", 80, ""),
            ("http://example.org", "example.org", 80, ""),
            ("http://[::1]:9000/prefix/", "::1", 9000, "/prefix"),
            ("http://[::1]", "::1", 80, ""),
            ("http://host:1/a/b", "host", 1, "/a/b"),
        ] as [(String, String, UInt16, String)])
    func `parts of an address`(
        _ url: String, _ host: String, _ port: UInt16, _ prefix: String
    ) throws {
        let target = try ServerTarget(url: url)
        #expect(target.host == host && target.port == port && target.prefix == prefix)
    }

    @Test(arguments: [
        "", "127.0.0.1:8000", "https://host", "http://", "http://:80", "http://host:x",
        "http://host:70000", "http://host:-1", "http://ho st", "http://host/a b",
        "http://host/\r\nX: y",
    ])
    func `what is no address is refused`(_ url: String) {
        #expect(throws: HTTPClientError.self) { try ServerTarget(url: url) }
    }

    @Test func `a request has all that it needs`() throws {
        var target = try ServerTarget(url: "http://[::1]:9/x")
        target.key = "secret"
        let bytes = target.request("POST", "/v1", body: Array("{}".utf8))
        #expect(
            String(decoding: bytes, as: UTF8.self) == """
                POST /x/v1 HTTP/1.1\r
                Host: [::1]:9\r
                User-Agent: eft-bench\r
                Accept: */*\r
                Connection: close\r
                Authorization: Bearer secret\r
                Content-Type: application/json\r
                Content-Length: 2\r
                \r
                {}
                """)
    }
}
