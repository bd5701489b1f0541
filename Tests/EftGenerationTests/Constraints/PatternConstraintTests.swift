// SPDX-License-Identifier: Apache-2.0
// Regular expressions and choices: what they take, refuse, and lead to.

import EftConfig
import EftFormats
import EftGeneration
import EftTensor
import EftTestSupport
import Testing

@testable import EftTokenizers

struct PatternConstraintTests {
    private static func constraint(
        _ specification: ConstraintSpecification, _ vocabulary: ConstraintVocabulary
    ) throws -> CompiledConstraint {
        try CompiledConstraint(specification, vocabulary: vocabulary)
    }

    private static func cases() throws -> [ConfigCursor] {
        try ConfigCursor(
            JSONParser.parse(FileSystem.read(Fixtures.path("constraints/patterns.json")))
        ).elements()
    }

    @Test func `Texts are taken that Python's re matches, and no others`() throws {
        var random = SplitMix64(seed: 1)
        for item in try Self.cases() {
            let pattern = try item.required("pattern").string()
            for vocabulary in Vocabularies.all {
                let constraint = try Self.constraint(.regex(pattern), vocabulary)
                for text in try item.required("matches").elements() {
                    let text = try text.string()
                    #expect(try constraint.takes(Array(text.utf8), &random), "\(pattern) \(text)")
                }
                for text in try item.required("others").elements() {
                    let text = try text.string()
                    #expect(try !constraint.takes(Array(text.utf8), &random), "\(pattern) \(text)")
                }
            }
        }
    }

    @Test func `Random texts match, and can always be gone on with`() throws {
        var random = SplitMix64(seed: 2)
        let state = try MatchState()
        for item in try Self.cases() {
            let pattern = try item.required("pattern").string()
            let whole = try Pattern("\\A(?:\(pattern.replacing("?P<", with: "?<")))\\z")
            for vocabulary in Vocabularies.all {
                let constraint = try Self.constraint(.regex(pattern), vocabulary)
                for _ in 0..<10 {
                    guard let text = try constraint.randomText(&random, limit: 60) else { continue }
                    let match = try text.withUnsafeBufferPointer {
                        try whole.firstMatch(in: $0, from: 0, state: state)
                    }
                    #expect(match != nil, "\(pattern) \(String(decoding: text, as: UTF8.self))")
                    #expect(String(validating: text, as: UTF8.self) != nil)
                }
            }
        }
    }

    @Test func `Masks are what trying each token gives`() throws {
        var random = SplitMix64(seed: 3)
        for item in try Self.cases() {
            for vocabulary in Vocabularies.all {
                try Self.constraint(.regex(item.required("pattern").string()), vocabulary)
                    .checkMasks(&random, steps: 6)
            }
        }
    }

    @Test func `A choice takes its texts only, also thousands of them`() throws {
        var random = SplitMix64(seed: 4)
        let texts = (0..<3000).map { "choice \($0 * 7)é" } + ["c", "choice"]
        for vocabulary in Vocabularies.all {
            let constraint = try Self.constraint(.choice(texts), vocabulary)
            for text in texts.suffix(20) {
                #expect(try constraint.takes(Array(text.utf8), &random))
            }
            for text in ["", "ch", "choice ", "choice 1é", "choice 7", "choice 7éé", "cc"] {
                #expect(try !constraint.takes(Array(text.utf8), &random))
            }
            for _ in 0..<20 {
                let text = try #require(try constraint.randomText(&random))
                #expect(texts.contains(String(decoding: text, as: UTF8.self)))
            }
        }
    }

    @Test func `Parts follow each other, repeat and leave out what must not occur`() throws {
        var random = SplitMix64(seed: 5)
        let call = ConstraintSpecification.sequence([
            .literal("<call>"), .regex("[a-z]+"), .literal("</call>"),
        ])
        let whole = ConstraintSpecification.sequence([
            .textWithout(["<call>", "aab"]),
            .repeated(call, minimum: 1, maximum: 2, separator: ", "),
        ])
        for vocabulary in Vocabularies.all {
            let constraint = try Self.constraint(whole, vocabulary)
            let good = [
                "<call>x</call>", "say é: <cal<call>x</call>, <call>yz</call>",
                "aaaaa <<call>q</call>",
            ]
            for text in good { #expect(try constraint.takes(Array(text.utf8), &random), "\(text)") }
            let bad = [
                "", "<call></call>", "aaaab<call>x</call>", "<call>x</call>,<call>x</call>",
                "<call>x</call>, <call>x</call>, <call>x</call>", "<call>x</call>, ",
            ]
            for text in bad { #expect(try !constraint.takes(Array(text.utf8), &random), "\(text)") }
            try constraint.checkMasks(&random, steps: 20)
        }
    }

    @Test func `A special token stands where it is asked for, and nowhere else`() throws {
        var random = SplitMix64(seed: 15)
        let texts = (0..<256).map { [UInt8($0)] } + [nil, [], nil]
        let vocabulary = try ConstraintVocabulary(texts: texts, endIDs: [258])
        let call = ConstraintSpecification.sequence([
            .textWithout(["}"]), .token(257), .jsonObject, .token(256),
        ])
        let constraint = try Self.constraint(call, vocabulary)
        var state = try constraint.begin()
        #expect(try !state.advance(Int32(256)))
        #expect(try state.advance("a\u{e9}".utf8))
        #expect(try constraint.allowed(&state).contains(257))
        #expect(try state.advance(Int32(257)))
        #expect(try state.advance("{\"a\":\"".utf8))
        #expect(try constraint.allowed(&state).allSatisfy { $0 < 256 })
        #expect(try state.advance("\"}".utf8))
        #expect(try constraint.allowed(&state) == [256])
        #expect(try state.advance(Int32(256)))
        #expect(try constraint.allowed(&state) == [258])
        try constraint.checkMasks(&random, steps: 30)
        #expect(vocabulary.text(of: 256).isEmpty && vocabulary.text(of: 257).isEmpty)
        #expect(throws: ConstraintError.self) { try Self.constraint(.token(65), vocabulary) }
        #expect(throws: ConstraintError.self) { try Self.constraint(.token(258), vocabulary) }
        #expect(throws: ConstraintError.self) { try Self.constraint(.token(-1), vocabulary) }
    }

    @Test func `Tokens that cannot be completed are never allowed`() throws {
        var random = SplitMix64(seed: 6)
        let vocabulary = Vocabularies.characters
        let constraint = try Self.constraint(.regex("(.|\\n){3,5}"), vocabulary)
        for _ in 0..<50 {
            let text = try #require(try constraint.randomText(&random))
            #expect(String(validating: text, as: UTF8.self) != nil)
        }
        #expect(throws: ConstraintError.self) { try Self.constraint(.literal("ax"), vocabulary) }
        let choice = try Self.constraint(.choice(["abx", "aby", "abz"]), vocabulary)
        #expect(try choice.randomText(&random) == Array("abz".utf8))
    }

    @Test func `Copies go back, and the end is an end`() throws {
        let vocabulary = Vocabularies.byteLevel
        let constraint = try Self.constraint(.regex("key=(true|false)!"), vocabulary)
        var state = try constraint.begin()
        #expect(try state.advance("key=t".utf8))
        let kept = state
        #expect(try !state.advance("rux".utf8))
        #expect(try state.advance("rue!".utf8))
        #expect(state.isComplete && !state.isFinished)
        #expect(try constraint.allowed(&state) == vocabulary.endIDs)
        #expect(try state.advance(vocabulary.endIDs[0]))
        #expect(state.isFinished)
        #expect(try constraint.allowed(&state) == vocabulary.endIDs)
        #expect(try !state.advance(Int32(70)))
        state = kept
        #expect(try state.advance("rue".utf8))
        #expect(!state.isComplete)
        for id in [Int32.min, -1, Int32(vocabulary.size), .max] {
            #expect(try !state.advance(id))
        }
        #expect(try !state.advance(vocabulary.endIDs[0]))
    }
}
