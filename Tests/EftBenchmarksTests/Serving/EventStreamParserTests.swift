// SPDX-License-Identifier: Apache-2.0
// Events come to the same in whichever pieces they arrive.
import EftBenchmarks
import Testing

@Suite struct EventStreamParserTests {
    private func read(_ text: String, cuts: [Int]) throws -> [String] {
        let bytes = Array(text.utf8)
        var parser = EventStreamParser()
        let places = [0] + cuts + [bytes.count]
        return try zip(places, places.dropFirst()).flatMap { first, last in
            try parser.feed(Array(bytes[first..<last])).map { String(decoding: $0, as: UTF8.self) }
        }
    }

    static let streams: [(String, [String])] = [
        ("data: one\n\ndata: two\n\n", ["one", "two"]),
        ("data: one\r\n\r\ndata:two\r\r\n", ["one", "two"]),
        (": keep-alive\n\nevent: x\nid: 7\ndata: a\ndata:  b\ndata\n\n", ["a\n b\n"]),
        ("data:\n\n\n\ndata: é\u{1F600}\n\n", ["", "é\u{1F600}"]),
        ("database: no\n\ndata: not ended\n", []),
    ]

    @Test(arguments: EventStreamParserTests.streams.indices)
    func `pieces of any size come to the same`(index: Int) throws {
        let (text, expected) = Self.streams[index]
        let count = text.utf8.count
        #expect(try read(text, cuts: Array(1..<count)) == expected)
        for first in 0...count {
            for second in first...count {
                #expect(try read(text, cuts: [first, second]) == expected, "\(first) \(second)")
            }
        }
    }

    @Test func `an event without end is refused`() {
        var parser = EventStreamParser()
        let line = Array("data: ".utf8) + [UInt8](repeating: 120, count: 1 << 20)
        #expect(throws: HTTPClientError.self) {
            for _ in 0..<20 { _ = try parser.feed(line) }
        }
    }
}
