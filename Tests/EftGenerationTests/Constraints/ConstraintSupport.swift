// SPDX-License-Identifier: Apache-2.0
// Vocabularies and random texts for the tests of constraints.

import EftConfig
import EftFormats
import EftGeneration
import EftTensor
import EftTestSupport
import EftTokenizers
import Testing

/// The vocabularies that every constraint is tried with.
enum Vocabularies {
    /// A byte-level tokenizer whose tokens may end within a character.
    static let byteLevel = load("llama3")
    /// A SentencePiece tokenizer with tokens for single bytes.
    static let sentencePiece = load("sentencepiece")
    /// A token for each byte, and none longer.
    static let bytes = make((0..<256).map { [UInt8($0)] } + [nil])
    /// Few tokens, of whole characters only; `x` and `y` are missing.
    static let characters = make(
        (32..<127).filter { $0 != 120 && $0 != 121 }.map { [UInt8($0)] }
            + ["é", "\n", "水", "ab", "{\"", "\":", "true", "水é"].map { Array($0.utf8) }
            + [[0xE6], [0xB0, 0xB4], nil])

    static let all = [byteLevel, sentencePiece, bytes]

    private static func load(_ name: String) -> ConstraintVocabulary {
        do {
            let file = try FileSystem.read(Fixtures.path("tokenizers/\(name).json"))
            let tokenizer = try Tokenizer(json: file)
            let end = try #require(tokenizer.id(for: "</s>") ?? tokenizer.id(for: "<|eos|>"))
            return try ConstraintVocabulary(tokenizer, endIDs: [end])
        } catch { preconditionFailure("\(name): \(error)") }
    }

    private static func make(_ texts: [[UInt8]?]) -> ConstraintVocabulary {
        do {
            return try ConstraintVocabulary(
                texts: texts, endIDs: [Int32(texts.count - 1)])
        } catch { preconditionFailure("\(error)") }
    }
}

extension ConstraintVocabulary {
    /// The ids whose bits are set.
    func ids(_ mask: [UInt32]) -> [Int32] {
        (0..<Int32(size)).filter { mask[Int($0 >> 5)] >> UInt32($0 & 31) & 1 == 1 }
    }

    /// Some way to spell a text, with long tokens where `random` says so; nil when there is none.
    func spell(_ text: [UInt8], _ random: inout SplitMix64) -> [Int32]? {
        var ids: [Int32] = []
        var place = 0
        while place < text.count {
            let fitting = (0..<Int32(size)).filter {
                let token = self.text(of: $0)
                return !token.isEmpty && text[place...].starts(with: token)
            }
            let lengths = fitting.map { self.text(of: $0).count }
            let longest = lengths.max() ?? 0
            let wanted =
                Bool.random(using: &random) ? longest : lengths.randomElement(using: &random)
            guard let id = fitting.first(where: { self.text(of: $0).count == wanted }) else {
                return nil
            }
            ids.append(id)
            place += self.text(of: id).count
        }
        return ids
    }
}

extension CompiledConstraint {
    /// The allowed tokens of a state.
    func allowed(_ state: inout ConstraintState) throws -> [Int32] {
        var mask = [UInt32](repeating: ~0, count: vocabulary.maskWords)
        try state.allowed(into: &mask)
        return vocabulary.ids(mask)
    }

    /// A text of random allowed tokens, or nil when it is not complete after `limit` tokens.
    ///
    /// Expects that some token is always allowed, and that every allowed one is taken.
    func randomText(_ random: inout SplitMix64, limit: Int = 300) throws -> [UInt8]? {
        var state = try begin()
        var text: [UInt8] = []
        for step in 0..<limit {
            let ids = try allowed(&state)
            guard !ids.isEmpty else {
                Issue.record("no token is allowed after \(String(decoding: text, as: UTF8.self))")
                return nil
            }
            let canEnd = ids.contains { vocabulary.isEnd($0) }
            #expect(canEnd == state.isComplete)
            if canEnd && (ids.count == 1 || step > 30 || Int.random(in: 0..<4, using: &random) == 0)
            {
                return text
            }
            let choices = ids.filter { !vocabulary.isEnd($0) }
            guard let id = choices.randomElement(using: &random) else { return text }
            #expect(try state.advance(id))
            text += vocabulary.text(of: id)
        }
        return nil
    }

    /// Whether a text is taken, token by token as it is written and byte by byte.
    func takes(_ text: [UInt8], _ random: inout SplitMix64) throws -> Bool {
        var byBytes = try begin()
        let whole = try byBytes.advance(text) && byBytes.isComplete
        guard let ids = vocabulary.spell(text, &random) else { return whole }
        var state = try begin()
        var taken = true
        for id in ids {
            let isAllowed = try allowed(&state).contains(id)
            #expect(try state.advance(id) == isAllowed)
            if !isAllowed {
                taken = false
                break
            }
        }
        taken = taken && state.isComplete
        #expect(taken == whole)
        return whole
    }

    /// Expects that masks along a random text are what trying each token gives.
    func checkMasks(_ random: inout SplitMix64, steps: Int) throws {
        var state = try begin()
        for _ in 0..<steps {
            let ids = try allowed(&state)
            var tried: [Int32] = []
            for id in 0..<Int32(vocabulary.size) {
                var copy = state
                if try copy.advance(id) { tried.append(id) }
            }
            #expect(ids == tried)
            guard let id = ids.filter({ !vocabulary.isEnd($0) }).randomElement(using: &random)
            else { return }
            #expect(try state.advance(id))
        }
    }
}
