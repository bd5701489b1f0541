// SPDX-License-Identifier: Apache-2.0
// Typed reading and its errors.

import EftConfig
import Testing

struct ConfigCursorTests {
    private let top = ConfigCursor(
        [
            "flag": true, "count": 3, "whole": 4.0, "rate": 0.5, "name": "x", "none": .null,
            "list": ["a", "b"], "numbers": [1, 2], "inner": ["deep": [["leaf": "v"]]],
        ], file: "c.yml")

    @Test func `reads what is there and falls back where nothing is`() throws {
        #expect(try top.bool("flag", default: false))
        #expect(try top.int("count", default: 0) == 3)
        #expect(try top.int("whole", default: 0) == 4)
        #expect(try top.double("count", default: 0) == 3)
        #expect(try top.double("rate", default: 0) == 0.5)
        #expect(try top.string("name", default: "") == "x")
        #expect(try top.int("none", default: 7) == 7)
        #expect(try top.string("absent", default: "d") == "d")
        #expect(try top.optional("none") == nil)
        #expect(try top.required("list").strings() == ["a", "b"])
        #expect(try top.required("numbers").ints() == [1, 2])
        #expect(try top.required("numbers").doubles() == [1, 2])
        #expect(try top.entries().map(\.key).contains("none") == false)
    }

    @Test func `names the path of a fault`() throws {
        let leaf = try top.required("inner").required("deep").elements()[0].required("leaf")
        let error = try #require(throws: ConfigError.self) { try leaf.int() }
        #expect(error.code == .wrongType)
        #expect(
            error.description
                == "c.yml (inner.deep[0].leaf): expected an integer, found the string 'v'")
    }

    @Test(arguments: ["flag", "rate", "name", "list", "inner"])
    func `refuses what is no integer`(key: String) throws {
        let error = try #require(throws: ConfigError.self) { try top.int(key, default: 0) }
        #expect(error.code == .wrongType)
        #expect(error.keyPath == key)
    }

    @Test(arguments: [Double.nan, .infinity, 1e300, 9_223_372_036_854_775_808])
    func `refuses reals that are no integer`(value: Double) {
        #expect(throws: ConfigError.self) { try ConfigCursor(ConfigNode(value)).int() }
    }

    @Test func `refuses missing keys, wrong kinds and values out of range`() throws {
        #expect(
            try #require(throws: ConfigError.self) { try top.required("x") }.code == .missingKey)
        #expect(
            try #require(throws: ConfigError.self) { try top.required("none") }.code == .missingKey)
        #expect(throws: ConfigError.self) { try top.required("name").optional("x") }
        #expect(throws: ConfigError.self) { try top.required("name").elements() }
        #expect(throws: ConfigError.self) { try top.required("list").ints() }
        #expect(throws: ConfigError.self) { try ConfigCursor(ConfigNode(Double.nan)).double() }
        let range = try #require(throws: ConfigError.self) {
            try top.int("count", default: 1, in: 4...Int.max)
        }
        #expect(range.code == .badValue)
        #expect(range.message == "expected an integer of at least 4, found 3")
        #expect(throws: ConfigError.self) { try top.required("rate").double(in: 0...0.25) }
    }

    @Test func `reports unknown keys with a suggestion`() throws {
        let node = try YAMLParser.parse("learning_rate: 1\nmicro_batchsize: 2\nzzz: 3\nx:\n  y: 1")
        let faults = try ConfigCursor(node, file: "c.yml")
            .unknownKeys(known: ["learning_rate", "micro_batch_size", "x"])
        #expect(
            faults.map(\.description) == [
                "c.yml:2: unknown key 'micro_batchsize'; did you mean 'micro_batch_size'?",
                "c.yml:3: unknown key 'zzz'",
            ])
    }

    @Test func `keeps control characters of a file out of messages`() {
        let error = ConfigCursor(["a\u{1b}[31m": "\u{1b}]0;x\u{7}"])
        #expect(throws: ConfigError.self) { try error.int("a\u{1b}[31m", default: 0) }
        do {
            _ = try error.int("a\u{1b}[31m", default: 0)
        } catch {
            #expect(!error.description.unicodeScalars.contains { $0.value < 0x20 })
        }
        #expect(excerpt(String(repeating: "x", count: 100), limit: 3) == "xxx…")
    }
}

struct ConfigObjectTests {
    @Test(arguments: [0, 1, 7, 8, 9, 10, 40])
    func `keeps order through changes`(count: Int) {
        var object = ConfigObject()
        for number in 0..<count { object["k\(number)"] = ConfigNode(number) }
        #expect(object.keys == (0..<count).map { "k\($0)" })
        for number in stride(from: 0, to: count, by: 2) { object["k\(number)"] = nil }
        #expect(object.keys == stride(from: 1, to: count, by: 2).map { "k\($0)" })
        for number in stride(from: 1, to: count, by: 2) {
            #expect(object["k\(number)"] == ConfigNode(number))
        }
        object["new"] = 1
        object["new"] = 2
        #expect(object.count == count / 2 + 1)
        #expect(object["new"] == 2)
        let inserted = object.insert("new", 3, line: 1)
        #expect(!inserted)
        #expect(object["new"] == 2)
    }

    @Test func `equality sees contents only`() {
        let a: ConfigNode = ["x": 1, "y": [true, 2.0]]
        let b: ConfigNode = ["y": [true, 2.0], "x": 1]
        #expect(a == b)
        #expect(a != ["x": 1, "y": [true, 2]])
        #expect(a != ["x": 1])
        #expect(ConfigNode("é") != ConfigNode("e\u{301}"))
    }
}

struct ClosestMatchTests {
    private let keys = [
        "learning_rate", "micro_batch_size", "num_epochs", "bf16", "lora_r", "lora_alpha",
    ]

    @Test(arguments: [
        ("learning_rat", "learning_rate"), ("lerning-rate", "learning_rate"),
        ("num_epoch", "num_epochs"),
        ("num_epcohs", "num_epochs"), ("BF16", "bf16"), ("bf61", "bf16"),
        ("micro", "micro_batch_size"),
        ("lora-alhpa", "lora_alpha"),
    ])
    func `finds the word that was meant`(word: String, expected: String) {
        #expect(closestMatch(word, in: keys) == expected)
    }

    @Test(arguments: [
        ("enable-prefix-caching", "no-enable-prefix-caching"), ("no-json", "json"),
        ("enable_prefx_caching", "no-enable-prefix-caching"), ("use-cache", "no-use-cache"),
        ("disable-log-requests", "enable-log-requests"), ("no-resume", "resume"),
    ])
    func `never proposes the opposite`(word: String, opposite: String) {
        #expect(closestMatch(word, in: [opposite]) == nil)
        #expect(closestMatch(opposite, in: [word]) == nil)
        #expect(closestMatch(word, in: [opposite, word + "s"]) == word + "s")
    }

    @Test(arguments: [
        ("nocache", "no-cache"), ("no-cahce", "no-cache"), ("noresume", "no-resume"),
        ("enable-prefix-cahing", "enable-prefix-caching"), ("node", "mode"),
    ])
    func `a slip in a negation is still one`(word: String, expected: String) {
        #expect(closestMatch(word, in: [expected, "unrelated"]) == expected)
    }

    @Test(arguments: ["zebra", "", "x", "lora_", String(repeating: "learning_rate", count: 1000)])
    func `keeps silent when nothing is near`(word: String) {
        let found = closestMatch(word, in: ["learning_rate", "lora_abcdef", "lora_ghijkl"])
        #expect(found == nil)
    }
}
