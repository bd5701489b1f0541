// SPDX-License-Identifier: Apache-2.0
// Responses come to the same in whichever pieces they arrive; what is none is refused.
import EftBenchmarks
import Testing

@Suite struct HTTPResponseParserTests {
    private struct Read: Equatable {
        var status: Int?
        var body: String
        var isWhole: Bool
    }

    /// Reads a response in pieces that begin at given places.
    private func read(_ text: String, cuts: [Int]) throws -> Read {
        let bytes = Array(text.utf8)
        var parser = HTTPResponseParser()
        var body: [UInt8] = []
        let places = [0] + cuts + [bytes.count]
        for (first, last) in zip(places, places.dropFirst()) {
            body += try parser.feed(Array(bytes[first..<last]))
        }
        return Read(
            status: parser.status, body: String(decoding: body, as: UTF8.self),
            isWhole: parser.isWhole)
    }

    static let responses: [(String, Int, String, Bool)] = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", true),
        ("HTTP/1.1 200\r\ncontent-length:5 \r\n\r\nhelloX", 200, "hello", true),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\n"
                + "Trailer: x\r\n\r\n", 200, "abc0123456789", true
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            503, "", true
        ),
        ("HTTP/1.0 200 OK\n\nto the end", 200, "to the end", false),
        ("HTTP/1.1 204 None\r\n\r\n", 204, "", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", 200, "hello", false),
    ]

    @Test(arguments: HTTPResponseParserTests.responses.indices)
    func `pieces of any size come to the same`(index: Int) throws {
        let (text, status, body, isWhole) = Self.responses[index]
        let expected = Read(status: status, body: body, isWhole: isWhole)
        let count = text.utf8.count
        #expect(try read(text, cuts: Array(1..<count)) == expected)
        for first in 0...count {
            for second in stride(from: first, through: count, by: 3) {
                #expect(try read(text, cuts: [first, second]) == expected, "\(first) \(second)")
            }
        }
    }

    @Test(arguments: [
        "hello\r\n", "HTTP/2 200 OK\r\n", "HTTP/1.1 20 OK\r\n", "HTTP/1.1 +20 OK\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        String(repeating: "x", count: 20000),
        "HTTP/1.1 200 OK\r\n" + String(repeating: "a: b\r\n", count: 30000),
    ])
    func `what is no response is refused`(_ text: String) {
        #expect(throws: HTTPClientError.self) { try read(text, cuts: []) }
        #expect(throws: HTTPClientError.self) { try read(text, cuts: Array(1..<text.utf8.count)) }
    }

    @Test func `a response that is cut off is told from a whole one`() throws {
        let whole = Array(Self.responses[2].0.utf8)
        for count in 0..<whole.count {
            var parser = HTTPResponseParser()
            _ = try parser.feed(Array(whole.prefix(count)))
            #expect(throws: HTTPClientError.self) { try parser.close() }
        }
        var parser = HTTPResponseParser()
        _ = try parser.feed(Array(Self.responses[4].0.utf8))
        try parser.close()
        #expect(parser.isWhole && parser.endsWithConnection)
    }
}
