// SPDX-License-Identifier: Apache-2.0
// Encoding and decoding against the `tokenizers` library.

import EftConfig
import Testing

@testable import EftTokenizers

struct TokenizerTests {
    @Test(arguments: TokenizerFixtures.kinds)
    func `encodes and decodes every text as the library does`(kind: String) throws {
        let tokenizer = try TokenizerFixtures.tokenizer(kind)
        let cases = try TokenizerFixtures.list(kind + ".cases.json")
        let texts = TokenizerFixtures.texts
        #expect(texts.count > 150)
        #expect(cases.count == texts.count)
        for (text, expected) in zip(texts, cases) {
            let ids = try expected.required("ids").ids()
            #expect(
                try tokenizer.encode(text, addSpecialTokens: false) == ids,
                "\(text.debugDescription)")
            let around = try expected.optional("around")?.ids() ?? [0]
            let front = Int(around[0])
            let full = around[1..<(1 + front)] + ids + around[(1 + front)...]
            #expect(try tokenizer.encode(text, addSpecialTokens: true) == Array(full))
            let decoded = try expected.optional("decoded")?.string() ?? text
            let skipped = try expected.optional("skipped")?.string() ?? decoded
            let own = try tokenizer.decode(full)
            #expect(
                same(own, decoded),
                "\(text.debugDescription): \(own.debugDescription), not \(decoded.debugDescription)"
            )
            #expect(same(try tokenizer.decode(full, skipSpecialTokens: true), skipped))
        }
    }

    @Test func `encodes random code points as the library does`() throws {
        var tokenizers: [String: Tokenizer] = [:]
        let cases = try TokenizerFixtures.list("random.json").map { try $0.elements() }
        #expect(cases.count >= 300)
        for expected in cases {
            let kind = try expected[0].string()
            if tokenizers[kind] == nil { tokenizers[kind] = try TokenizerFixtures.tokenizer(kind) }
            let text = try expected[1].string()
            let ids = try tokenizers[kind]?.encode(text, addSpecialTokens: false)
            let wanted = try expected[2].ids()
            #expect(ids == wanted, "\(kind): \(text.debugDescription)")
        }
    }

    @Test func `decodes ids in any order as the library does`() throws {
        for expected in try TokenizerFixtures.list("streams.json").map({ try $0.elements() }) {
            let kind = try expected[0].string()
            let tokenizer = try TokenizerFixtures.tokenizer(kind)
            let ids = try expected[1].ids()
            let text = try expected[2].string()
            let own = try tokenizer.decode(ids)
            #expect(
                same(own, text),
                "\(kind): \(own.debugDescription), not \(text.debugDescription)"
            )
        }
    }

    @Test(arguments: TokenizerFixtures.kinds)
    func `streams what decoding at once gives, in whole characters`(kind: String) throws {
        let tokenizer = try TokenizerFixtures.tokenizer(kind)
        var generator = SystemRandomNumberGenerator()
        for text in TokenizerFixtures.texts.prefix(120) {
            var ids = try tokenizer.encode(text, addSpecialTokens: true)
            if Bool.random(using: &generator) { ids.shuffle(using: &generator) }
            for skip in [false, true] {
                var stream = try StreamingDetokenizer(tokenizer, skipSpecialTokens: skip)
                var pieces: [String] = []
                for id in ids { pieces.append(try stream.append(id)) }
                pieces.append(try stream.finish())
                let whole = try tokenizer.decode(ids, skipSpecialTokens: skip)
                #expect(same(pieces.joined(), whole), "\(ids)")
            }
        }
    }

    @Test func `holds a character back until its last byte`() throws {
        let tokenizer = try TokenizerFixtures.tokenizer("gpt2")
        let ids = try tokenizer.encode("🙂", addSpecialTokens: false)
        #expect(ids.count == 4)
        var stream = try StreamingDetokenizer(tokenizer)
        for id in ids.dropLast() { #expect(try stream.append(id).isEmpty) }
        #expect(try stream.append(ids[3]) == "🙂")
        #expect(try stream.append(ids[0]).isEmpty)
        #expect(try stream.finish() == "\u{FFFD}")
    }

    @Test func `encodes alike on many threads at once`() async throws {
        let tokenizer = try TokenizerFixtures.tokenizer("llama3")
        let texts = TokenizerFixtures.texts
        let expected = try texts.map { try tokenizer.encode($0, addSpecialTokens: true) }
        try await withThrowingTaskGroup(of: [[Int32]].self) { group in
            for _ in 0..<8 {
                group.addTask { try texts.map { try tokenizer.encode($0, addSpecialTokens: true) } }
            }
            for try await result in group { #expect(result == expected) }
        }
    }

    @Test func `names its tokens`() throws {
        let tokenizer = try TokenizerFixtures.tokenizer("llama3")
        let bos = try #require(tokenizer.id(for: "<|bos|>"))
        #expect(tokenizer.token(for: bos) == "<|bos|>")
        #expect(tokenizer.isSpecial(bos))
        #expect(tokenizer.id(for: "Ġthe") != nil)
        #expect(tokenizer.id(for: "no such token") == nil)
        #expect(tokenizer.token(for: -1) == nil)
        #expect(tokenizer.token(for: Int32(tokenizer.idBound)) == nil)
        #expect(tokenizer.token(for: Int32(tokenizer.idBound) - 1) != nil)
        #expect(tokenizer.vocabularySize == 612)
        let known = try tokenizer.decode([0])
        #expect(try tokenizer.decode([-5, 0, .max]) == known)
    }
}
