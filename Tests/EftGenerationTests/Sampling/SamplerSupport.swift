// SPDX-License-Identifier: Apache-2.0
// What the tests of sampling share.
import EftGeneration
import EftTensor

extension SequenceSampler {
    /// Samples from an array of logits, with the tokens that a mask allows.
    func sample(from logits: [Float], allowed: [Int]? = nil) throws -> SampledToken {
        var row = logits
        let mask = allowed.map { allowed in
            allowed.reduce(into: [UInt32](repeating: 0, count: (logits.count + 31) / 32)) {
                $0[$1 / 32] |= 1 << UInt32($1 % 32)
            }
        }
        return try row.withUnsafeMutableBufferPointer { row in
            guard let mask else { return try sample(row) }
            return try mask.withUnsafeBufferPointer { try sample(row, mask: $0) }
        }
    }
}

/// A sampler that has accepted `answer`.
func sampler(
    _ parameters: GenerationParameters, prompt: [Int32] = [], answer: [Int32] = [],
    vocabulary: Int
) -> SequenceSampler {
    var sampler = SequenceSampler(
        parameters: parameters, prompt: prompt, vocabulary: vocabulary)
    for token in answer { sampler.accept(token) }
    return sampler
}

/// The default settings with changes.
func parameters(
    temperature: Float = 0, _ change: (inout GenerationParameters) -> Void = { _ in }
) -> GenerationParameters {
    var parameters = GenerationParameters(temperature: temperature)
    change(&parameters)
    return parameters
}

/// Tokens that a sampler gives with many seeds, each with its number of samples.
func samples(
    _ logits: [Float], _ parameters: GenerationParameters, prompt: [Int32] = [],
    answer: [Int32] = [], count: Int = 400
) throws -> [Int32: Int] {
    var found: [Int32: Int] = [:]
    for seed in 0..<UInt64(count) {
        var parameters = parameters
        parameters.seed = seed
        let sampler = sampler(
            parameters, prompt: prompt, answer: answer, vocabulary: logits.count)
        found[try sampler.sample(from: logits).id, default: 0] += 1
    }
    return found
}

/// Logits in a bell of the given width.
func bell(_ count: Int, width: Float, seed: UInt64) -> [Float] {
    var random = SplitMix64(seed: seed)
    return (0..<count).map { _ in
        (0..<6).reduce(Float(0)) { sum, _ in sum + Float.random(in: -1...1, using: &random) }
            * width / 1.4142135
    }
}
