// SPDX-License-Identifier: Apache-2.0
// SentencePiece, tekken and tiktoken files that are broken or lie.
import EftConfig
import EftFormats
import EftTestSupport
import Testing

@testable import EftTokenizers

@Suite struct HostileTokenizerFilesTests {
    /// Loads a folder of one file.
    private func fault(
        _ name: String, _ bytes: [UInt8], config: String? = nil
    ) throws -> TokenizerError {
        let folder = try TemporaryFolder()
        try folder.write(name, bytes)
        if let config { try folder.write("tokenizer_config.json", config) }
        return try #require(
            #expect(throws: TokenizerError.self) { try Tokenizer.load(folder: folder.path) })
    }

    // MARK: SentencePiece

    private static func varint(_ value: UInt64) -> [UInt8] {
        var (value, bytes): (UInt64, [UInt8]) = (value, [])
        while value > 0x7F {
            bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        return bytes + [UInt8(value)]
    }

    private static func field(_ number: UInt64, _ bytes: [UInt8]) -> [UInt8] {
        varint(number << 3 | 2) + varint(UInt64(bytes.count)) + bytes
    }

    private static func field(_ number: UInt64, _ value: UInt64) -> [UInt8] {
        varint(number << 3) + varint(value)
    }

    private static func piece(_ text: String, _ score: Float = 0, _ kind: UInt64 = 1) -> [UInt8] {
        let bits = score.bitPattern
        let bytes = (0..<4).map { UInt8(truncatingIfNeeded: bits >> (8 * $0)) }
        return field(1, field(1, Array(text.utf8)) + varint(2 << 3 | 5) + bytes + field(3, kind))
    }

    private static let trainer = field(2, field(3, 2))
    private static let small =
        piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) + piece("a", -1)
        + piece("b", -2) + piece("ab", -3)

    @Test func `a small model made by hand is read`() throws {
        let folder = try TemporaryFolder()
        try folder.write(
            "tokenizer.model", Self.small + Self.trainer + Self.field(3, Self.field(3, 0)))
        let tokenizer = try Tokenizer.load(folder: folder.path)
        #expect(try tokenizer.encode("abba", addSpecialTokens: true) == [1, 5, 4, 3])
        #expect(try tokenizer.encode("aéüb", addSpecialTokens: false) == [3, 0, 4])
    }

    private static let models: [(bytes: [UInt8], code: TokenizerError.Code, message: String)] = [
        ([], .malformed, "has no pieces"),
        (small + field(2, field(3, 1) + field(40, 99)), .malformed, "no piece 99"),
        (small + field(2, field(40, 0xFFFF_FFFF)), .malformed, "no piece -1"),
        (small + field(2, field(3, 3)), .unsupported, "words"),
        (small + field(2, field(3, 4)), .unsupported, "characters"),
        (small + field(2, field(3, 77)), .unsupported, "unknown type 77"),
        (small + field(2, field(3, 2) + field(24, 1)), .unsupported, "end of words"),
        (small + trainer + field(3, field(5, 0)), .unsupported, "U+2581"),
        (small + trainer + field(3, field(2, [1, 2, 3])), .malformed, "precompiled_charsmap"),
        (
            small + trainer + field(3, field(2, [0xFC, 0xFF, 0xFF, 0xFF, 0, 0])), .malformed,
            "precompiled_charsmap"
        ),
        (small + trainer + piece("c", .nan), .malformed, "score of piece 6"),
        (small + trainer + piece("c", .infinity), .malformed, "score of piece 6"),
        (small + trainer + piece("c", 0, 9), .malformed, "unknown type 9"),
        (small + trainer + piece("", 0), .malformed, "piece 6 of 0 bytes"),
        (
            small + trainer + piece(String(repeating: "x", count: 5000)), .malformed,
            "piece 6 of 5000 bytes"
        ),
        (small + trainer + field(1, field(1, [0xFF, 0xFE])), .malformed, "piece 6"),
        (small + trainer + piece("ab", -9), .malformed, "'ab' (6) appears twice"),
        // Lengths that lie, and numbers that do not end.
        (small + trainer + [0x0A, 0x7F, 0x0A], .malformed, "claims 127 bytes where 1"),
        (
            small + trainer + [0x0A] + varint(.max), .malformed,
            "claims 18446744073709551615 bytes"
        ),
        (small + trainer + [0x0A] + [UInt8](repeating: 0xFF, count: 12), .malformed, "64 bits"),
        (small + trainer + [0x80], .malformed, "ends within a number"),
        (small + trainer + [0x0D, 1, 2], .malformed, "ends within field 1"),
        (small + trainer + [0x0B], .malformed, "unknown type 3"),
        (small + trainer + [0x00, 0x00], .malformed, "number 0"),
    ]

    @Test(arguments: models.indices)
    func `faulty models are refused by name`(_ index: Int) throws {
        let (bytes, code, message) = Self.models[index]
        let error = try fault("tokenizer.model", bytes)
        #expect(error.code == code && error.message.contains(message), "\(error)")
        #expect(error.file?.hasSuffix("tokenizer.model") == true)
    }

    @Test func `classes with rules of their own are refused`() throws {
        let error = try fault(
            "tokenizer.model", Self.small + Self.trainer,
            config: #"{"tokenizer_class":"GPTSw3Tokenizer"}"#)
        #expect(error.code == .unsupported && error.message.contains("GPTSw3"))
        let key = try fault(
            "tokenizer.model", Self.small + Self.trainer,
            config: #"{"added_tokens_decoder":{"-1":{"content":"x"}}}"#)
        #expect(key.code == .malformed && key.message.contains("'-1'"))
        let far = try fault(
            "tokenizer.model", Self.small + Self.trainer,
            config: #"{"added_tokens_decoder":{"99999999999":{"content":"x"}}}"#)
        #expect(far.code == .malformed)
    }

    @Test func `a table of characters that leads astray changes nothing`() {
        // Every unit points far away or at itself.
        for unit in [UInt32.max, 0x7FFF_FFFF, 0x0000_0161, 0x0000_0400] {
            let bytes = (0..<4).map { UInt8(truncatingIfNeeded: unit >> (8 * $0)) }
            let table: [UInt8] = [16, 0, 0, 0] + bytes + bytes + bytes + bytes + [0x61, 0]
            let map = CharacterMap(table[...])
            #expect(map != nil)
            #expect(map?.apply(to: Array("aé€".utf8), most: 100) == Array("aé€".utf8))
        }
        #expect(CharacterMap([4, 0, 0, 0, 0, 0, 0, 0, 0xC3, 0]) == nil)
        #expect(CharacterMap([4, 0, 0, 0, 0, 0, 0, 0, 0x61]) == nil)
    }

    // MARK: Ranks

    private static func lines(_ change: (inout [String]) -> Void) throws -> [UInt8] {
        let text = String(decoding: try TokenizerFolders.bytes("small.tiktoken"), as: UTF8.self)
        var lines = text.split(separator: "\n").map(String.init)
        change(&lines)
        return Array(lines.joined(separator: "\n").utf8)
    }

    @Test func `faulty ranks are refused by name`() throws {
        func check(
            _ message: String, name: String = "qwen.tiktoken",
            _ change: (inout [String]) -> Void
        ) throws {
            let error = try fault(name, Self.lines(change))
            #expect(error.message.contains(message), "\(error)")
        }
        try check("in base64 and its rank") { $0[300] = "a?b= 300" }
        try check("in base64 and its rank") { $0[300] = "YQ= 300" }
        try check("in base64 and its rank") { $0[300] = "Y=== 300" }
        try check("in base64 and its rank") { $0[300] = "YQ==YQ== 300" }
        try check("in base64 and its rank") { $0[300] = "YQ==" }
        try check("in base64 and its rank") { $0[300] = "YQ== -300" }
        try check("in base64 and its rank") { $0[300] = "YQ== 99999999999999999999" }
        try check("the rank 299 is there twice") { $0[300] = "YWJjZA== 299" }
        try check("the rank 300 is missing") { $0.remove(at: 300) }
        try check("the rank 379 is missing") { $0[379] = "YWJjZA== 4000000000" }
        try check("appears twice") { $0[300] = "YQ== 300" }
        try check("no token for the byte 97") { $0[97] = "AAAAAA== 97" }
        try check("of 380 tokens is not known", name: "other.tiktoken") { _ in }
        try check("Llama 3 (128000 tokens)", name: "tokenizer.model") { _ in }
        let folder = try TokenizerFolders.make("tiktoken-qwen")
        try folder.write("b.tiktoken", Self.lines { _ in })
        let error = #expect(throws: TokenizerError.self) {
            try Tokenizer.load(folder: folder.path)
        }
        #expect(error?.message.contains("b.tiktoken, qwen.tiktoken") == true)
    }

    @Test func `faulty tekken files are refused by name`() throws {
        let text = String(decoding: try TokenizerFolders.bytes("tekken.json"), as: UTF8.self)
        func check(_ message: String, _ old: String, _ new: String) throws {
            let changed = text.replacing(old, with: new, maxReplacements: 1)
            #expect(changed != text)
            let error = try fault("tekken.json", Array(changed.utf8))
            #expect(error.message.contains(message), "\(error)")
        }
        try check("'v99'", #""version":"v3""#, #""version":"v99""#)
        try check("'special_tokens' is missing", #""version":"v3""#, #""version":"v13""#)
        try check("cannot be", #""default_vocab_size":344"#, #""default_vocab_size":9000000000"#)
        try check("cannot be", #""default_vocab_size":344"#, #""default_vocab_size":3"#)
        try check("is negative", #""default_vocab_size":344"#, #""default_vocab_size":-3"#)
        try check(
            "cannot be", #""default_num_special_tokens":24"#,
            #""default_num_special_tokens":4000000000"#)
        try check(
            "20 special tokens where 19", #""default_num_special_tokens":24"#,
            #""default_num_special_tokens":19"#)
        try check("expected the rank 7, found 8", #""rank":7,"#, #""rank":8,"#)
        try check("expected the rank 7, found none", #""rank":7,"#, "")
        try check("in base64", #""token_bytes":"Bw==""#, #""token_bytes":"B?==""#)
        try check("no token for the byte 7", #""token_bytes":"Bw==""#, #""token_bytes":"BwcH""#)
        try check(
            "appears twice", #""rank":270,"token_bytes":""#,
            #""rank":270,"token_bytes":"Bw==","other":""#)
        try check("expected a list of tokens", #""vocab":["#, #""vocab":3,"x":["#)
        try check("no whole JSON", #"{"config""#, #"["config""#)
        try check("pattern", #"{"pattern":"#, #"{"pat":"#)
        let special =
            #"{"special_tokens":[{"rank":0,"token_str":"<s>"},{"rank":0,"token_str":"b"}],"#
        try check("the rank 0 is there twice", "{", special)
    }

    @Test(arguments: [
        ("spm-bare", "tokenizer.model"), ("tekken", "tekken.json"),
        ("tiktoken-qwen", "qwen.tiktoken"),
    ])
    func `cut and altered files are read or refused`(_ name: String, _ file: String) throws {
        let folder = try TokenizerFolders.make(name)
        let bytes = try FileSystem.read(folder.file(file))
        var random = Randomness(state: 11)
        var refused = 0
        for round in 0..<120 {
            var changed = bytes
            if round % 3 == 0 {
                changed.removeLast(Int(random.next() % UInt64(bytes.count)))
            } else {
                for _ in 0..<3 {
                    let place = Int(random.next() % UInt64(bytes.count))
                    changed[place] = UInt8(truncatingIfNeeded: random.next())
                }
            }
            try folder.write(file, changed)
            do throws(TokenizerError) {
                let tokenizer = try Tokenizer.load(folder: folder.path)
                let ids = try tokenizer.encode("Hello  wörld\n", addSpecialTokens: true)
                _ = try tokenizer.decode(ids)
            } catch { refused += 1 }
        }
        #expect(refused > 20)
    }
}

private struct Randomness {
    var state: UInt64

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state >> 33
    }
}
