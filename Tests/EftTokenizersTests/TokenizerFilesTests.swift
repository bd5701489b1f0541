// SPDX-License-Identifier: Apache-2.0
// Folders without tokenizer.json against sentencepiece, transformers, tiktoken and mistral_common.
import EftConfig
import EftFormats
import EftTestSupport
import Testing

@testable import EftTokenizers

/// The folders of scripts/fixtures/tokenizer_files.py.
enum TokenizerFolders {
    static let golden = try? ConfigFile.read(Fixtures.path("tokenizer-files/golden.json"))
    static let names = (try? golden?.required("cases").entries().map(\.key)) ?? []

    static func bytes(_ name: String) throws -> [UInt8] {
        try FileSystem.read(Fixtures.path("tokenizer-files/\(name)"))
    }

    /// Writes the files of a case.
    static func make(_ name: String) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        let cases = try #require(golden).required("cases")
        for (file, content) in try cases.required(name).required("files").entries() {
            if case .string(let source) = content.node.value {
                try folder.write(file, bytes(source))
            } else {
                try folder.write(file, JSONWriter.bytes(content.node, layout: .minimal))
            }
        }
        return folder
    }

    /// Gives the folder of a case to `body`.
    static func with<T>(_ name: String, _ body: (_ folder: String) throws -> T) throws -> T {
        let folder = try make(name)
        return try withExtendedLifetime(folder) { try body(folder.path) }
    }

    static func load(_ name: String) throws -> Tokenizer {
        try with(name) { try Tokenizer.load(folder: $0) }
    }
}

@Suite struct TokenizerFilesTests {
    private struct Case {
        let text: String
        let ids: [Int32]
        /// What the ids become without special tokens.
        let decoded: String
    }

    private static func cases(_ name: String) throws -> [Case] {
        let golden = try #require(TokenizerFolders.golden)
        let texts = try golden.required("texts").strings()
        let entry = try golden.required("cases").required(name)
        let ids = try entry.required("ids").elements().map { try $0.ids() }
        let decoded = try entry.required("decoded").elements()
        return try entry.required("texts").elements().enumerated().map { place, item in
            let text = texts[try item.int()]
            let other = decoded[place].node.value
            let result = if case .string(let changed) = other { changed } else { text }
            return Case(text: text, ids: ids[place], decoded: result)
        }
    }

    private static func check(_ tokenizer: Tokenizer, _ name: String) throws {
        let cases = try cases(name)
        #expect(cases.count > 8)
        for entry in cases {
            let ids = try tokenizer.encode(entry.text, addSpecialTokens: true)
            #expect(ids == entry.ids, "\(name) \(entry.text.debugDescription)")
            let text = try tokenizer.decode(entry.ids, skipSpecialTokens: true)
            #expect(same(text, entry.decoded), "\(name) \(entry.text.debugDescription)")
            var stream = try StreamingDetokenizer(tokenizer, skipSpecialTokens: true)
            var bytes: [UInt8] = []
            for id in entry.ids { try stream.append(id, into: &bytes) }
            try stream.finish(into: &bytes)
            #expect(bytes.elementsEqual(text.utf8))
        }
    }

    @Test(arguments: TokenizerFolders.names)
    func `ids and texts are those of the tokenizer's own library`(_ name: String) throws {
        let folder = try TokenizerFolders.make(name)
        try Self.check(Tokenizer.load(folder: folder.path), name)
    }

    @Test func `there are cases of every form`() {
        for form in ["spm-", "tiktoken-", "tekken"] {
            #expect(TokenizerFolders.names.contains { $0.hasPrefix(form) })
        }
    }

    @Test(arguments: ["spm-new", "tiktoken-qwen", "tiktoken-o200k", "tekken"])
    func `a copied folder gives the same tokenizer`(_ name: String) throws {
        let folder = try TokenizerFolders.make(name)
        let copy = try TemporaryFolder()
        #expect(TokenizerFiles.hasTokenizer(folder.path))
        #expect(!TokenizerFiles.hasTokenizer(copy.path))
        try TokenizerFiles.copy(from: folder.path, to: copy.path)
        #expect(TokenizerFiles.hasTokenizer(copy.path))
        try Self.check(Tokenizer.load(folder: copy.path), name)
    }

    @Test func `special tokens come from the file where none are named`() throws {
        let bare = try TokenizerFolders.load("spm-bare")
        #expect(bare.bosID == 1 && bare.eosID == 2 && bare.padID == nil && bare.eosIDs == [2])
        let named = try TokenizerFolders.load("spm-named-pad")
        #expect(named.padID == 520 && named.eosID == named.id(for: "<|im_end|>"))
        #expect(named.isSpecial(520) && named.idBound == 521)
        let llama = try TokenizerFolders.load("tiktoken-llama3")
        #expect(llama.bosID == 380 && llama.eosID == 381 && llama.idBound == 380 + 256)
        let qwen = try TokenizerFolders.load("tiktoken-qwen")
        #expect(qwen.bosID == nil && qwen.eosID == 380)
        let cased = try TokenizerFolders.load("tiktoken-o200k")
        #expect(cased.bosID == 390 && cased.eosID == 400 && cased.token(for: 395) == nil)
        let tekken = try TokenizerFolders.load("tekken")
        #expect(tekken.bosID == 1 && tekken.eosID == 2 && tekken.padID == 11)
        #expect(tekken.token(for: 23) == "<SPECIAL_23>" && tekken.idBound == 344)
        #expect(try tekken.encode("[INST]a", addSpecialTokens: false) == [3, 24 + 97])
    }

    @Test(arguments: ["spm-bare", "spm-legacy", "tiktoken-llama3", "tekken"])
    func `tokens can be added, and are written as tokenizer.json`(_ name: String) throws {
        let folder = try TokenizerFolders.make(name)
        let old = try Tokenizer.load(folder: folder.path)
        let change = TokenizerChange(
            added: [TokenizerChange.NewToken("<more>", isSpecial: true)])
        let patch = try TokenizerPatch(change, folder: folder.path)
        let copy = try TemporaryFolder()
        try patch.copy(to: copy.path)
        #expect(FileSystem.exists(copy.file("tokenizer.json")))
        for tokenizer in [patch.tokenizer, try Tokenizer.load(folder: copy.path)] {
            #expect(tokenizer.id(for: "<more>").map(Int.init) == old.idBound)
            #expect(tokenizer.bosID == old.bosID && tokenizer.eosID == old.eosID)
            try Self.check(tokenizer, name)
        }
    }

    @Test func `a token gets another text`() throws {
        let folder = try TokenizerFolders.make("tekken")
        let patch = try TokenizerPatch(
            TokenizerChange(renamed: [20: "<mine>"]), folder: folder.path)
        let copy = try TemporaryFolder()
        try patch.copy(to: copy.path)
        let tokenizer = try Tokenizer.load(folder: copy.path)
        #expect(tokenizer.token(for: 20) == "<mine>")
        #expect(try tokenizer.encode("<mine>", addSpecialTokens: false) == [20])
    }

    @Test func `other formats get its tokens and merges`() throws {
        let parts = try TokenizerFolders.with("spm-legacy") { try TokenizerParts(folder: $0) }
        #expect(parts.tokens.count == 521 && !parts.isByteLevel && parts.prefixesSpace)
        #expect(parts.addsBOS && !parts.addsEOS && parts.unknown == 0)
        #expect(parts.tokens[3].map { String(decoding: $0.text, as: UTF8.self) } == "<ctrl>")
        #expect(parts.tokens.contains { $0?.kind == .byte })
        let ranked = try TokenizerFolders.with("tiktoken-llama3") { try TokenizerParts(folder: $0) }
        #expect(ranked.isByteLevel && ranked.ignoresMerges && !ranked.merges.isEmpty)
        #expect(throws: TokenizerError.self) {
            try TokenizerFolders.with("spm-rules") { try TokenizerParts(folder: $0) }
        }
        #expect(throws: TokenizerError.self) {
            let change = TokenizerChange(
                added: [TokenizerChange.NewToken("<more>", isSpecial: true)])
            _ = try TokenizerFolders.with("spm-rules") {
                try TokenizerPatch(change, folder: $0)
            }
        }
    }

    @Test func `tokenizer_config.json can name a control piece and give further tokens ids`() throws
    {
        let folder = try TokenizerFolders.make("spm-bare")
        let flags = #""lstrip":false,"rstrip":false,"normalized":false,"special":true"#
        func write(_ id: Int, _ text: String) throws {
            try folder.write(
                "tokenizer_config.json",
                #"{"bos_token":null,"added_tokens_decoder":{"\#(id)":{"content":"\#(text)",\#(flags)}}}"#
            )
        }
        try write(3, "<renamed>")
        let tokenizer = try Tokenizer.load(folder: folder.path)
        #expect(tokenizer.token(for: 3) == "<renamed>" && tokenizer.bosID == nil)
        #expect(try tokenizer.encode("<renamed>", addSpecialTokens: true) == [3])
        try write(600, "<far>")
        let far = try Tokenizer.load(folder: folder.path)
        #expect(far.id(for: "<far>") == 600 && far.idBound == 601)
        #expect(try far.encode("<far>", addSpecialTokens: true) == [600])
        // An ordinary piece keeps its text.
        try write(400, "<taken>")
        #expect(throws: TokenizerError.self) { try Tokenizer.load(folder: folder.path) }
    }
}
