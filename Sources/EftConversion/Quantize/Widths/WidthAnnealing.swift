// SPDX-License-Identifier: Apache-2.0
// ExLlamaV2's choice of a mix: simulated annealing on powers of errors.
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// Chooses one option for each block within a budget, as ExLlamaV2's converter does.
///
/// The sum of errors to a power p is made small under the budget, by 80 runs for each stage: p from 1.5 to 3.5; p near
/// the best one; and that p alone. The first two keep the p with the smallest largest error, the last one the smallest sum.
/// What is left of the budget then moves blocks to their next option while that fits. The original draws its random
/// numbers anew each time; here they are the same in each run.
struct WidthAnnealing {
    private static let runs = 80
    private static let steps = 1975
    private static let proposals = 1000

    /// The options of each block: bits, and the error (1 - accuracy).
    let blocks: [[WidthChoice.Option]]
    let budget: Int

    /// The places of the chosen options; nil when the first ones exceed the budget.
    func choose(on backend: CPUBackend) -> [Int]? {
        let first = [Int](repeating: 0, count: blocks.count)
        guard bits(first) <= budget else { return nil }
        var power = bestPower(from: 1.5, to: 3.5, on: backend)
        power = bestPower(from: power - 0.075, to: power + 0.075, on: backend)
        let found = all(powers: .init(repeating: power, count: WidthAnnealing.runs), on: backend)
        var chosen =
            found.min { sum($0, power: power) < sum($1, power: power) } ?? first
        spendRest(&chosen)
        return chosen
    }

    private func bits(_ chosen: [Int]) -> Int {
        zip(blocks, chosen).reduce(0) { $0 + $1.0[$1.1].bits }
    }

    private func sum(_ chosen: [Int], power: Double) -> Double {
        zip(blocks, chosen).reduce(0.0) { $0 + pow($1.0[$1.1].loss, power) }
    }

    private func largest(_ chosen: [Int]) -> Double {
        zip(blocks, chosen).reduce(0.0) { max($0, $1.0[$1.1].loss) }
    }

    private func bestPower(from: Double, to: Double, on backend: CPUBackend) -> Double {
        let powers = (0..<WidthAnnealing.runs).map {
            from + (to - from) * Double($0) / Double(WidthAnnealing.runs - 1)
        }
        let found = all(powers: powers, on: backend)
        let best = found.indices.min { largest(found[$0]) < largest(found[$1]) } ?? 0
        return powers[best]
    }

    private func all(powers: [Double], on backend: CPUBackend) -> [[Int]] {
        var results = [[Int]](repeating: [], count: powers.count)
        results.withUnsafeMutableBufferPointer { results in
            nonisolated(unsafe) let results = results
            backend.parallelFor(powers.count) { index in
                results[index] = anneal(power: powers[index], seed: UInt64(index))
            }
        }
        return results
    }

    private func anneal(power: Double, seed: UInt64) -> [Int] {
        let costs = blocks.map { $0.map { pow($0.loss, power) } }
        var random = SplitMix64(seed: seed)
        var chosen = [Int](repeating: 0, count: blocks.count)
        var used = bits(chosen)
        var temperature = 2.0
        for _ in 0..<WidthAnnealing.steps {
            for _ in 0..<WidthAnnealing.proposals {
                let block = Int(random.next(upperBound: UInt64(blocks.count)))
                let option = Int(random.next(upperBound: UInt64(blocks[block].count)))
                let now = chosen[block]
                let total = used - blocks[block][now].bits + blocks[block][option].bits
                guard total <= budget else { continue }
                let change = costs[block][option] - costs[block][now]
                let share = Double(random.next() >> 11) * 0x1p-53
                guard change < 0 || share < exp(-change / temperature) else { continue }
                chosen[block] = option
                used = total
            }
            temperature *= 0.995
        }
        return chosen
    }

    private func spendRest(_ chosen: inout [Int]) {
        var left = budget - bits(chosen)
        var moved = true
        while moved {
            moved = false
            for block in blocks.indices where chosen[block] + 1 < blocks[block].count {
                let more = blocks[block][chosen[block] + 1].bits - blocks[block][chosen[block]].bits
                guard more <= left else { continue }
                chosen[block] += 1
                left -= more
                moved = true
            }
        }
    }
}
