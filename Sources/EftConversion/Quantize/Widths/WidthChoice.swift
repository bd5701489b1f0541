// SPDX-License-Identifier: Apache-2.0
// Spending a budget of bits on the smallest sum of losses.

/// Chooses one option for each block, within a budget.
///
/// The mix with the least loss for a price of a bit is found block by block; a search for the price comes to the budget
/// from below, and what is left is spent by moves of single blocks and exchanges between two, until none helps. With
/// options on a convex curve that is the optimum but for less than the step of one block.
struct WidthChoice {
    /// What a block can be.
    struct Option: Sendable, Hashable {
        let bits: Int
        let loss: Double
    }

    private let blocks: [[Option]]
    private let budget: Int

    /// The places of the chosen options; nil when even the smallest ones exceed the budget.
    static func choose(_ blocks: [[Option]], budget: Int) -> [Int]? {
        WidthChoice(blocks: blocks, budget: budget).run()
    }

    private func run() -> [Int]? {
        let smallest = blocks.map { options in
            options.indices.min { options[$0].bits < options[$1].bits } ?? 0
        }
        guard bits(smallest) <= budget else { return nil }
        var chosen = smallest
        // Prices over all that losses and bits can come to.
        var (low, high) = (-1100, 1000)
        while high - low > 1 {
            let middle = (low + high) / 2
            let found = cheapest(exponent: middle, share: 0)
            if bits(found) <= budget { (chosen, high) = (found, middle) } else { low = middle }
        }
        var (from, to) = (0.0, 1.0)
        for _ in 0..<50 {
            let middle = (from + to) / 2
            let found = cheapest(exponent: low, share: middle)
            if bits(found) <= budget { (chosen, to) = (found, middle) } else { from = middle }
        }
        improve(&chosen)
        return chosen
    }

    private func bits(_ chosen: [Int]) -> Int {
        zip(blocks, chosen).reduce(0) { $0 + $1.0[$1.1].bits }
    }

    /// The best mix when a bit costs 2^exponent (1 + share).
    private func cheapest(exponent: Int, share: Double) -> [Int] {
        let price = Double(sign: .plus, exponent: exponent, significand: 1 + share)
        return blocks.map { options in
            options.indices.min {
                options[$0].loss + price * Double(options[$0].bits)
                    < options[$1].loss + price * Double(options[$1].bits)
            } ?? 0
        }
    }

    /// Spends what is left.
    private func improve(_ chosen: inout [Int]) {
        var left = budget - bits(chosen)
        // Each round lowers the sum of losses, so there is an end; the bound is for losses that differ by rounding only.
        for _ in 0..<10_000 {
            guard let move = bestMove(chosen, left) ?? bestExchange(chosen, left) else { return }
            for (block, option) in move {
                left -= blocks[block][option].bits - blocks[block][chosen[block]].bits
                chosen[block] = option
            }
        }
    }

    private func gain(_ block: Int, _ chosen: [Int], _ option: Int) -> Double {
        blocks[block][chosen[block]].loss - blocks[block][option].loss
    }

    private func cost(_ block: Int, _ chosen: [Int], _ option: Int) -> Int {
        blocks[block][option].bits - blocks[block][chosen[block]].bits
    }

    /// The change of one block that gains most within what is left.
    private func bestMove(_ chosen: [Int], _ left: Int) -> [(Int, Int)]? {
        var best: (gain: Double, block: Int, option: Int)?
        for block in blocks.indices {
            for option in blocks[block].indices
            where cost(block, chosen, option) <= left && gain(block, chosen, option) > 0 {
                let gain = gain(block, chosen, option)
                if gain > best?.gain ?? 0 { best = (gain, block, option) }
            }
        }
        return best.map { [($0.block, $0.option)] }
    }

    /// The change of one block, paid for by another, that gains most.
    private func bestExchange(_ chosen: [Int], _ left: Int) -> [(Int, Int)]? {
        // For each block the changes that free bits, cheapest loss first.
        var savings: [(block: Int, option: Int, freed: Int, loss: Double)] = []
        for block in blocks.indices {
            for option in blocks[block].indices where cost(block, chosen, option) < 0 {
                savings.append(
                    (block, option, -cost(block, chosen, option), -gain(block, chosen, option)))
            }
        }
        savings.sort { $0.loss < $1.loss }
        var best: (gain: Double, moves: [(Int, Int)])?
        for block in blocks.indices {
            for option in blocks[block].indices where cost(block, chosen, option) > left {
                let (need, gain) = (
                    cost(block, chosen, option) - left, gain(block, chosen, option)
                )
                guard gain > best?.gain ?? 0 else { continue }
                guard let saving = savings.first(where: { $0.block != block && $0.freed >= need })
                else { continue }
                let net = gain - saving.loss
                if net > best?.gain ?? 0 {
                    best = (net, [(block, option), (saving.block, saving.option)])
                }
            }
        }
        return best?.moves
    }
}
