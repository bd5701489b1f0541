// SPDX-License-Identifier: Apache-2.0
// The YAML reader: what it accepts, what it refuses and where.

import EftConfig
import EftTensor
import Testing

struct YAMLParserTests {
    @Test func `reads a training configuration`() throws {
        let text = """
            # QLoRA
            base_model: ./model   # a folder
            load_in_4bit: true
            datasets:
              - path: data.jsonl
                type: alpaca
              - {path: "b.json", type: completion, field: 'it''s'}
            lora_target_modules: [q_proj, v_proj]
            learning_rate: 2e-4
            resume_from_checkpoint:
            special_tokens:
              pad_token: "<|end|>"
            prompt: |
              Two
              lines
            folded: >-
              one
              line
            octal: 0o17
            "quoted": "1"
            1: one
            true: yes
            """
        let node = try YAMLParser.parse(text)
        #expect(
            node == [
                "base_model": "./model", "load_in_4bit": true,
                "datasets": [
                    ["path": "data.jsonl", "type": "alpaca"],
                    ["path": "b.json", "type": "completion", "field": "it's"],
                ],
                "lora_target_modules": ["q_proj", "v_proj"], "learning_rate": 2e-4,
                "resume_from_checkpoint": .null, "special_tokens": ["pad_token": "<|end|>"],
                "prompt": "Two\nlines\n", "folded": "one line", "octal": 15, "quoted": "1",
                "1": "one", "true": true,
            ])
    }

    @Test(arguments: ["", "# only a comment\n", "---\n", "--- ~", "null"])
    func `an empty document is null`(text: String) throws {
        #expect(try YAMLParser.parse(text) == .null)
    }

    @Test(
        arguments: [
            ("!!str 1", ConfigNode("1")), ("!!int '3'", 3), ("!!float 3", 3.0),
            ("!!bool \"yes\"", true),
            ("!!null ''", .null), ("! 1", "1"), ("!!seq [1]", [1]), ("!!map {a: 1}", ["a": 1]),
            ("'true'", "true"), ("\"null\"", "null"), ("\"\"", ""), ("|\n  1\n", "1\n"),
            (">-\n  1\n", "1"),
            ("!<tag:yaml.org,2002:int> 7", 7), ("\"\\u00e9\\n\"", "é\n"),
            ("- - 1\n  - 2\n-\n", [[1, 2], .null]),
            ("%YAML 1.1\n---\na: b\n...\n", ["a": "b"]),
            ("{\"a\":1,\"b\":[true]}", ["a": 1, "b": [true]]),
            ("a: b\r\nc: d\r\n", ["a": "b", "c": "d"]), ("\u{feff}a: 1", ["a": 1]),
            ("<<x: 1", ["<<x": 1]),
            ("\"<<\": 1", ["<<": 1]), ("? a\n: 1", ["a": 1]), ("~: 1", ["~": 1]),
            ("0x10: 1", ["0x10": 1]),
        ] as [(String, ConfigNode)])
    func `tags, quotes and styles`(text: String, expected: ConfigNode) throws {
        #expect(try YAMLParser.parse(text) == expected)
    }

    @Test func `follows anchors and merge keys`() throws {
        let text = """
            base: &base {a: 1, b: 2, c: [x]}
            other: &other {b: 20, d: 4}
            one:
              b: 3
              <<: *base
            two:
              <<: [*other, *base]
              e: 5
            list: [*base, &word hello, *word]
            *word : key
            """
        let node = try YAMLParser.parse(text)
        let top = ConfigCursor(node)
        #expect(try top.required("one").node == ["a": 1, "b": 3, "c": ["x"]])
        #expect(try top.required("one").object().keys == ["a", "b", "c"])
        #expect(try top.required("two").node == ["b": 20, "d": 4, "a": 1, "c": ["x"], "e": 5])
        #expect(try top.required("list").elements()[2].string() == "hello")
        #expect(try top.required("hello").string() == "key")
    }

    @Test func `an anchor may be defined anew`() throws {
        #expect(try YAMLParser.parse("[&a 1, *a, &a 2, *a]") == [1, 1, 2, 2])
    }

    @Test func `remembers lines`() throws {
        let text = "# c\na: 1\n\nb:\n  - x\n  - k: |\n      text\n    l: y\nc: 'q'\n"
        let top = ConfigCursor(try YAMLParser.parse(text), file: "c.yml")
        #expect(try top.required("a").node.line == 2)
        #expect(try top.object().line(ofKey: "b") == 4)
        let entry = try top.required("b").elements()[1]
        #expect(entry.node.line == 6)
        #expect(try entry.required("l").node.line == 8)
        #expect(try top.required("c").node.line == 9)
        let error = try #require(throws: ConfigError.self) { try entry.required("l").int() }
        #expect(error.description == "c.yml:8 (b[1].l): expected an integer, found the string 'y'")
    }

    @Test(
        arguments: [
            ("a: 1\nb: 2\na: 3", .duplicateKey, 3),
            ("a: {x: 1,\n x: 2}", .duplicateKey, 2), ("a: 1\n\"a\": 2", .duplicateKey, 2),
            ("&a a: 1\n*a : 2", .duplicateKey, 2), ("<<: {a: 1}\n<<: {b: 1}", .duplicateKey, 2),
            ("a: b: c", .syntax, 1), ("a: [1, 2", .syntax, 1), ("a: 'x", .syntax, 1),
            ("a: \"x\ny", .syntax, 2),
            ("a: 1\n b: 2", .syntax, 2), ("- a\nb: c", .syntax, 2), ("a:\n\tb: 1", .syntax, 2),
            ("{a: 1}}", .syntax, 1), ("a: @b", .syntax, 1), ("a: `b", .syntax, 1),
            ("%YAML 9.9\n--- a", .syntax, 1),
            ("a\n--- b", .syntax, 2), ("--- a\n--- b", .syntax, 2),
            ("a: 1\n...\n---\nb: 2\n", .syntax, 3),
            ("a: \u{1}", .syntax, 1), ("x\n\u{7f}\n", .syntax, 2), ("\"\\q\"", .syntax, 1),
            ("a: \"\\ud800\"", .syntax, 1),
            ("a: *nowhere", .badValue, 1), ("a: &a\n - *a", .badValue, 2),
            ("&a [*a]", .badValue, 1),
            ("&a {k: *a}", .badValue, 1), ("a: 1\n<<: 3", .wrongType, 2),
            ("<<: [{a: 1}, 2]", .wrongType, 1),
            ("[a]: 1", .badValue, 1), ("? {a: b}\n: 1", .badValue, 1),
            ("x: 1\n? [a]\n: 1", .badValue, 2),
            ("a: !!python/object/apply:os.system [ls]", .badValue, 1),
            ("a: !custom 1", .badValue, 1),
            ("a: !!binary aGk=", .badValue, 1), ("a: !!set {x}", .badValue, 1),
            ("a: !!int x", .badValue, 1),
            ("a: !!str [1]", .badValue, 1), ("a: !!map [1]", .badValue, 1),
            ("a: !!bool 1", .badValue, 1),
            ("a: !!timestamp 2001-01-01", .badValue, 1), ("a: !!seq x", .badValue, 1),
        ] as [(String, ConfigError.Code, Int)])
    func `refuses with code and line`(text: String, code: ConfigError.Code, line: Int) throws {
        let error = try #require(throws: ConfigError.self) {
            try YAMLParser.parse(text, file: "c.yml")
        }
        #expect(error.code == code, "\(error)")
        #expect(error.line == line, "\(error)")
        #expect(error.file == "c.yml")
    }

    @Test func `says how to mend tabs and tags`() throws {
        let tab = try #require(throws: ConfigError.self) { try YAMLParser.parse("a:\n\tb: 1") }
        #expect(tab.message.contains("spaces"))
        let tag = try #require(throws: ConfigError.self) {
            try YAMLParser.parse("!!python/tuple [1]")
        }
        #expect(tag.message.contains("!!python/tuple"))
    }

    @Test(
        arguments: [
            ([0x61, 0x3A, 0x20, 0xFF], 1), ([0x61, 0x0A, 0x0A, 0xC3], 3),
            ([0xFF, 0xFE, 0x61, 0x00], 1),
        ] as [([UInt8], Int)])
    func `refuses text that is not UTF-8`(bytes: [UInt8], line: Int) throws {
        let error = try #require(throws: ConfigError.self) { try YAMLParser.parse(bytes) }
        #expect(error.code == .syntax)
        #expect(error.line == line)
    }

    @Test func `bounds the laughs of a billion aliases`() throws {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        for level in 1...9 {
            let aliases = repeatElement("*a\(level - 1)", count: 9).joined(separator: ", ")
            text += "a\(level): &a\(level) [\(aliases)]\n"
        }
        let error = try #require(throws: ConfigError.self) { try YAMLParser.parse(text) }
        #expect(error.code == .tooLarge)

        var merges = "m0: &m0 {k0: 1, l0: 2}\n"
        for level in 1...40 {
            merges += "m\(level): &m\(level) {<<: *m\(level - 1), k\(level): *m\(level - 1)}\n"
        }
        let merged = try #require(throws: ConfigError.self) { try YAMLParser.parse(merges) }
        #expect(merged.code == .tooLarge)
    }

    @Test(arguments: ["[", "{a: ", "- ", "? "])
    func `bounds nesting`(opening: String) throws {
        let text = String(repeating: opening, count: 2000)
        let error = try #require(throws: ConfigError.self) { try YAMLParser.parse(text) }
        #expect(error.code == .tooLarge || error.code == .syntax)
    }

    @Test func `bounds nesting through aliases`() throws {
        var text = "a0: &a0 [x]\n"
        for level in 1...60 { text += "a\(level): &a\(level) [[*a\(level - 1)]]\n" }
        let error = try #require(throws: ConfigError.self) { try YAMLParser.parse(text) }
        #expect(error.code == .tooLarge)
    }

    @Test(arguments: 0..<8 as Range<UInt64>)
    func `survives mutated documents`(seed: UInt64) throws {
        let document = """
            base: &base {a: 1, b: [x, 'y', "z\\n"]}
            one:
              <<: *base
              text: |
                line
              - : 3
            list:
              - !!str 5
              - *base
              - >-
                folded
            """
        var random = SplitMix64(seed: seed)
        var accepted = 0
        for _ in 0..<500 {
            let broken = mutated(Array(document.utf8), &random)
            guard let node = try? YAMLParser.parse(broken) else { continue }
            accepted += 1
            // Non-finite numbers are no JSON; everything else must survive being written.
            let text = JSONWriter.text(node)
            #expect(throws: Never.self) { try JSONParser.parse(text) }
        }
        #expect(accepted > 0)
    }

    @Test func `reads JSON as YAML alike`() throws {
        let text = #"{"a": [1, 2.5, "x\n", null, true], "b": {"c": "é"}}"#
        #expect(try YAMLParser.parse(text) == JSONParser.parse(text))
    }
}
