// SPDX-License-Identifier: Apache-2.0
// Tokens that are added to a tokenizer, against the tokenizers library.
import EftConfig
import EftTestSupport
import Testing

@testable import EftTokenizers

@Suite struct TokenizerPatchTests {
    private static let demo = Fixtures.path("../../Examples/demo/model")

    private static func facts() throws -> (facts: ConfigCursor, change: TokenizerChange) {
        let facts = try ConfigFile.read(Fixtures.path("saved-modules/tokens/tokens.json"))
        let special = try facts.required("special").strings()
        let ordinary = try facts.required("ordinary").strings()
        let added =
            special.map { TokenizerChange.NewToken($0, isSpecial: true) }
            + ordinary.map { TokenizerChange.NewToken($0, isSpecial: false) }
        return (facts, TokenizerChange(added: added))
    }

    private func check(_ tokenizer: Tokenizer, _ facts: ConfigCursor) throws {
        for (text, id) in try facts.required("ids").entries() {
            #expect(tokenizer.id(for: text).map { Int($0) } == (try id.int()), "\(text)")
        }
        for item in try facts.required("texts").elements() {
            let text = try item.required("text").string()
            let ids = try item.required("ids").elements().map { Int32(try $0.int()) }
            #expect(try tokenizer.encode(text, addSpecialTokens: false) == ids, "\(text)")
        }
    }

    @Test func `added tokens are found as the tokenizers library finds them`() throws {
        let (facts, change) = try Self.facts()
        let patch = try TokenizerPatch(change, folder: Self.demo)
        try check(patch.tokenizer, facts)
        let ids = try change.added.map { try #require(patch.tokenizer.id(for: $0.content)) }
        #expect(
            ids.map { patch.tokenizer.isSpecial($0) } == [true, true, true, false, false, false])
    }

    @Test func `the files that are written give the same tokenizer`() throws {
        let (facts, change) = try Self.facts()
        let folder = try TemporaryFolder()
        try TokenizerPatch(change, folder: Self.demo).copy(to: folder.path)
        try check(Tokenizer.load(folder: folder.path), facts)
        let config = try ConfigFile.read(folder.file("tokenizer_config.json"))
        let decoder = try config.required("added_tokens_decoder")
        #expect(try decoder.required("2048").required("content").string() == "<|im_start|>")
        #expect(try decoder.required("2051").required("special").bool() == false)
        // A second change goes on from the first one.
        let again = try TokenizerPatch(
            TokenizerChange(added: [TokenizerChange.NewToken("<more>", isSpecial: true)]),
            folder: folder.path)
        #expect(again.tokenizer.id(for: "<more>") == 2054)
    }

    @Test func `the text of an added token can be replaced`() throws {
        let folder = try TemporaryFolder()
        try TokenizerPatch(TokenizerChange(renamed: [2: "<|think|>"]), folder: Self.demo)
            .copy(to: folder.path)
        let tokenizer = try Tokenizer.load(folder: folder.path)
        #expect(try tokenizer.encode("<|think|>", addSpecialTokens: false) == [2])
        #expect(tokenizer.id(for: "<|pad|>") == nil)
    }

    @Test(arguments: [
        ([Int32(99999): "<zz>"], "there is no added token 99999"),
        ([Int32(2): "<|end_of_text|>"], "there already"),
    ])
    func `a replacement that cannot be is refused`(
        _ renamed: [Int32: String], _ message: String
    ) throws {
        let error = try #require(throws: TokenizerError.self) {
            try TokenizerPatch(TokenizerChange(renamed: renamed), folder: Self.demo)
        }
        #expect(error.code == .unsupported && error.description.contains(message))
    }

    @Test(arguments: [#"{"model": {"#, #"{"added_tokens": 3, "model": {"#, "[]", ""])
    func `damaged files are named`(_ json: String) throws {
        let folder = try TemporaryFolder()
        try folder.write("tokenizer.json", json)
        #expect(throws: TokenizerError.self) {
            try TokenizerPatch(
                TokenizerChange(added: [TokenizerChange.NewToken("x", isSpecial: false)]),
                folder: folder.path)
        }
    }

    @Test func `a file without added tokens gets them`() throws {
        let folder = try TemporaryFolder()
        try folder.write(
            "tokenizer.json",
            #"{ "version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}}"#
        )
        let patch = try TokenizerPatch(
            TokenizerChange(added: [TokenizerChange.NewToken("ab", isSpecial: false)]),
            folder: folder.path)
        #expect(try patch.tokenizer.encode("aabb", addSpecialTokens: false) == [0, 2, 1])
        let out = try TemporaryFolder()
        try patch.copy(to: out.path)
        let written = try Tokenizer.load(folder: out.path)
        #expect(try written.encode("aabb", addSpecialTokens: false) == [0, 2, 1])
    }
}
