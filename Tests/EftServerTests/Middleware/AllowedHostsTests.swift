// SPDX-License-Identifier: Apache-2.0
import EftConfig
import Testing

@testable import EftServer

/// Under which names a server answers.
struct AllowedHostsTests {
    private static let loopback = ServerAddress.tcp(host: "127.0.0.1", port: 8000)
    private static let everywhere = ServerAddress.tcp(host: "0.0.0.0", port: 8000)

    /// Whether a server answers to a host; nil for a request that names none.
    private func answers(_ hosts: AllowedHosts, _ host: String?) -> Bool {
        var fields = HeaderFields()
        if let host { fields.add("Host", host) }
        let head = RequestHead(method: "GET", target: "/", fields: fields, peer: "127.0.0.1")
        do throws(HTTPFailure) {
            try hosts.check(head)
            return true
        } catch {
            #expect(error.status == 403)
            #expect(error.message.contains("--allowed-hosts"))
            return false
        }
    }

    private static let own = [
        "localhost", "localhost:8000", "LOCALHOST:1", "localhost.", "LocalHost.:8000", "localhost:",
        "127.0.0.1", "127.0.0.1:8000", "127.1.2.3", "127.255.255.255:65535", "[::1]",
        "[::1]:8000", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]:8000", "127.0.0.1.",
    ]

    private static let strange = [
        "evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example",
        "localhost@evil.example", "evil.example/localhost", "", ":8000", ".", "localhost..",
        "localhost:80:80", "localhost:x", "localhost:99999", "localhost:-1", "127.1", "2130706433",
        "0x7f000001", "0x7f.1", "127.0.0.01", "127.0.0.256", "[::1", "::1", "[]", "[::1]x",
        "[::1]evil.example", "[::g]", "local host", "localhost\u{0}", "localhost,evil.example",
        "lokalhost", "xn--localhost", "local", "a.local.example", "a.xlocal", "a.internals",
        "\u{212A}localhost", "localhost%00", "[localhost]",
        String(repeating: "a", count: 300),
    ]

    @Test func `a server of this machine answers to the names of this machine`() {
        for address in [
            AllowedHostsTests.loopback, .tcp(host: "localhost", port: 1),
            .tcp(host: "::1", port: 1),
        ] {
            let hosts = AllowedHosts(address, added: [], hasKeys: false)
            for host in AllowedHostsTests.own { #expect(answers(hosts, host), "\(host)") }
            for host in AllowedHostsTests.strange + [
                "192.168.1.5", "10.0.0.1:80", "[fe80::1]", "box.local", "host.docker.internal",
            ] {
                #expect(!answers(hosts, host), "\(host)")
            }
            #expect(answers(hosts, nil))
        }
    }

    @Test func `a server of a network answers to all addresses, but not to all names`() {
        for address in [
            AllowedHostsTests.everywhere, .tcp(host: "::", port: 1),
            .tcp(host: "192.168.1.5", port: 1),
        ] {
            let hosts = AllowedHosts(address, added: [], hasKeys: false)
            for host in AllowedHostsTests.own + [
                "192.168.1.5:8000", "10.0.0.1", "0.0.0.0:8000", "[fe80::1]:80", "[fe80::1%25eth0]",
                "[2001:db8::1]", "host.docker.internal:8000", "Box.LOCAL", "eft.localhost.",
            ] {
                #expect(answers(hosts, host), "\(host)")
            }
            for host in AllowedHostsTests.strange { #expect(!answers(hosts, host), "\(host)") }
        }
    }

    @Test func `further names are added`() {
        let hosts = AllowedHosts(
            AllowedHostsTests.loopback, added: ["Chat.Example", "10.1.2.3", "::2", "other:80"],
            hasKeys: false)
        for host in [
            "chat.example", "CHAT.EXAMPLE.:99", "10.1.2.3:1", "[::2]", "other", "other:81",
            "localhost",
        ] {
            #expect(answers(hosts, host), "\(host)")
        }
        for host in ["a.chat.example", "chat.example.evil", "10.1.2.4"] {
            #expect(!answers(hosts, host), "\(host)")
        }
    }

    @Test func `any host is taken with a star, with keys, and at a socket in the file system`() {
        let any = [
            AllowedHosts(AllowedHostsTests.loopback, added: ["*"], hasKeys: false),
            AllowedHosts(AllowedHostsTests.everywhere, added: [], hasKeys: true),
            AllowedHosts(.unix(path: "/tmp/x"), added: [], hasKeys: false), .any,
        ]
        for hosts in any { #expect(answers(hosts, "evil.example")) }
        // Names that are listed hold with keys too.
        let listed = AllowedHosts(AllowedHostsTests.loopback, added: ["a.example"], hasKeys: true)
        #expect(answers(listed, "a.example"))
        #expect(!answers(listed, "evil.example"))
    }

    @Test func `what can be no host is known as such`() {
        for text in ["chat.example", "*", "::1", "[::1]", "10.0.0.1", "a:80"] {
            #expect(AllowedHosts.isHost(text), "\(text)")
        }
        for text in ["", "a b", "http://a.example", "a/b", "*.example", "1.2.3"] {
            #expect(!AllowedHosts.isHost(text), "\(text)")
        }
    }

    @Test func `a wrong host is refused before anything else, also at open routes`() throws {
        let demo = try DemoServer.shared()
        var options = ApplicationOptions()
        options.hosts = AllowedHosts(AllowedHostsTests.loopback, added: [], hasKeys: false)
        options.origins = AllowedOrigins(["http://evil.example"])
        let server = try TestServer(routes: demo.routes, options: options)
        let socket = try server.connect()
        for path in ["/", "/health", "/nowhere", "/v1/models", "/metrics"] {
            try socket.send("GET \(path) HTTP/1.1\nHost: evil.example\n\n")
            let response = try socket.readResponse()
            #expect(response.status == 403)
            #expect(response.value("error", "type") == "PermissionDeniedError")
            #expect(response.value("error", "message").text?.contains("--allowed-hosts") == true)
        }
        try socket.send("GET /api/tags HTTP/1.1\nHost: evil.example\n\n")
        #expect(
            try socket.readResponse().value("error").text?.contains("--allowed-hosts") == true)
        try socket.send(
            "OPTIONS /v1/models HTTP/1.1\nHost: evil.example\nOrigin: http://evil.example\n"
                + "Access-Control-Request-Method: GET\n\n")
        #expect(try socket.readResponse().status == 403)
        try socket.send("GET /v1/models HTTP/1.1\nHost: localhost:1\n\n")
        #expect(try socket.readResponse().status == 200)
        try socket.send("GET /v1/models HTTP/1.1\nHost: localhost\nHost: evil.example\n\n")
        #expect(try socket.readResponse().status == 400)
        // HTTP/1.0 has no such field, and no browser.
        let old = try server.connect()
        try old.send("GET /v1/models HTTP/1.0\n\n")
        #expect(try old.readResponse().status == 200)
    }
}
