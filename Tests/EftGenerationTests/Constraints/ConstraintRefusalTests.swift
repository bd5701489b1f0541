// SPDX-License-Identifier: Apache-2.0
// Constraints that are refused, or cost too much.

import EftConfig
import EftGeneration
import EftTensor
import EftTestSupport
import Synchronization
import Testing

struct ConstraintRefusalTests {
    private func code(
        _ specification: ConstraintSpecification,
        limits: ConstraintLimits = ConstraintLimits()
    ) -> ConstraintError.Code? {
        do {
            _ = try CompiledConstraint(
                specification, vocabulary: Vocabularies.byteLevel, limits: limits)
            return nil
        } catch { return error.code }
    }

    @Test(arguments: [
        "(?=a)b", "(?!a)b", "(?<=a)b", "(?<!a)b", "(a)\\1", "a*+", "(?>a)", "\\bword\\b", "(?i)a",
        "\\k<name>", "(?P=name)", "a^b", "a$b", "[a&&b]", "\\p{Greek}", "\\0",
    ])
    func `What an automaton cannot do is refused`(pattern: String) {
        #expect(code(.regex(pattern)) == .unsupported)
    }

    @Test(arguments: [
        "", "(", ")", "(a", "a)", "[a", "[]", "[b-a]", "a{2,1}", "*", "a**", "+a", "a{1}{2}", "\\",
        "a\u{0}b", "\\x00", "\\u12", "\\x+1", "\\ud800", "\\u{110000}", "[[:foo:]]", "(?<a",
        "\\p{L",
    ])
    func `Malformed expressions are refused`(pattern: String) {
        #expect(code(.regex(pattern)) == .malformed || code(.regex(pattern)) == .unsupported)
    }

    @Test func `What admits no text or holds nothing is refused`() {
        #expect(code(.choice([])) == .malformed)
        #expect(code(.regex("a[^\\u{1}-\\u{10ffff}]")) == .impossible)
        #expect(code(.literal("\u{0}")) == .impossible)
        #expect(code(.textWithout([""])) == .malformed)
        #expect(code(.repeated(.literal("a"), minimum: 2, maximum: 1, separator: "")) == .malformed)
    }

    @Test func `Catastrophic and huge expressions work or are refused`() throws {
        let costly = [
            "(a+)+$", "(a|a)*b", "(a|aa)+c", "([a-z]+)*1", "(.*)*x", "(x+x+)+y", "((a*)*)*b",
            "a{1,5000}", "(a{1,100}){1,100}", "[a-z]{10,20}",
            "(a|b|ab)*c{0,900}", ".{0,3000}", "(a?){300}a{300}", "(.{0,50}a){0,50}",
            "(a|b)*a(a|b){30}", "\\p{L}{1,200}",
        ]
        for pattern in costly {
            for vocabulary in Vocabularies.all {
                do {
                    let constraint = try CompiledConstraint(
                        .regex(pattern), vocabulary: vocabulary)
                    var random = SplitMix64(seed: 9)
                    _ = try constraint.randomText(&random, limit: 40)
                } catch let error as ConstraintError {
                    #expect(error.code == .tooComplex, "\(pattern)")
                }
            }
        }
        for pattern in [
            "a{1000000000}", "((a{1,1000}){1,1000}){1,1000}", "(((a{999}){999}){999}){999}",
            "(\\p{L}{900}){900}", String(repeating: "(", count: 100_000),
            String(repeating: "(", count: 90) + "a" + String(repeating: ")", count: 90),
            String(repeating: "a", count: 2 << 20),
        ] {
            let code = code(.regex(pattern))
            #expect(code == .tooComplex, "\(pattern.prefix(30))")
        }
    }

    @Test func `A text that costs too much ends with an error, not the program`() throws {
        var limits = ConstraintLimits()
        limits.sequenceSteps = 2000
        let constraint = try CompiledConstraint(
            .regex("(a|b)*a(a|b){14}"), vocabulary: Vocabularies.byteLevel, limits: limits)
        var random = SplitMix64(seed: 3)
        let error = #expect(throws: ConstraintError.self) {
            var state = try constraint.begin()
            for _ in 0..<2000 {
                let ids = try constraint.allowed(&state).filter { !constraint.vocabulary.isEnd($0) }
                _ = try state.advance(#require(ids.randomElement(using: &random)))
            }
        }
        #expect(error?.code == .tooComplex)
    }

    @Test func `Many rules at one place cost no more than one walk each`() throws {
        var grammar = "root ::= r0"
        for index in 1..<400 { grammar += " | r\(index)" }
        for index in 0..<400 { grammar += "\nr\(index) ::= [^\(index % 10)]* \"\(index)\"" }
        for index in 0..<400 { grammar += "\nx\(index) ::= r\(index) \"\(index)\" | root" }
        let constraint = try CompiledConstraint(
            .grammar(grammar), vocabulary: Vocabularies.byteLevel)
        var random = SplitMix64(seed: 8)
        try constraint.checkMasks(&random, steps: 3)
    }

    @Test func `Texts of one constraint may be made at once`() async throws {
        var limits = ConstraintLimits()
        limits.cacheBytes = 60_000
        let constraint = try CompiledConstraint(
            .jsonSchema(["type": "array", "items": ["type": ["object", "number"]]]),
            vocabulary: Vocabularies.byteLevel, limits: limits)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for seed in 0..<8 {
                group.addTask {
                    var random = SplitMix64(seed: UInt64(seed))
                    for _ in 0..<10 {
                        guard let text = try constraint.randomText(&random, limit: 60) else {
                            continue
                        }
                        do { _ = try JSONParser.parse(text) } catch let error as ConfigError {
                            #expect(error.code == .duplicateKey)
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    @Test func `A small memory for masks changes nothing`() throws {
        var limits = ConstraintLimits()
        limits.cacheBytes = 40_000
        let pattern = ConstraintSpecification.regex("(a|b)*a(a|b){8}(c|[d-z]{2,9})*")
        let small = try CompiledConstraint(
            pattern, vocabulary: Vocabularies.byteLevel, limits: limits)
        let large = try CompiledConstraint(pattern, vocabulary: Vocabularies.byteLevel)
        var random = SplitMix64(seed: 12)
        for _ in 0..<5 {
            var (one, other) = (try small.begin(), try large.begin())
            for _ in 0..<60 {
                let ids = try small.allowed(&one)
                #expect(try large.allowed(&other) == ids)
                let id = try #require(
                    ids.filter { !small.vocabulary.isEnd($0) }.randomElement(using: &random))
                #expect(try one.advance(id))
                #expect(try other.advance(id))
            }
        }
    }

    @Test func `Altered expressions are taken or refused, never fatal`() throws {
        var random = SplitMix64(seed: 77)
        let seeds = [
            "(?:[01]\\d|2[0-3]):[0-5]\\d", "[^a-z\\n]+\\x41\\u00e9", "(a|b){2,4}?(c+)*$",
            "^\\p{Lu}[[:alpha:]_-]*\\.$", "\\ud83d\\ude00|\\u{1F600}",
        ]
        for _ in 0..<1500 {
            let seed = try #require(seeds.randomElement(using: &random))
            let text = String(
                decoding: random.mutated(Array(seed.utf8), headBias: 64), as: UTF8.self)
            _ = code(.regex(text))
        }
    }

    @Test func `The vocabulary of a cache is made once, when a constraint first needs it`() throws {
        let made = Mutex(0)
        let cache = ConstraintCache { () throws(ConstraintError) in
            made.withLock { $0 += 1 }
            return Vocabularies.byteLevel
        }
        #expect(made.withLock { $0 } == 0)
        for text in ["a", "b"] {
            #expect(try cache.constraint(.literal(text)).vocabulary === Vocabularies.byteLevel)
        }
        #expect(made.withLock { $0 } == 1)
        let failing = ConstraintCache { () throws(ConstraintError) in
            throw ConstraintError(.vocabulary, "no token at all")
        }
        let error = #expect(throws: ConstraintError.self) {
            try failing.constraint(.literal("a"))
        }
        #expect(error?.description.contains("no token at all") == true)
    }

    @Test func `Compiled constraints are kept within their bytes`() throws {
        let bytes = try CompiledConstraint(.regex("a1"), vocabulary: Vocabularies.byteLevel)
            .byteCount
        let cache = ConstraintCache(Vocabularies.byteLevel, maximumBytes: bytes * 7 / 2)
        let first = try cache.constraint(.regex("a1"))
        #expect(try cache.constraint(.regex("a1")) === first)
        #expect(try cache.constraint(.literal("a1")) !== first)
        for index in 0..<9 {
            _ = try cache.constraint(.regex("b\(index)"))
            #expect(try cache.constraint(.regex("a1")) === first)
        }
        #expect((2...4).contains(cache.count))
        #expect(throws: ConstraintError.self) { try cache.constraint(.regex("(")) }
    }
}
