// SPDX-License-Identifier: Apache-2.0
// Faulty and unusual files, special ids, and copying.

import Foundation
import Testing

@testable import EftTokenizers

struct TokenizerLoadingTests {
    /// A small document; each part can be replaced.
    static func document(
        added: String = "[]", normalizer: String = "null", pre: String = "null",
        post: String = "null", decoder: String = "null", type: String = "\"BPE\"",
        vocab: String = #"{"a":0,"b":1,"ab":2,"é":3,"e\u0301":4}"#,
        merges: String = #"[["a","b"]]"#, model: String = ""
    ) -> [UInt8] {
        Array(
            """
            {"version":"1.0","added_tokens":\(added),
            "normalizer":\(normalizer),"pre_tokenizer":\(pre),"post_processor":\(post),
            "decoder":\(decoder),
            "model":{"type":\(type)\(model),"vocab":\(vocab),"merges":\(merges)}}
            """.utf8)
    }

    @Test func `keeps canonically equal tokens apart`() throws {
        let tokenizer = try Tokenizer(json: Self.document())
        #expect(try tokenizer.encode("é", addSpecialTokens: false) == [3])
        #expect(tokenizer.id(for: "e\u{301}") == 4)
        #expect(try tokenizer.encode("ab", addSpecialTokens: false) == [2])
        #expect(try tokenizer.encode("", addSpecialTokens: true) == [])
        #expect(try tokenizer.decode([0, 1, 99, 2]) == "a b ab")
    }

    @Test func `gives added tokens the ids that the library gives`() throws {
        let tokenizer = try Tokenizer(
            json: Self.document(
                added:
                    #"[{"id":10,"content":"<x>"},{"id":12,"content":"<y>"},{"id":0,"content":"a"}]"#
            ))
        #expect(try tokenizer.encode("ab<x>b<y>", addSpecialTokens: false) == [0, 1, 5, 1, 6])
        #expect(tokenizer.vocabularySize == 7)
        #expect(tokenizer.idBound == 7)
    }

    @Test func `the last of two merges of one pair holds, and old files' first line is skipped`()
        throws
    {
        let tokenizer = try Tokenizer(
            json: Self.document(
                vocab: #"{"a":0,"b":1,"ab":2,"ba":3}"#,
                merges: ##"["#version: 0.2","a b","b a","a b"]"##))
        #expect(try tokenizer.encode("aba", addSpecialTokens: false) == [0, 3])
    }

    static let faults: [(json: [UInt8], code: TokenizerError.Code, place: String)] = [
        (document(vocab: #"{"a":0,"b":0}"#), .malformed, "model.vocab.b"),
        (document(vocab: #"{"a":0,"a":1}"#), .malformed, "model.vocab.a"),
        (document(vocab: #"{"a":-1}"#), .malformed, "model.vocab.a"),
        (document(vocab: #"{"a":99999999999999999999}"#), .malformed, "model.vocab.a"),
        (document(vocab: #"{"a":4194304}"#), .malformed, "model.vocab.a"),
        (document(vocab: #"{"a":1.5}"#), .malformed, "model.vocab.a"),
        (document(vocab: #"{"a":"1"}"#), .malformed, "model.vocab.a"),
        (document(vocab: #"{"a":1 "b":2}"#), .malformed, "model.vocab"),
        (document(vocab: #"{"\ud800":1}"#), .malformed, "model.vocab"),
        (document(vocab: "[]"), .malformed, "model.vocab"),
        (document(vocab: "null"), .malformed, "model.vocab"),
        (document(merges: "{}"), .malformed, "model.merges"),
        (document(merges: #"["a b","a c"]"#), .malformed, "model.merges[1]"),
        (document(merges: #"["b a"]"#), .malformed, "model.merges[0]"),
        (document(merges: #"["a b c"]"#), .malformed, "model.merges[0]"),
        (document(merges: #"["ab"]"#), .malformed, "model.merges[0]"),
        (document(merges: #"[["a"]]"#), .malformed, "model.merges[0]"),
        (document(merges: #"[["a","b","ab"]]"#), .malformed, "model.merges[0]"),
        (document(merges: "[7]"), .malformed, "model.merges[0]"),
        (document(type: "\"WordPiece\""), .unsupported, "model.type"),
        (document(type: "\"Unigram\""), .malformed, "model.vocab"),
        (document(type: "7"), .malformed, "model.type"),
        (document(model: #","dropout":0.1"#), .unsupported, "model.dropout"),
        (
            document(model: #","end_of_word_suffix":"</w>""#), .unsupported,
            "model.end_of_word_suffix"
        ),
        (
            document(model: ##","continuing_subword_prefix":"_""##), .unsupported,
            "model.continuing_subword_prefix"
        ),
        (document(model: #","byte_fallback":"yes""#), .malformed, "model.byte_fallback"),
        (document(normalizer: #"{"type":"ByteLevel"}"#), .unsupported, "normalizer"),
        (
            document(normalizer: #"{"type":"Sequence","normalizers":[{"type":"Bert"}]}"#),
            .unsupported, "normalizer.normalizers[0]"
        ),
        (document(normalizer: "{}"), .malformed, "normalizer"),
        (
            document(normalizer: #"{"type":"Replace","pattern":{"Regex":"("},"content":""}"#),
            .pattern, "normalizer.pattern"
        ),
        (
            document(normalizer: #"{"type":"Replace","pattern":{},"content":""}"#), .malformed,
            "normalizer.pattern"
        ),
        (document(pre: #"{"type":"BertPreTokenizer"}"#), .unsupported, "pre_tokenizer"),
        (
            document(pre: #"{"type":"Split","pattern":{"Regex":"[a"},"behavior":"Isolated"}"#),
            .pattern, "pre_tokenizer.pattern"
        ),
        (
            document(pre: #"{"type":"Split","pattern":{"String":"a"},"behavior":"Sideways"}"#),
            .unsupported, "pre_tokenizer.behavior"
        ),
        (
            document(pre: #"{"type":"Metaspace","replacement":"__"}"#), .malformed,
            "pre_tokenizer.replacement"
        ),
        (document(post: #"{"type":"OtherProcessing"}"#), .unsupported, "post_processor"),
        (document(post: #"{"type":"BertProcessing"}"#), .malformed, "post_processor"),
        (
            document(post: #"{"type":"RobertaProcessing","cls":["a",0],"sep":["b"]}"#), .malformed,
            "post_processor.sep"
        ),
        (
            document(
                post:
                    #"{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}}],"special_tokens":{}}"#
            ), .malformed, "post_processor.single[0].SpecialToken.id"
        ),
        (
            document(
                post:
                    #"{"type":"TemplateProcessing","single":[{"Sequence":{"id":"B"}}],"special_tokens":{}}"#
            ), .malformed, "post_processor.single[0].Sequence.id"
        ),
        (document(decoder: #"{"type":"WordPiece"}"#), .unsupported, "decoder"),
        (
            document(
                decoder:
                    #"{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"ByteFallback"}]}"#),
            .unsupported, "decoder.decoders[1]"
        ),
        (
            document(decoder: #"{"type":"Strip","content":" ","start":-1,"stop":0}"#), .malformed,
            "decoder.start"
        ),
        (
            document(added: #"[{"id":7,"content":"x"},{"id":7,"content":"y"}]"#), .malformed,
            "added_tokens[1].id"
        ),
        (
            document(added: #"[{"id":7,"content":"x"},{"id":8,"content":"x"}]"#), .malformed,
            "added_tokens[1]"
        ),
        (document(added: #"[{"id":-7,"content":"x"}]"#), .malformed, "added_tokens[0].id"),
        (document(added: #"[{"id":7}]"#), .malformed, "added_tokens[0]"),
        (
            document(added: #"[{"id":7,"content":"x","special":1}]"#), .malformed,
            "added_tokens[0].special"
        ),
        (document(added: "{}"), .malformed, "added_tokens"),
        (Array("{}".utf8), .malformed, ""), (Array("[]".utf8), .malformed, ""),
        ([], .malformed, ""),
        (Array("{\"model\":{\"vocab\":{\"".utf8), .malformed, ""),
        (Array(#"{"model":7}"#.utf8), .malformed, "model"),
        (
            Array(#"{"version":"2.0","model":{"vocab":{},"merges":[]}}"#.utf8), .unsupported,
            "version"
        ),
        (Array(#"{"model":{"vocab":{},"merges":[]},"model":{}}"#.utf8), .malformed, ""),
        (Array(#"{"model":{"vocab":{},"vocab":{},"merges":[]}}"#.utf8), .malformed, ""),
        (Array(#"{"model":{"vocab":{},"merges":[]}} x"#.utf8), .malformed, ""),
        (
            Array("{\"model\":{\"vocab\":{\"".utf8) + [0xFF] + Array("\":1},\"merges\":[]}}".utf8),
            .malformed, ""
        ),
        (Array(String(repeating: "[", count: 100_000).utf8), .malformed, ""),
    ]

    @Test(arguments: faults.indices)
    func `refuses a faulty file and says where`(index: Int) {
        let fault = Self.faults[index]
        do {
            _ = try Tokenizer(json: fault.json, file: "tokenizer.json")
            Issue.record("\(String(decoding: fault.json, as: UTF8.self)) was accepted")
        } catch {
            #expect(error.code == fault.code, "\(error)")
            #expect(error.keyPath == fault.place, "\(error)")
            #expect(error.file == "tokenizer.json")
        }
    }

    @Test func `a file cut anywhere is refused`() throws {
        let bytes = try TokenizerFixtures.bytes("llama3.json")
        for length in stride(from: 0, to: bytes.count - 2, by: 97) {
            #expect(throws: TokenizerError.self) { try Tokenizer(json: Array(bytes[..<length])) }
        }
    }

    @Test func `bytes changed anywhere never stop the program`() throws {
        let bytes = try TokenizerFixtures.bytes("words.json")
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<300 {
            var changed = bytes
            for _ in 0..<Int.random(in: 1...3) {
                let place = Int.random(in: 0..<changed.count, using: &generator)
                changed[place] = UInt8.random(in: 0x20..<0x7F, using: &generator)
            }
            guard let tokenizer = try? Tokenizer(json: changed) else { continue }
            let ids = try? tokenizer.encode("The river, 1234 q müller", addSpecialTokens: true)
            _ = try? tokenizer.decode(ids ?? [])
        }
    }

    @Test func `an unknown character without its unknown token is an error of the text`() throws {
        let tokenizer = try Tokenizer(json: Self.document(model: #","unk_token":"<unk>""#))
        #expect(try tokenizer.encode("ab", addSpecialTokens: false) == [2])
        #expect { try tokenizer.encode("abc", addSpecialTokens: false) } throws: {
            ($0 as? TokenizerError)?.code == .text
        }
    }

    // MARK: Folders

    private func withFolder(
        _ files: [String: String], _ body: (String) throws -> Void
    ) throws {
        let folder = FileManager.default.temporaryDirectory
            .appending(path: "eft-tokenizer-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for (name, text) in files {
            try Data(text.utf8).write(to: URL(filePath: folder + "/" + name))
        }
        try body(folder)
    }

    private var json: String { String(decoding: Self.document(), as: UTF8.self) }

    @Test func `finds special ids in the files beside`() throws {
        let files = [
            "tokenizer.json": json,
            "tokenizer_config.json":
                #"{"bos_token":{"content":"a","special":true},"pad_token":null}"#,
            "special_tokens_map.json": #"{"bos_token":"b","eos_token":"ab"}"#,
            "generation_config.json": #"{"eos_token_id":[2,1],"pad_token_id":4}"#,
            "config.json": #"{"eos_token_id":0,"pad_token_id":3}"#,
        ]
        try withFolder(files) { folder in
            let tokenizer = try Tokenizer.load(folder: folder)
            #expect(tokenizer.bosID == 0)
            #expect(tokenizer.eosID == 2)
            #expect(tokenizer.padID == 4)
            #expect(tokenizer.eosIDs == [2, 1])
        }
        try withFolder([
            "tokenizer.json": json, "config.json": #"{"eos_token_id":3,"bos_token_id":-1}"#,
        ]) {
            let tokenizer = try Tokenizer.load(folder: $0)
            #expect(tokenizer.bosID == nil)
            #expect(tokenizer.eosIDs == [3])
        }
        try withFolder(["tokenizer.json": json, "generation_config.json": #"{"eos_token_id":"x"}"#])
        {
            folder in
            #expect { try Tokenizer.load(folder: folder) } throws: {
                ($0 as? TokenizerError)?.keyPath == "eos_token_id"
            }
        }
        try withFolder([:]) { folder in
            #expect { try Tokenizer.load(folder: folder) } throws: {
                ($0 as? TokenizerError)?.code == .unreadable
            }
        }
    }

    @Test(arguments: [0, 1, 1 << 18, 700_001])
    func `files of any size are copied whole`(_ size: Int) throws {
        let text = String((0..<size).map { Character(UnicodeScalar(UInt8(97 + $0 % 23))) })
        try withFolder(["vocab.txt": text, "merges.txt": text]) { source in
            try withFolder([:]) { destination in
                let copied = try TokenizerFiles.copy(from: source, to: destination)
                #expect(copied.contains("merges.txt"))
                let bytes = FileManager.default.contents(atPath: destination + "/merges.txt")
                #expect(bytes?.elementsEqual(text.utf8) == true)
                let names = try FileManager.default.contentsOfDirectory(atPath: destination)
                #expect(names.sorted() == copied.sorted())
            }
        }
    }

    @Test func `copies the tokenizer's files and nothing else`() throws {
        let files = ["tokenizer.json": json, "merges.txt": "a b\n", "model.safetensors": "x"]
        try withFolder(files) { source in
            try withFolder(["tokenizer.json": "old"]) { destination in
                #expect(
                    try TokenizerFiles.copy(from: source, to: destination)
                        == ["tokenizer.json", "merges.txt"])
                let names = try FileManager.default.contentsOfDirectory(atPath: destination)
                #expect(names.sorted() == ["merges.txt", "tokenizer.json"])
                #expect(try Tokenizer.load(folder: destination).vocabularySize == 5)
            }
            #expect(try TokenizerFiles.copy(from: source, to: source + "/.") == [])
            #expect(throws: TokenizerError.self) {
                try TokenizerFiles.copy(from: source, to: source + "/nowhere")
            }
        }
    }
}
