// SPDX-License-Identifier: Apache-2.0
// Grammars in EBNF and in Lark's notation: what they take, refuse, and lead to.

import EftConfig
import EftFormats
import EftGeneration
import EftTensor
import EftTestSupport
import Testing

struct GrammarConstraintTests {
    private static func cases() throws -> [ConfigCursor] {
        try ConfigCursor(
            JSONParser.parse(FileSystem.read(Fixtures.path("constraints/grammars.json")))
        ).elements()
    }

    private func error(
        _ grammar: String, limits: ConstraintLimits = ConstraintLimits()
    ) -> ConstraintError? {
        do {
            _ = try CompiledConstraint(
                .grammar(grammar), vocabulary: Vocabularies.byteLevel, limits: limits)
            return nil
        } catch { return error }
    }

    @Test func `Texts are taken that xgrammar and lark take, and no others`() throws {
        var random = SplitMix64(seed: 1)
        for item in try Self.cases() {
            let grammar = try item.required("grammar").string()
            for vocabulary in Vocabularies.all {
                let constraint = try CompiledConstraint(.grammar(grammar), vocabulary: vocabulary)
                for text in try item.required("valid").elements() {
                    let text = try text.string()
                    #expect(try constraint.takes(Array(text.utf8), &random), "\(grammar) \(text)")
                }
                for text in try item.required("invalid").elements() {
                    let text = try text.string()
                    #expect(try !constraint.takes(Array(text.utf8), &random), "\(grammar) \(text)")
                }
            }
        }
    }

    @Test func `Masks are what trying each token gives, and never empty`() throws {
        var random = SplitMix64(seed: 2)
        for item in try Self.cases() {
            for vocabulary in Vocabularies.all {
                let constraint = try CompiledConstraint(
                    .grammar(item.required("grammar").string()), vocabulary: vocabulary)
                try constraint.checkMasks(&random, steps: 10)
                for _ in 0..<5 { _ = try constraint.randomText(&random, limit: 80) }
            }
        }
    }

    @Test func `Random sums are sums`() throws {
        var random = SplitMix64(seed: 3)
        let grammar = """
            root ::= sum
            sum ::= sum "+" part | part
            part ::= [1-9] | "(" sum ")"
            """
        let constraint = try CompiledConstraint(
            .grammar(grammar), vocabulary: Vocabularies.byteLevel)
        var complete = 0
        for _ in 0..<100 {
            guard let text = try constraint.randomText(&random) else { continue }
            complete += 1
            var rest = String(decoding: text, as: UTF8.self)
            while true {
                var next = rest.replacing("(1)", with: "1").replacing("1+1", with: "1")
                for digit in "23456789" { next = next.replacing("\(digit)", with: "1") }
                if next == rest { break }
                rest = next
            }
            #expect(rest == "1")
        }
        #expect(complete > 50)
    }

    @Test func `Ambiguous grammars stay small`() throws {
        var random = SplitMix64(seed: 4)
        let grammars = [
            "root ::= \"a\" root x | \"a\" root y | \"a\"\nx ::= \"b\"?\ny ::= \"b\" | \"bb\"",
            "root ::= s\ns ::= s s | \"a\" | \"(\" s \")\"",
            "root ::= (\"a\"* \"a\"*)* b\nb ::= \"b\" | c\nc ::= \"b\" b",
            "root ::= \"a\" (root | root root | \"\")",
        ]
        for grammar in grammars {
            let constraint = try CompiledConstraint(
                .grammar(grammar), vocabulary: Vocabularies.bytes)
            var state = try constraint.begin()
            for _ in 0..<100 {
                #expect(try !constraint.allowed(&state).isEmpty)
                if try !state.advance("a".utf8) { break }
            }
            try constraint.checkMasks(&random, steps: 20)
        }
    }

    @Test(arguments: [
        "root ::= other", "root ::= ", "other ::= \"a\"", "root ::= \"a", "root ::= (\"a\"",
        "root ::= \"a\")", "root ::= [a", "root ::= \"a\"\nroot ::= \"b\"", "root ::= \"\\q\"",
        "root ::= \"a\"{3,2}", "root ::= \"a\"{", "::= \"a\"", "root :: \"a\"", "   \n",
        "start: a", "start: \"a", "start: /a", "start: (\"a\"", "start \"a\"",
        "start: \"a\"..\"\"", "start: \"b\"..\"a\"", "start: \"a\" ~", "start: /(/", "x: \"a\"",
        "start: \"a\"\nstart: \"b\"",
    ])
    func `Malformed grammars are refused`(grammar: String) {
        let error = error(grammar)
        if grammar == "root ::= " {
            #expect(error == nil)
        } else {
            #expect(error?.code == .malformed, "\(error?.description ?? "taken")")
        }
    }

    @Test(arguments: [
        "root ::= a \"x\"\na ::= root | \"y\"", "root ::= \"\"? root \"x\" | \"y\"",
        "start: \"é\"i", "start: /a/i", "%import python.NAME\nstart: NAME",
        "%import common.NOTHING\nstart: \"a\"", "%declare X\nstart: X", "start: a{b}\na: \"x\"",
        "start: /(?=a)/",
    ])
    func `What cannot be enforced is refused`(grammar: String) {
        #expect(error(grammar)?.code == .unsupported)
    }

    @Test func `Hostile grammars work or are refused`() {
        #expect(error("root ::= a\na ::= \"x\" a")?.code == .impossible)
        let open = String(repeating: "(", count: 100_000)
        #expect(error("root ::= " + open)?.code == .tooComplex)
        #expect(error("start: " + open)?.code == .tooComplex)
        #expect(error("root ::= ((\"a\"{9999}){9999}){9999}")?.code == .tooComplex)
        #expect(error("root ::= \"a\"{99999999999999999999}")?.code == .tooComplex)
        let repeated = "root ::= \"a\"" + String(repeating: "*?+", count: 100_000)
        #expect(error(repeated)?.code == .tooComplex)
        var chain = "root ::= r0\n"
        for index in 0..<5000 { chain += "r\(index) ::= \"a\" r\(index + 1) \"b\"\n" }
        #expect(error(chain + "r5000 ::= \"c\"") != nil)
        var flat = "root ::= r0\n"
        for index in 0..<5000 { flat += "r\(index) ::= \"a\" r\(index + 1) | \"b\"\n" }
        #expect(error(flat + "r5000 ::= \"c\"") == nil)
        var doubled = "root ::= r0\n"
        for index in 0..<60 { doubled += "r\(index) ::= r\(index + 1) r\(index + 1)\n" }
        #expect(error(doubled + "r60 ::= \"c\"") == nil)
        var wide = "root ::= \"a0\""
        for index in 1..<20_000 { wide += " | \"a\(index)\"" }
        _ = error(wide)
    }

    @Test func `Altered grammars are taken or refused, never fatal`() throws {
        var random = SplitMix64(seed: 55)
        var limits = ConstraintLimits()
        limits.compileSteps = 200_000
        let seeds = try Self.cases().map { Array(try $0.required("grammar").string().utf8) }
        for _ in 0..<2000 {
            let seed = try #require(seeds.randomElement(using: &random))
            let text = String(
                decoding: random.mutated(seed, headBias: seed.count), as: UTF8.self)
            do {
                let constraint = try CompiledConstraint(
                    .grammar(text), vocabulary: Vocabularies.byteLevel, limits: limits)
                _ = try constraint.randomText(&random, limit: 20)
            } catch is ConstraintError {}
        }
    }
}
