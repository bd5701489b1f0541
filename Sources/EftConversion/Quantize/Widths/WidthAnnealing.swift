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
    /// Proposals of a step: the original's 1000, or fewer where few blocks are chosen for.
    private var proposals: Int { min(1000, 20 * blocks.count) }

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
        // All options in one list, for speed: some hundred million proposals are looked at.
        var starts: [Int] = [0]
        for options in blocks { starts.append((starts.last ?? 0) + options.count) }
        let sizes = blocks.flatMap { $0.map(\.bits) }
        let costs = blocks.flatMap { $0.map { pow($0.loss, power) } }
        var chosen = Array(starts.dropLast())
        starts.withUnsafeBufferPointer { starts in
            sizes.withUnsafeBufferPointer { sizes in
                costs.withUnsafeBufferPointer { costs in
                    chosen.withUnsafeMutableBufferPointer { chosen in
                        anneal(starts, sizes, costs, &chosen, seed: seed)
                    }
                }
            }
        }
        return zip(chosen, starts).map { $0 - $1 }
    }

    /// - Parameter chosen: places in the list of all options.
    private func anneal(
        _ starts: UnsafeBufferPointer<Int>, _ sizes: UnsafeBufferPointer<Int>,
        _ costs: UnsafeBufferPointer<Double>, _ chosen: inout UnsafeMutableBufferPointer<Int>,
        seed: UInt64
    ) {
        var random = SplitMix64(seed: seed)
        var used = chosen.reduce(0) { $0 + sizes[$1] }
        let (count, proposals) = (UInt64(chosen.count), proposals)
        var temperature = 2.0
        for _ in 0..<WidthAnnealing.steps {
            for _ in 0..<proposals {
                let number = random.next()
                // The upper and the lower half of a random number choose block and option.
                let block = Int((number >> 32) * count >> 32)
                let options = UInt64(starts[block + 1] - starts[block])
                let option = starts[block] + Int((number & 0xFFFF_FFFF) * options >> 32)
                let total = used - sizes[chosen[block]] + sizes[option]
                guard total <= budget else { continue }
                let change = costs[option] - costs[chosen[block]]
                if change >= 0 {
                    let share = Double(random.next() >> 11) * 0x1p-53
                    guard share < exp(-change / temperature) else { continue }
                }
                chosen[block] = option
                used = total
            }
            temperature *= 0.995
        }
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
