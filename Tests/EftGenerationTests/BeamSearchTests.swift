// SPDX-License-Identifier: Apache-2.0
// Beam search against its definition, and against all answers where beams are many.
import EftConfig
import EftGeneration
import EftTensor
import EftTestSupport
import Testing

#if canImport(Glibc)
    import Glibc
#endif

@Suite struct BeamSearchTests {
    /// The likeliest next tokens of beams over a model whose next token depends on the last one; row 0 begins.
    private func next(
        _ table: [[Double]], _ beams: [BeamSearch.Beam], count: Int
    ) throws -> [[RankedToken]] {
        try beams.map { beam in
            let row = table[Int(beam.steps.last?.id ?? 0)].map(Float.init)
            return try row.withUnsafeBufferPointer {
                try PromptScorer(count: count).likeliest($0)
            }
        }
    }

    private func answers(
        _ table: [[Double]], _ parameters: BeamSearchParameters
    ) async throws -> [BeamSearch.Beam] {
        try await BeamSearch.run(parameters) {
            try next(table, $0, count: parameters.candidates)
        }
    }

    @Test func `answers and scores are the definition's`() async throws {
        let cases = try ConfigFile.read(Fixtures.path("sampling/beams.json")).elements()
        #expect(cases.count == 30)
        for item in cases {
            let options = try item.required("parameters")
            let parameters = BeamSearchParameters(
                width: try options.required("width").int(),
                maxTokens: try options.required("max_tokens").int(),
                lengthPenalty: try options.required("length_penalty").double(),
                endTokens: [Int32(try options.required("end").int())],
                ignoreEOS: try options.required("ignore_eos").bool(),
                includeEndToken: try options.required("include_end").bool())
            let table = try item.required("table").elements().map { try $0.doubles() }
            let found = try await answers(table, parameters)
            let wanted = try item.required("answers").elements()
            #expect(found.count == wanted.count)
            for (found, wanted) in zip(found, wanted) {
                #expect(found.tokens.map(Int.init) == (try wanted.required("tokens").ints()))
                #expect(abs(found.score - (try wanted.required("score").double())) < 2e-5)
            }
        }
    }

    @Test(arguments: [0.0, 1, 1.7])
    func `many beams find the best of all answers`(_ penalty: Double) async throws {
        var random = SplitMix64(seed: 21)
        for _ in 0..<5 {
            let size = 3, most = 5
            let table = (0..<size).map { _ in
                let row = (0..<size).map { _ in Double.random(in: -2...2, using: &random) }
                let sum = log(row.reduce(0) { $0 + exp($1) })
                return row.map { $0 - sum }
            }
            var best = -Double.infinity
            func walk(_ last: Int, _ logprob: Double, _ length: Int) {
                for token in 0..<size {
                    let sum = logprob + table[last][token], ends = token == size - 1
                    let longer = length + (ends ? 0 : 1)
                    if ends || longer == most {
                        best = max(best, sum / pow(Double(max(longer, 1)), penalty))
                    } else {
                        walk(token, sum, longer)
                    }
                }
            }
            walk(0, 0, 0)
            let found = try await answers(
                table,
                BeamSearchParameters(
                    width: 250, maxTokens: most, lengthPenalty: penalty, endTokens: [2]))
            #expect(abs((found.first?.score ?? 0) - best) < 1e-5)
        }
    }

    @Test func `beams name their parents`() throws {
        let table = [[-0.5, -1.0], [-2.0, -0.2]]
        var search = BeamSearch(BeamSearchParameters(width: 2, maxTokens: 3))
        search.advance(try next(table, search.active, count: 4))
        #expect(search.active.map(\.tokens) == [[0], [1]])
        let before = search.active
        search.advance(try next(table, search.active, count: 4))
        for beam in search.active {
            #expect(beam.tokens.dropLast() == before[beam.parent].tokens[...])
        }
        search.advance(try next(table, search.active, count: 4))
        #expect(search.active.isEmpty && search.answers.count == 2)
    }

    @Test func `searches without beams, tokens or continuations end`() {
        #expect(BeamSearch(BeamSearchParameters(width: 2, maxTokens: 0)).active.isEmpty)
        for width in [0, -1, Int.min] {
            let search = BeamSearch(BeamSearchParameters(width: width, maxTokens: 2))
            #expect(search.active.isEmpty && search.answers.isEmpty)
        }
        #expect(BeamSearchParameters(width: .max, maxTokens: 1).candidates > 0)
        var search = BeamSearch(BeamSearchParameters(width: 2, maxTokens: 5))
        search.advance([])
        #expect(search.active.isEmpty && search.answers.isEmpty)
    }
}
