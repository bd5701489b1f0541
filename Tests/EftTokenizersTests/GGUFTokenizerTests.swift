// SPDX-License-Identifier: Apache-2.0
// Tokenizers in GGUF files against sentencepiece and tokenizers.
import EftConfig
import EftFormats
import EftTestSupport
import Testing

@testable import EftTokenizers

@Suite struct GGUFTokenizerTests {
    private static let folder = "gguf/tokenizers"
    private static let names = try? Fixtures.list(folder).filter { $0.hasSuffix(".gguf") }

    @Test(arguments: names ?? [])
    func `ids are those of the tokenizer's own library`(_ name: String) throws {
        let path = Fixtures.path("\(Self.folder)/\(name)")
        let tokenizer = try Tokenizer.load(folder: path)
        let file = Fixtures.path("\(Self.folder)/golden.json")
        let golden = try ConfigCursor(JSONParser.parse(FileSystem.read(file)))
        let cases = try golden.required(String(name.dropLast(".gguf".count))).elements()
        #expect(cases.count > 20)
        for entry in cases {
            let text = try entry.required("text").string()
            let ids = try entry.required("ids").elements().map { try $0.int() }
            let found = try tokenizer.encode(text, addSpecialTokens: true)
            #expect(found.map(Int.init) == ids, "\(text.debugDescription)")
            let plain = try tokenizer.encode(text, addSpecialTokens: false)
            #expect(try tokenizer.decode(plain) == text)
        }
    }

    @Test func `special tokens and the chat template come from the file`() throws {
        let path = Fixtures.path("\(Self.folder)/llama-bpe.gguf")
        let tokenizer = try Tokenizer.load(folder: path)
        #expect(tokenizer.bosID == 524 && tokenizer.eosID == 525)
        #expect(tokenizer.eosIDs == [525])
        let templates = try ChatTemplates.load(folder: path)
        #expect(templates.source.contains("message.content"))
        let spm = try Tokenizer.load(folder: Fixtures.path("\(Self.folder)/spm.gguf"))
        #expect(spm.bosID == 1 && spm.eosID == 2)
        #expect(
            try ChatTemplates.loadIfPresent(folder: Fixtures.path("\(Self.folder)/spm.gguf")) == nil
        )
    }

    @Test func `other tokenizers are refused by name`() throws {
        let folder = try TemporaryFolder()
        let bytes = try FileSystem.read(Fixtures.path("\(Self.folder)/qwen2.gguf"))
        func fault(_ old: String, _ new: String) throws -> TokenizerError? {
            let (from, to) = (Array(old.utf8), Array(new.utf8))
            var changed = bytes
            let place = try #require(
                bytes.indices.first { bytes[$0...].starts(with: from) })
            changed.replaceSubrange(place..<place + from.count, with: to)
            let path = try folder.write("changed.gguf", changed)
            return #expect(throws: TokenizerError.self) { try Tokenizer.load(folder: path) }
        }
        #expect(try fault("gpt2", "bert")?.message.contains("WordPiece") == true)
        #expect(try fault("qwen2", "wen22")?.message.contains("'wen22'") == true)
    }
}
