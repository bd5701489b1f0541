// SPDX-License-Identifier: Apache-2.0
// Filters on rows of any size and shape hold what they promise, by sorting.
import EftTensor
import Testing

@testable import EftGeneration

#if canImport(Glibc)
    import Glibc
#endif

@Suite struct CandidateSetTests {
    /// Rows of different shapes: a bell, few different logits, one token far above, masked ones, all equal.
    private static func rows(_ count: Int, seed: UInt64) -> [[Float]] {
        var random = SplitMix64(seed: seed)
        let bell = bell(count, width: Float.random(in: 0.1...4, using: &random), seed: seed)
        var sure = bell
        sure[count / 2] += 30
        let masked = bell.map { Bool.random(using: &random) ? $0 : -.infinity }
        return [bell, bell.map { $0.rounded() }, sure, [Float](repeating: -3, count: count)]
            + (masked.contains { $0 > -.infinity } ? [masked] : [])
    }

    private func candidates(
        _ row: [Float], _ parameters: GenerationParameters
    ) throws -> CandidateSet {
        let sampler = sampler(parameters, vocabulary: row.count)
        return try row.withUnsafeBufferPointer { row in
            let row = LogitRow(row)
            return sampler.candidates(
                row, top: try row.peak().value, excludes: parameters.xtc.probability > 0)
        }
    }

    private static let sizes = [1, 2, 7, 63, 65, 500, 3000, 40_000]

    /// exp((x - top) / temperature) in order of tokens.
    private func weights(_ row: [Float], _ temperature: Float) -> [Double] {
        let top = row.max() ?? 0
        return row.map { exp(Double(($0 - top) / temperature)) }
    }

    @Test(arguments: sizes)
    func `the nucleus is the shortest beginning of the sorted row that reaches p`(
        _ count: Int
    ) throws {
        for (shape, row) in Self.rows(count, seed: UInt64(count)).enumerated() {
            for p: Float in [1e-6, 0.1, 0.5, 0.95, 0.999] {
                for topK in [0, count / 2 + 1] {
                    let settings = parameters(temperature: 0.7) { ($0.topP, $0.topK) = (p, topK) }
                    let found = try candidates(row, settings).tokens.map(Int.init)
                    let weights = weights(row, 0.7)
                    var order = row.indices.filter { row[$0] > -.infinity }
                        .sorted { row[$0] != row[$1] ? row[$0] > row[$1] : $0 < $1 }
                    if topK > 0 && topK < order.count {
                        let least = row[order[topK - 1]]
                        order = order.filter { row[$0] >= least }
                    }
                    let total = order.reduce(0) { $0 + weights[$1] }
                    let beginning = order.prefix(found.count)
                    #expect(found == beginning.sorted(), "shape \(shape), p \(p)")
                    let mass = beginning.reduce(0) { $0 + weights[$1] } / total
                    let last = (beginning.last.map { weights[$0] } ?? 0) / total
                    #expect(mass >= Double(p) - 1e-5, "shape \(shape), p \(p)")
                    #expect(found.count == 1 || mass - last < Double(p) + 1e-5)
                }
            }
        }
    }

    @Test(arguments: sizes)
    func `typical tokens are the nearest to the mean information`(_ count: Int) throws {
        for row in Self.rows(count, seed: UInt64(count) + 100) {
            for p: Float in [1e-6, 0.2, 0.9] {
                let settings = parameters(temperature: 1.3) { $0.typicalP = p }
                let found = try candidates(row, settings).tokens.map(Int.init)
                let weights = weights(row, 1.3), total = weights.reduce(0, +)
                let information = weights.map { -log($0 / total) }
                let mean = zip(weights, information).reduce(0.0) {
                    $0 + ($1.0 > 0 ? $1.0 / total * $1.1 : 0)
                }
                func distance(_ token: Int) -> Double { abs(information[token] - mean) }
                let kept = Set(found)
                let farthest = found.map(distance).max() ?? 0
                // Nothing nearer than the farthest kept is left out.
                let nearer = row.indices.filter {
                    !kept.contains($0) && distance($0) < farthest - 1e-4
                }
                #expect(!found.isEmpty && nearer.isEmpty)
                let mass = found.reduce(0) { $0 + weights[$1] } / total
                #expect(mass >= Double(p) - 1e-5)
                let inner = found.filter { distance($0) < farthest - 1e-4 }
                    .reduce(0) { $0 + weights[$1] }
                #expect(inner / total < Double(p) + 1e-5)
            }
        }
    }

    @Test(arguments: sizes)
    func `min-p, top-k and XTC hold what they promise`(_ count: Int) throws {
        for row in Self.rows(count, seed: UInt64(count) + 200) {
            let top = row.max() ?? 0, weights = weights(row, 1)
            let near = try candidates(row, parameters(temperature: 1) { $0.minP = 0.1 })
            for (token, weight) in weights.enumerated() where abs(weight - 0.1) > 1e-5 {
                #expect(near.tokens.contains(UInt32(token)) == (weight > 0.1))
                if count > 3000 && token > 300 { break }
            }
            let k = max(1, count / 3)
            let least = row.sorted(by: >)[k - 1]
            let likeliest = try candidates(row, parameters(temperature: 1) { $0.topK = k })
            let wanted = row.indices.filter { row[$0] >= least && row[$0] > top - 87 }
            #expect(likeliest.tokens.map(Int.init) == wanted)

            let excluding = parameters(temperature: 1) {
                $0.xtc = XTCParameters(probability: 1, threshold: 0.02)
            }
            let all = weights.reduce(0, +)
            let rest = try candidates(row, excluding).tokens.map(Int.init)
            let likely = rest.filter { weights[$0] / all >= 0.02 }
            let before = row.indices.filter { weights[$0] / all >= 0.02 }
            #expect(likely.count == min(before.count, 1))
            #expect(before.allSatisfy { row[$0] >= (likely.first.map { row[$0] } ?? 0) })
        }
    }

    @Test func `a fraction walks through the tokens in order`() throws {
        let set = try candidates([0, 0, -.infinity, 0], parameters(temperature: 1))
        let found = [0, 0.33, 0.34, 0.66, 0.67, 0.9999999999999999].map { set.token(at: $0) }
        #expect(found == [0, 0, 1, 1, 3, 3])
        #expect(CumulativeWeight.index([0, 0.5, 0], at: 7) == 1)
        #expect(CumulativeWeight.index([0, 0], at: 0) == nil)
        #expect(CumulativeWeight.block([0, 0.5, 0], at: 7)?.index == 1)
        #expect(CumulativeWeight.block([], at: 0) == nil)
    }

    @Test func `whole rows are sampled from as filtered ones are`() throws {
        let row = bell(5000, width: 1, seed: 4)
        let set = try candidates(row, parameters(temperature: 1))
        var differing = 0
        for seed in 0..<300 as Range<UInt64> {
            // A top-p that keeps all takes the other way.
            let whole = parameters(temperature: 1) { $0.seed = seed }
            let filtered = parameters(temperature: 1) { ($0.seed, $0.minP) = (seed, 1e-30) }
            let a = try sampler(whole, vocabulary: 5000).sample(from: row).id
            let b = try sampler(filtered, vocabulary: 5000).sample(from: row).id
            // The two sums may differ in their last bits.
            differing += a == b ? 0 : 1
        }
        #expect(differing <= 1 && set.tokens.count == 5000)
    }
}
