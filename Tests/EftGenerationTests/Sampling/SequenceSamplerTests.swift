// SPDX-License-Identifier: Apache-2.0
// The steps of sampling: which tokens may be sampled, and which one is.
import EftGeneration
import EftTensor
import Testing

@Suite struct SequenceSamplerTests {
    /// Probabilities 0.5, 0.3, 0.2.
    private let three: [Float] = [-0.6931472, -1.2039728, -1.6094379]

    private func greedy(
        _ logits: [Float], prompt: [Int32] = [], answer: [Int32] = [], allowed: [Int]? = nil,
        _ change: (inout GenerationParameters) -> Void = { _ in }
    ) throws -> Int32 {
        try sampler(parameters(change), prompt: prompt, answer: answer, vocabulary: logits.count)
            .sample(from: logits, allowed: allowed).id
    }

    @Test func `greedy takes the first of the largest`() throws {
        #expect(try greedy([1, 3, 3, 2]) == 1)
        #expect(try greedy([7]) == 0)
    }

    @Test func `masks, allowed tokens and bad words rule tokens out`() throws {
        #expect(try greedy([1, 3, 2], allowed: [0, 2]) == 2)
        #expect(try greedy([1, 3, 2]) { $0.allowedTokenIDs = [0, 99] } == 0)
        #expect(try greedy([1, 3, 2], allowed: [1, 2]) { $0.allowedTokenIDs = [0, 2] } == 2)
        #expect(try greedy([1, 3, 2]) { $0.badWords = [[1]] } == 2)
        let words: [[Int32]] = [[2, 0, 1]]
        #expect(try greedy([1, 3, 2], answer: [2, 0]) { $0.badWords = words } == 2)
        #expect(try greedy([1, 3, 2], answer: [0, 0]) { $0.badWords = words } == 1)
        // Only the answer counts.
        #expect(try greedy([1, 3, 2], prompt: [2], answer: [0]) { $0.badWords = words } == 1)
    }

    @Test func `end and stop tokens wait for the least number of tokens`() throws {
        func token(_ answer: [Int32]) throws -> Int32 {
            try greedy([1, 4, 3, 2], prompt: [0, 0, 0], answer: answer) {
                $0.minTokens = 2
                $0.endTokens = [1]
                $0.stopTokens = [2]
            }
        }
        #expect(try [token([]), token([0]), token([0, 0])] == [3, 3, 1])
    }

    @Test func `a repetition penalty counts prompt and answer, the others the answer`() throws {
        #expect(try greedy([2, 1.5, 0], prompt: [0, 0]) { $0.repetitionPenalty = 2 } == 1)
        #expect(try greedy([-1, -1.5], answer: [0]) { $0.repetitionPenalty = 2 } == 1)
        #expect(try greedy([2, 1.5], prompt: [0, 0]) { $0.presencePenalty = 2 } == 0)
        #expect(try greedy([2, 1.5], answer: [0, 0]) { $0.presencePenalty = 0.4 } == 0)
        #expect(try greedy([2, 1.5], answer: [0, 0]) { $0.frequencyPenalty = 0.4 } == 1)
        #expect(try greedy([2, 1.5, 0], answer: [5, -1]) { $0.presencePenalty = 2 } == 0)
    }

    @Test func `a bias moves logits by 100 at most`() throws {
        #expect(try greedy([50, 0, 1]) { $0.logitBias = [1: 49, 2: 49.5] } == 2)
        #expect(try greedy([150, 0, 1]) { $0.logitBias = [1: 1000, 7: 5] } == 0)
    }

    @Test func `penalties however large leave a token that may be sampled`() throws {
        for logits: [Float] in [[3e38, -3e38], [1, 1], [-1, -2]] {
            let token = try greedy(logits, prompt: [0, 1], answer: [0, 0, 0]) {
                $0.repetitionPenalty = 1e38
                $0.frequencyPenalty = 2
                $0.dry = DRYParameters(multiplier: 3e38, base: 3e38, allowedLength: 1)
            }
            #expect(token == 0 || token == 1)
            let raised = try greedy(logits, prompt: [0]) { $0.repetitionPenalty = 1e-38 }
            #expect(raised == 0 || raised == 1)
        }
    }

    @Test func `rows that are no distribution fail for their sequence`() {
        for temperature: Float in [0, 1] {
            let sampler = sampler(parameters(temperature: temperature), vocabulary: 3)
            for value in [Float.nan, .infinity] {
                #expect(throws: SamplingError.damagedLogits) {
                    try sampler.sample(from: [0, value, 1])
                }
            }
            for logits in [[-Float.infinity, -.infinity, -.infinity], []] {
                #expect(throws: SamplingError.nothingAllowed) { try sampler.sample(from: logits) }
            }
            #expect(throws: SamplingError.nothingAllowed) {
                try sampler.sample(from: [1, 2, 3], allowed: [])
            }
        }
    }

    @Test(
        arguments: zip(
            [-1, 0, 1, 2, 3, 9],
            [[0, 1, 2, 3], [0, 1, 2, 3], [2], [1, 2], [0, 1, 2], [0, 1, 2, 3]]))
    func `top-k keeps the k largest`(_ k: Int, _ kept: [Int32]) throws {
        let found = try samples([1, 1.5, 2, 0], parameters(temperature: 1) { $0.topK = k })
        #expect(found.keys.sorted() == kept)
    }

    @Test func `top-k keeps what equals the k-th`() throws {
        let found = try samples([1, 2, 1, 0], parameters(temperature: 1) { $0.topK = 2 })
        #expect(found.keys.sorted() == [0, 1, 2])
    }

    @Test(
        arguments: zip(
            [Float(0.01), 0.49, 0.6, 0.9, 1], [[0], [0], [0, 1], [0, 1, 2], [0, 1, 2]]))
    func `top-p keeps the smallest set that reaches p`(_ p: Float, _ kept: [Int32]) throws {
        let found = try samples(three, parameters(temperature: 1) { $0.topP = p })
        #expect(found.keys.sorted() == kept)
    }

    @Test func `min-p keeps tokens near the likeliest`() throws {
        let found = try samples([0, -1, -3], parameters(temperature: 1) { $0.minP = 0.2 })
        #expect(found.keys.sorted() == [0, 1])
        let sure = try samples([0, -0.1], parameters(temperature: 1) { $0.minP = 1 })
        #expect(sure.keys.sorted() == [0])
    }

    @Test func `XTC leaves out all likely tokens but the last`() throws {
        let always = parameters(temperature: 1) {
            $0.xtc = XTCParameters(probability: 1, threshold: 0.25)
        }
        #expect(try samples(three, always).keys.sorted() == [1, 2])
        let alone = parameters(temperature: 1) {
            $0.xtc = XTCParameters(probability: 1, threshold: 0.4)
        }
        #expect(try samples(three, alone).keys.sorted() == [0, 1, 2])
        let half = parameters(temperature: 1) {
            $0.xtc = XTCParameters(probability: 0.5, threshold: 0.25)
        }
        let found = try samples(three, half, count: 4000)
        #expect(abs(Double(found[0] ?? 0) - 1000) < 120)
    }

    @Test func `samples depend on seed and position only`() throws {
        let logits = bell(1000, width: 2, seed: 1)
        let settings = parameters(temperature: 1) { $0.seed = 7 }
        func token(_ prompt: [Int32], _ answer: [Int32]) throws -> Int32 {
            try sampler(settings, prompt: prompt, answer: answer, vocabulary: 1000)
                .sample(from: logits).id
        }
        #expect(try token([5, 6], []) == token([1], [2]))
        #expect(try Set((0..<20).map { try token(Array(repeating: 0, count: $0), []) }).count > 10)
    }

    @Test func `drafts are verified with the tokens that plain sampling gives`() throws {
        let settings = parameters(temperature: 0.9) {
            $0.seed = 3
            $0.topP = 0.9
            $0.repetitionPenalty = 1.3
            $0.dry.multiplier = 0.8
            $0.xtc = XTCParameters(probability: 0.5, threshold: 0.05)
        }
        func logits(after tokens: [Int32]) -> [Float] {
            bell(60, width: 2, seed: UInt64(tokens.last ?? 0))
        }
        var plain = sampler(settings, prompt: [1, 2], vocabulary: 60)
        for _ in 0..<60 { plain.accept(try plain.sample(from: logits(after: plain.tokens)).id) }
        var speculative = sampler(settings, prompt: [1, 2], vocabulary: 60)
        while speculative.answerCount < 60 {
            // A draft that is right twice and then wrong.
            let place = speculative.tokens.count
            var draft = Array(plain.tokens[place..<min(place + 2, plain.tokens.count)])
            draft.append(59)
            for token in draft where speculative.answerCount < 60 {
                let sampled = try speculative.sample(from: logits(after: speculative.tokens)).id
                speculative.accept(sampled)
                if sampled != token { break }
            }
        }
        #expect(speculative.tokens == plain.tokens)
    }

    @Test func `log-probabilities come from the logits as they are`() throws {
        let settings = parameters(temperature: 0) {
            $0.logprobs = 2
            $0.logitBias = [3: 50]
            $0.frequencyPenalty = 1
        }
        let sampler = sampler(settings, answer: [0, 0], vocabulary: 4)
        let plain = try sampler.sample(from: three + [-30])
        #expect(plain.top.map(\.id) == [3, 0, 1] && plain.rank == 4 && plain.id == 3)
        #expect(abs(plain.top[1].logprob - -0.6931472) < 1e-5)
        let masked = try sampler.sample(from: three + [-30], allowed: [1, 3])
        #expect(masked == plain)
        #expect(try sampler.sample(from: three + [-.infinity]).top.map(\.id) == [1, 0])
        #expect(throws: SamplingError.damagedLogits) { try sampler.sample(from: [.nan, 1]) }
    }

    @Test func `no log-probabilities, only the token's own, or all`() throws {
        func top(_ count: Int?) throws -> [Int32] {
            try sampler(parameters { $0.logprobs = count }, vocabulary: 3)
                .sample(from: [1, 3, 2]).top.map(\.id)
        }
        #expect(try [top(nil), top(0), top(1), top(2)] == [[], [1], [1], [1, 2]])
        #expect(try top(-1) == [1, 2, 0] && top(9) == [1, 2, 0])
    }

    @Test func `a vocabulary of one token gives it`() throws {
        let settings = parameters(temperature: 1) {
            ($0.topP, $0.topK, $0.minP, $0.typicalP, $0.logprobs) = (0.5, 1, 0.5, 0.5, 3)
            $0.xtc = XTCParameters(probability: 1, threshold: 0.1)
            $0.dry.multiplier = 1
            $0.repetitionPenalty = 2
        }
        let token = try sampler(settings, prompt: [0, 0, 0], vocabulary: 1).sample(from: [-7])
        #expect(token.id == 0 && token.logprob == 0 && token.top.count == 1)
    }

    @Test func `counts of one sequence do not reach another`() throws {
        let settings = parameters { $0.frequencyPenalty = 2 }
        var first = sampler(settings, vocabulary: 2)
        for _ in 0..<10 { first.accept(0) }
        #expect(try first.sample(from: [3, 1]).id == 1)
        #expect(try sampler(settings, vocabulary: 2).sample(from: [3, 1]).id == 0)
    }

    @Test func `any settings and rows give an allowed token or an error`() throws {
        var random = SplitMix64(seed: 11)
        let floats: [Float] = [0, -1, 1, 3e38, -3e38, 1e-38, 80, -.infinity, 0.5]
        for round in 0..<3000 {
            let count = Int.random(in: 1...70, using: &random)
            let logits = (0..<count).map { _ in floats.randomElement(using: &random) ?? 0 }
            func token() -> Int32 { Int32.random(in: -2..<90, using: &random) }
            let settings = parameters(temperature: [0, 1e-9, 1, 2][round % 4]) {
                $0.topK = Int.random(in: -1...80, using: &random)
                $0.topP = Float.random(in: 1e-7...1, using: &random)
                $0.minP = [0, 1e-9, 0.1, 1].randomElement(using: &random) ?? 0
                $0.typicalP = [1, 0.5, 1e-9].randomElement(using: &random) ?? 1
                $0.repetitionPenalty = [1, 1e-38, 3e38].randomElement(using: &random) ?? 1
                $0.frequencyPenalty = [0, 2, -2].randomElement(using: &random) ?? 0
                $0.dry.multiplier = [0, 3e38].randomElement(using: &random) ?? 0
                $0.xtc = XTCParameters(probability: 0.5, threshold: 0)
                for bias: Float in [1e30, -1e30] { $0.logitBias[token()] = bias }
                $0.badWords = [[token()], [token(), token()]]
                $0.logprobs = [nil, 0, 3, -1].randomElement(using: &random) ?? nil
                $0.minTokens = 3
                $0.stopTokens = [token()]
            }
            let allowed =
                round % 3 == 0 ? (0..<count).filter { _ in Bool.random(using: &random) } : nil
            let history = (0..<20).map { _ in token() }
            let sampler = sampler(
                settings, prompt: history, answer: [1, 2], vocabulary: count)
            do {
                let sampled = try sampler.sample(from: logits, allowed: allowed)
                #expect(
                    logits.indices.contains(Int(sampled.id)) && logits[Int(sampled.id)] > -.infinity
                )
                #expect(allowed?.contains(Int(sampled.id)) ?? true)
                #expect(!settings.badWords.contains([sampled.id]))
                #expect(!settings.stopTokens.contains(sampled.id))
            } catch {
                #expect(error as? SamplingError == .nothingAllowed)
            }
        }
    }
}
