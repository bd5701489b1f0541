// SPDX-License-Identifier: Apache-2.0
// Where in a text its tokens stand.
import EftConfig
import Testing

@testable import EftTokenizers

struct TokenPlacesTests {
    @Test(arguments: TokenizerFixtures.kinds)
    func `places follow each other and cover the text`(kind: String) throws {
        let tokenizer = try TokenizerFixtures.tokenizer(kind)
        var found = 0
        for text in TokenizerFixtures.texts {
            let ids = try tokenizer.encode(text, addSpecialTokens: false)
            let bytes = Array(text.utf8)
            guard let places = tokenizer.places(of: ids, in: bytes) else {
                // Without a rule that changes texts every token has its place.
                #expect(kind != "gpt2" && kind != "llama3", "\(text.debugDescription)")
                continue
            }
            found += 1
            #expect(places.count == ids.count)
            var end = 0
            for (id, place) in zip(ids, places) {
                #expect(place.lowerBound == end)
                end = place.upperBound
                guard kind == "gpt2" || kind == "llama3", tokenizer.added.token(for: id) == nil
                else { continue }
                #expect(try tokenizer.decode([id]) == String(decoding: bytes[place], as: UTF8.self))
            }
            #expect(end == bytes.count)
        }
        #expect(found > 15)
    }

    @Test func `a space that the tokenizer put in front has no place`() throws {
        let tokenizer = try TokenizerFixtures.tokenizer("sentencepiece")
        let ids = try tokenizer.encode("the", addSpecialTokens: false)
        #expect(tokenizer.token(for: ids[0])?.hasPrefix("\u{2581}") == true)
        #expect(tokenizer.places(of: ids, in: Array("the".utf8))?.first?.lowerBound == 0)
    }

    @Test func `ids of another text have no places`() throws {
        let tokenizer = try TokenizerFixtures.tokenizer("gpt2")
        let ids = try tokenizer.encode("the end", addSpecialTokens: false)
        for text in ["the en", "the end.", "The end", ""] {
            #expect(tokenizer.places(of: ids, in: Array(text.utf8)) == nil)
        }
        #expect(tokenizer.places(of: [-1], in: [0x61]) == nil)
        #expect(tokenizer.places(of: [9_999_999], in: [0x61]) == nil)
        #expect(tokenizer.places(of: [], in: []) == [])
    }
}
