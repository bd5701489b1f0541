// SPDX-License-Identifier: Apache-2.0
// The JSON reader: what it accepts, what it refuses and where.

import EftConfig
import EftTensor
import Testing

struct JSONParserTests {
    @Test func `reads every kind of value, in order`() throws {
        let node = try JSONParser.parse(
            #" {"b": [1, -2.5, true, false, null, "x"], "a": {}, "": []} "#)
        #expect(node == ["b": [1, -2.5, true, false, .null, "x"], "a": [:], "": []])
        let cursor = ConfigCursor(node)
        #expect(try cursor.object().keys == ["b", "a", ""])
    }

    @Test(
        arguments: [
            ("0", ConfigNode(0)), ("-0", 0), ("-0.0", ConfigNode(-0.0)), ("1e5", 100_000.0),
            ("1E+2", 100.0), ("1.5e-3", 0.0015), ("9223372036854775807", ConfigNode(Int.max)),
            ("-9223372036854775808", ConfigNode(Int.min)),
            ("9223372036854775808", 9_223_372_036_854_775_808.0),
            ("1000000000000000019884624838656", 1e30), ("1e-400", 0.0),
            ("4.9406564584124654e-324", ConfigNode(Double.leastNonzeroMagnitude)),
            ("0.1000000000000000055511151231257827", 0.1),
        ] as [(String, ConfigNode)])
    func `reads numbers`(text: String, expected: ConfigNode) throws {
        #expect(try JSONParser.parse(text) == expected)
    }

    @Test(arguments: [
        (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"), (#""\u00e9\u20AC""#, "é€"),
        (#""\ud83d\ude00""#, "😀"), (#""\uDBFF\uDFFF""#, "\u{10FFFF}"), (#""\u0000""#, "\0"),
        (#""a\u0062c""#, "abc"), ("\"\u{7f}\u{2028}\"", "\u{7f}\u{2028}"), ("\"\"", ""),
    ])
    func `reads strings`(text: String, expected: String) throws {
        #expect(try JSONParser.parse(text) == ConfigNode(expected))
    }

    @Test(
        arguments: [
            ("", 1), ("  \n ", 2), ("{", 1), ("[1,\n2", 2), ("[1,]", 1), ("{\"a\":1,}", 1),
            ("{a:1}", 1),
            ("{\"a\" 1}", 1), ("{\"a\":}", 1), ("[1 2]", 1), ("1 2", 1), ("{}\n\nx", 3), ("nul", 1),
            ("tru", 1), ("True", 1), ("'a'", 1), ("01", 1), ("+1", 1), ("-", 1), ("1.", 1),
            (".5", 1),
            ("1e", 1), ("1e+", 1), ("--1", 1), ("0x10", 1), ("1_000", 1), ("1e400", 1),
            ("-1e999", 1),
            ("NaN", 1), ("Infinity", 1), ("-Infinity", 1), ("\"abc", 1), ("\"\\", 1),
            ("\"\\x\"", 1),
            ("\"\\u12\"", 1), ("\"\\u12g4\"", 1), ("\"\\ud800\"", 1), ("\"\\ud800\\n\"", 1),
            ("\"\\ud800\\u0041\"", 1), ("\"\\udc00\"", 1), ("\"\\ud800\\ud800\"", 1),
            ("[\n\n\"a\tb\"]", 3), ("\"a\nb\"", 1), ("/* */ 1", 1), ("// x", 1), ("[1]]", 1),
            ("]", 1),
            ("{\"a\":1 \"b\":2}", 1), ("\u{a0}1", 1), ("\u{feff}\u{feff}1", 1), ("\0", 1),
            ("1\0", 1),
        ] as [(String, Int)])
    func `refuses broken text with its line`(text: String, line: Int) throws {
        let error = try #require(throws: ConfigError.self) {
            try JSONParser.parse(text, file: "f.json")
        }
        #expect(error.code == .syntax)
        #expect(error.line == line)
        #expect(error.description.hasPrefix("f.json:\(line): "))
    }

    @Test(
        arguments: [
            [0x22, 0xFF, 0x22], [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22],
            [0x22, 0xE2, 0x82, 0x22], [0x22, 0xF5, 0x80, 0x80, 0x80, 0x22],
            [0x22, 0x5C, 0x6E, 0x80, 0x22],
            [0xFF, 0xFE, 0x31, 0x00],
        ] as [[UInt8]])
    func `refuses text that is not UTF-8`(bytes: [UInt8]) throws {
        let error = try #require(throws: ConfigError.self) { try JSONParser.parse(bytes) }
        #expect(error.code == .syntax)
    }

    @Test func `passes over a byte-order mark`() throws {
        #expect(try JSONParser.parse("\u{feff}[1]") == [1])
    }

    @Test func `refuses a key that appears twice, escapes or not`() throws {
        let text = "{\"a\": 1,\n \"b\": {},\n \"\\u0061\": 2}"
        let error = try #require(throws: ConfigError.self) { try JSONParser.parse(text) }
        #expect(error.code == .duplicateKey)
        #expect(error.line == 3)
        #expect(error.message.contains("'a'"))
    }

    @Test func `keeps keys apart that differ in bytes only`() throws {
        let text = "{\"\u{e9}\": 1, \"e\u{301}\": 2, \"\u{c5}\": 3, \"\u{212b}\": 4}"
        let object = try ConfigCursor(JSONParser.parse(text)).object()
        #expect(object.count == 4)
        #expect(object["e\u{301}"] == 2)
        #expect(object["\u{212b}"] == 4)
    }

    @Test(arguments: ["[", "{\"a\":", "[{\"a\":"])
    func `bounds nesting`(opening: String) throws {
        let text = String(repeating: opening, count: 100_000)
        let error = try #require(throws: ConfigError.self) { try JSONParser.parse(text) }
        #expect(error.code == .tooLarge)
        let fits = String(repeating: "[", count: 256) + String(repeating: "]", count: 256)
        #expect(throws: Never.self) { try JSONParser.parse(fits) }
        #expect(throws: ConfigError.self) { try JSONParser.parse("[" + fits + "]") }
        #expect(throws: ConfigError.self) { try JSONParser.parse("[[1]]", maximumDepth: 1) }
    }

    @Test func `bounds the number of values and keys`() {
        func parse(_ text: String, most: Int) throws(ConfigError) -> ConfigNode {
            try Array(text.utf8).withUnsafeBufferPointer { (bytes) throws(ConfigError) in
                try JSONParser.parse(bytes, maximumValues: most)
            }
        }
        for (text, count) in [("1", 1), ("[1, [2], []]", 5), (#"{"a": {"b": 1}, "c": []}"#, 7)] {
            #expect(throws: Never.self) { try parse(text, most: count) }
            let error = #expect(throws: ConfigError.self) { try parse(text, most: count - 1) }
            #expect(error?.code == .tooLarge)
        }
    }

    @Test func `accepts Python's infinities only when told to`() throws {
        let node = try JSONParser.parse("[NaN, Infinity, -Infinity, -1]", acceptsNonFinite: true)
        let items = try ConfigCursor(node).elements()
        guard case .real(let nan) = items[0].node.value else {
            Issue.record("NaN is not a number")
            return
        }
        #expect(nan.isNaN)
        #expect(items[1].node == ConfigNode(Double.infinity))
        #expect(items[2].node == ConfigNode(-Double.infinity))
        #expect(throws: ConfigError.self) { try items[1].double() }
        for text in ["Nan", "Inf", "-Inf", "-NaN", "I"] {
            #expect(throws: ConfigError.self) {
                try JSONParser.parse(text, acceptsNonFinite: true)
            }
        }
    }

    @Test func `remembers lines of values and keys`() throws {
        let text = "{\r\n  \"a\":\n    [1,\n     {\"b\": 2}],\n\n  \"c\": 3\n}"
        let top = ConfigCursor(try JSONParser.parse(text), file: "x.json")
        #expect(top.node.line == 1)
        #expect(try top.object().line(ofKey: "a") == 2)
        #expect(try top.required("a").node.line == 3)
        let inner = try top.required("a").elements()[1].required("b")
        #expect(inner.node.line == 4)
        #expect(inner.keyPath == "a[1].b")
        #expect(try top.required("c").node.line == 6)
    }

    @Test(arguments: 0..<8 as Range<UInt64>)
    func `survives mutated documents`(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        for _ in 0..<400 {
            let bytes = JSONWriter.bytes(randomNode(&random), layout: .indented(1))
            let broken = mutated(bytes, &random)
            // What is accepted must mean the same when it is written and read again.
            guard let node = try? JSONParser.parse(broken) else { continue }
            #expect(try JSONParser.parse(JSONWriter.bytes(node)) == node)
        }
    }

    @Test func `reads a wide mapping in linear time`() throws {
        let text =
            "{" + (0..<50_000).map { "\"token\($0)\": \($0)" }.joined(separator: ",") + "}"
        let object = try ConfigCursor(JSONParser.parse(text)).object()
        #expect(object.count == 50_000)
        #expect(object["token49999"] == 49_999)
        #expect(object["token50000"] == nil)
    }
}
