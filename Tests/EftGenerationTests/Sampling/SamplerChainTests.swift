// SPDX-License-Identifier: Apache-2.0
// Sampling steps: logits in, logits out, and the distribution of draws.
import EftGeneration
import Testing

@Suite struct SamplerChainTests {
    private func draw(
        _ logits: [Float], _ parameters: GenerationParameters, tokens: [Int32] = [0]
    ) -> Int32 {
        logits.withUnsafeBufferPointer { SamplerChain(parameters).draw($0, tokens: tokens) }
    }

    @Test func `greedy takes the first of the largest`() {
        #expect(draw([1, 3, 3, 2], GenerationParameters()) == 1)
    }

    @Test func `a repetition penalty divides positive and multiplies negative logits`() {
        var logits: [Float] = [2, -2, 4, 1]
        RepetitionPenalty(penalty: 2).process(&logits, tokens: [0, 1, 1, 99])
        #expect(logits == [1, -4, 4, 1])
    }

    @Test(
        arguments: zip(
            [1, 2, 3, 4, 9],
            [[false, false, true, false], [false, true, true, false], [true, true, true, false], [true, true, true, true],
             [true, true, true, true]]))
    func `top-k keeps the k largest`(_ k: Int, _ kept: [Bool]) {
        var logits: [Float] = [1, 2, 3, 0]
        TopK(k: k).process(&logits, tokens: [])
        #expect(logits.map { $0 > -.infinity } == kept)
    }

    @Test(
        arguments: zip(
            [Float(0.01), 0.5, 0.6, 0.9, 1],
            [[true, false, false], [true, false, false], [true, true, false], [true, true, true],
             [true, true, true]]))
    func `top-p keeps the smallest set that reaches p`(_ p: Float, _ kept: [Bool]) {
        // Probabilities 0.5, 0.3, 0.2.
        var logits: [Float] = [-0.6931472, -1.2039728, -1.6094379]
        TopP(p: p).process(&logits, tokens: [])
        #expect(logits.map { $0 > -.infinity } == kept)
    }

    @Test func `min-p keeps tokens near the likeliest`() {
        var logits: [Float] = [0, -1, -3]
        MinP(minP: 0.2).process(&logits, tokens: [])
        #expect(logits.map { $0 > -.infinity } == [true, true, false])
    }

    @Test func `draws follow the distribution and depend on seed and position only`() {
        let logits: [Float] = [-0.6931472, -1.2039728, -1.6094379]
        let parameters = GenerationParameters(temperature: 1, seed: 7)
        var counts = [0, 0, 0]
        for position in 0..<20_000 {
            let tokens = [Int32](repeating: 0, count: position % 200 + 1)
            let seeded = GenerationParameters(temperature: 1, seed: UInt64(position / 200))
            counts[Int(draw(logits, seeded, tokens: tokens))] += 1
        }
        #expect(abs(counts[0] - 10_000) < 400 && abs(counts[1] - 6000) < 400)
        let once = draw(logits, parameters, tokens: [5, 6])
        #expect(draw(logits, parameters, tokens: [1, 2]) == once)
    }

    @Test func `settings out of range are refused by name`() {
        for parameters in [
            GenerationParameters(maxTokens: 0), GenerationParameters(temperature: -1),
            GenerationParameters(topK: -1), GenerationParameters(topP: 0),
            GenerationParameters(minP: 2), GenerationParameters(repetitionPenalty: 0),
            GenerationParameters(temperature: .nan),
        ] {
            #expect(throws: GenerationError.self) { try parameters.validate() }
        }
    }
}
