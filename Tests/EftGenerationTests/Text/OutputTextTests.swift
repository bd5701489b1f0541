// SPDX-License-Identifier: Apache-2.0
// An answer's text is the text of all its tokens up to the first stop string.
import EftConfig
import EftGeneration
import EftTensor
import EftTestSupport
import EftTokenizers
import Testing

@Suite struct OutputTextTests {
    private func tokenizer(_ kind: String) throws -> Tokenizer {
        try Tokenizer(json: ConfigFile.contents(Fixtures.path("tokenizers/\(kind).json")))
    }

    private func text(
        _ tokenizer: Tokenizer, _ ids: [Int32], _ parameters: GenerationParameters
    ) throws -> (text: String, offsets: [Int], stop: String?) {
        var output = try OutputText(tokenizer, parameters)
        var (text, offsets) = ("", [Int]())
        for id in ids {
            let piece = try output.append(id)
            text += piece.text
            offsets.append(piece.offset)
        }
        text += try output.finish()
        return (text, offsets, output.stopString)
    }

    @Test(arguments: ["llama3", "sentencepiece"])
    func `random tokens give the text of all, cut at a stop string`(_ kind: String) throws {
        let tokenizer = try tokenizer(kind)
        var random = SplitMix64(seed: 5)
        var stopped = 0
        for round in 0..<300 {
            let ids = (0..<30).map { _ in
                Int32.random(in: 0..<Int32(tokenizer.idBound), using: &random)
            }
            var settings = GenerationParameters()
            settings.skipSpecialTokens = round % 2 == 0
            let whole = try tokenizer.decode(ids, skipSpecialTokens: round % 2 == 0)
            let plain = try text(tokenizer, ids, settings)
            #expect(plain.text.utf8.elementsEqual(whole.utf8) && plain.stop == nil)
            // Offsets are what had become certain before each token.
            var stream = try StreamingDetokenizer(
                tokenizer, skipSpecialTokens: settings.skipSpecialTokens)
            var (length, before) = (0, [Int]())
            for id in ids {
                before.append(length)
                length += try stream.append(id).unicodeScalars.count
            }
            #expect(plain.offsets == before)

            let scalars = Array(whole.unicodeScalars)
            guard scalars.count > 8 else { continue }
            let start = Int.random(in: 0..<scalars.count - 3, using: &random)
            let stop = String(String.UnicodeScalarView(scalars[start..<start + 3]))
            settings.stop = [stop]
            settings.includeStopString = round % 3 == 0
            let found = try text(tokenizer, ids, settings)
            #expect(found.stop?.utf8.elementsEqual(stop.utf8) == true)
            let bytes = Array(whole.utf8), needle = Array(stop.utf8)
            let place = (0...bytes.count - needle.count).first {
                bytes[$0..<$0 + needle.count] == needle[...]
            }
            let end = try #require(place) + (settings.includeStopString ? needle.count : 0)
            #expect(Array(found.text.utf8) == Array(bytes[..<end]))
            stopped += 1
        }
        #expect(stopped > 200)
    }

    @Test func `stop strings wait for the least number of tokens`() throws {
        let tokenizer = try tokenizer("llama3")
        let ids = try tokenizer.encode("one two one two one", addSpecialTokens: false)
        var settings = GenerationParameters()
        settings.stop = ["one"]
        #expect(try text(tokenizer, ids, settings).text == "")
        settings.minTokens = ids.count - 1
        let late = try text(tokenizer, ids, settings)
        #expect(late.text == "one two one two " && late.stop == "one")
        settings.minTokens = ids.count
        #expect(try text(tokenizer, ids, settings).text == "one two one two one")
    }

    @Test func `a token that ends the sequence has text only with stop strings`() throws {
        let tokenizer = try tokenizer("llama3")
        let ids = try tokenizer.encode("a b", addSpecialTokens: false)
        var settings = GenerationParameters(stopTokens: [try #require(ids.last)])
        let text = try text(tokenizer, Array(ids.dropLast()), settings).text
        #expect(try self.text(tokenizer, ids, settings).text == text)
        settings.includeStopString = true
        #expect(try self.text(tokenizer, ids, settings).text == "a b")
    }
}
