// SPDX-License-Identifier: Apache-2.0
// The bytes that single tokens add to a text.

import EftTensor
import Testing

@testable import EftTokenizers

struct TokenTextTests {
    @Test(arguments: ["llama3", "qwen", "gpt2", "digits", "sentencepiece", "metaspace"])
    func `The texts of tokens make up what decoding gives`(kind: String) throws {
        let tokenizer = try TokenizerFixtures.tokenizer(kind)
        let texts = try tokenizer.textOfTokens()
        #expect(texts.count == tokenizer.idBound)
        let ordinary = (0..<Int32(texts.count)).filter { texts[Int($0)] != nil }
        var random = SplitMix64(seed: 5)
        var compared = 0
        for _ in 0..<2000 {
            // Something in front, as the first token may lose its space.
            let first = try #require(tokenizer.encode("a", addSpecialTokens: false).last)
            let ids = (0..<Int.random(in: 1...6, using: &random)).compactMap { _ in
                ordinary.randomElement(using: &random)
            }
            let bytes = ids.flatMap { texts[Int($0)] ?? [] }
            guard String(validating: bytes, as: UTF8.self) != nil else { continue }
            let alone = try tokenizer.decode([first])
            let whole = try tokenizer.decode([first] + ids)
            compared += 1
            #expect(whole.utf8.elementsEqual(Array(alone.utf8) + bytes))
        }
        #expect(compared > 200)
        for id in 0..<Int32(texts.count) where tokenizer.isSpecial(id) {
            #expect(texts[Int(id)] == nil)
        }
    }

    @Test func `Tokens of a tokenizer that joins them with spaces have no text`() throws {
        let tokenizer = try TokenizerFixtures.tokenizer("words")
        if case .join? = tokenizer.decoder.first {
            #expect(throws: TokenizerError.self) { try tokenizer.textOfTokens() }
        }
    }
}
