// SPDX-License-Identifier: Apache-2.0
// Layouts of widths, curves of blocks, and choices within a budget.
import EftModels
import EftQuant
import EftTensor
import Testing

@testable import EftConversion

struct WidthTests {
    // MARK: Layouts

    /// What a division of the inputs costs by the rule that layouts follow.
    private func cost(_ groups: [EXL2Group], _ weights: [Float]) -> Double {
        let errors = [2: 0.1188, 3: 0.0374, 4: 0.0115, 5: 0.0035, 6: 0.00104, 8: 0.000082]
        var (row, sum) = (0, 0.0)
        for group in groups {
            let part = weights[row..<row + group.rows].reduce(0.0) { $0 + Double($1) }
            sum += part * (errors[group.bits] ?? 0)
            row += group.rows
        }
        return sum
    }

    @Test(arguments: [64, 576, 1536, 2080])
    func `a layout covers all inputs, widest first, and keeps to its mean`(_ inputs: Int) throws {
        let weights = (0..<inputs).map { Float(100) / Float($0 + 1) }
        for mean in WidthLayouts.ladder {
            let sections = WidthLayouts.sections(rowWeights: weights, mean: mean)
            let groups = try #require(EXL2Geometry.groups(inputs: inputs, sections: sections))
            #expect(groups.reduce(0) { $0 + $1.rows } == inputs)
            #expect(zip(groups, groups.dropFirst()).allSatisfy { $0.bits >= $1.bits })
            let bits = groups.reduce(0) { $0 + $1.rows * $1.bits }
            #expect(Double(bits) <= mean * Double(inputs))
            #expect(abs(sections.reduce(0.0) { $0 + $1.proportion } - 1) < 1e-9)
        }
    }

    @Test func `a layout costs no more than any other division of the same size`() throws {
        // Six groups of 32: all falling sequences of widths are tried.
        let weights = (0..<192).map { Float(1) / (1 + Float($0 * $0) / 500) }
        var sequences: [[Int]] = [[]]
        for _ in 0..<6 {
            sequences = sequences.flatMap { sequence in
                [8, 6, 5, 4, 3, 2].filter { $0 <= sequence.last ?? 8 }.map { sequence + [$0] }
            }
        }
        for mean in [2.5, 3.0, 3.5, 4.5, 5.5] {
            let found = try #require(
                EXL2Geometry.groups(
                    inputs: 192, sections: WidthLayouts.sections(rowWeights: weights, mean: mean)))
            let used = found.reduce(0) { $0 + $1.rows * $1.bits }
            let cost = cost(found, weights)
            for widths in sequences {
                let groups = widths.map { EXL2Group(bits: $0, rows: 32) }
                guard groups.reduce(0, { $0 + $1.rows * $1.bits }) <= used else { continue }
                #expect(cost <= self.cost(groups, weights) * (1 + 1e-9), "\(mean): \(widths)")
            }
        }
    }

    @Test func `a share gives back its rows whatever the rounding`() {
        for inputs in stride(from: 32, through: 4096, by: 32) {
            for size in [32, 64, 128] {
                for rows in stride(from: size, to: inputs, by: size) {
                    let share = EXL2Geometry.share(rows: rows, inputs: inputs, groupSize: size)
                    let count = (min(Double(inputs) * share, Double(inputs)) / Double(size))
                        .rounded(.up)
                    #expect(Int(count) == rows / size)
                }
            }
        }
    }

    // MARK: Tables

    @Test func `the tables of ExLlamaV2 fit matrices of any size and grow`() throws {
        #expect(ExLlamaV2Tables.attention.count == 19 && ExLlamaV2Tables.mlp.count == 17)
        for (table, columns) in [(ExLlamaV2Tables.attention, 4), (ExLlamaV2Tables.mlp, 3)] {
            for row in table {
                #expect(row.count == columns)
                for sections in row {
                    #expect(abs(sections.reduce(0.0) { $0 + $1.proportion } - 1) < 1e-9)
                    for inputs in [64, 576, 4096, 11008] {
                        #expect(EXL2Geometry.groups(inputs: inputs, sections: sections) != nil)
                    }
                }
            }
        }
        let last = try #require(ExLlamaV2Tables.attention.last?.first)
        #expect(last == [EXL2Section(bits: 8, groupSize: 128, proportion: 1)])
        #expect(
            ExLlamaV2Tables.mlp[0][2] == [
                EXL2Section(bits: 6, groupSize: 32, proportion: 0.05),
                EXL2Section(bits: 3, groupSize: 64, proportion: 0.2),
                EXL2Section(bits: 2, groupSize: 64, proportion: 0.75),
            ])
    }

    // MARK: Choice

    private func random(_ seed: UInt64, blocks: Int, options: Int) -> [[WidthChoice.Option]] {
        var random = SplitMix64(seed: seed)
        return (0..<blocks).map { _ in
            (0..<options).map { option in
                WidthChoice.Option(
                    bits: 100 * option + Int(random.next() % 150) + 50,
                    loss: Double(random.next() % 1000) / 100 / Double(option * option + 1))
            }
        }
    }

    /// The least loss within a budget, by trying everything.
    private func best(_ blocks: [[WidthChoice.Option]], budget: Int) -> Double? {
        var sums = [0: 0.0]
        for options in blocks {
            var next: [Int: Double] = [:]
            for (bits, loss) in sums {
                for option in options where bits + option.bits <= budget {
                    let total = loss + option.loss
                    next[bits + option.bits] = min(next[bits + option.bits] ?? .infinity, total)
                }
            }
            sums = next
        }
        return sums.values.min()
    }

    @Test(arguments: 0..<12)
    func `a choice keeps its budget and comes near the best one`(_ seed: UInt64) throws {
        let blocks = random(seed, blocks: 7, options: 5)
        let least = blocks.reduce(0) { $0 + ($1.map(\.bits).min() ?? 0) }
        for budget in stride(from: least, to: least + 2500, by: 311) {
            let chosen = try #require(WidthChoice.choose(blocks, budget: budget))
            let picked = zip(blocks, chosen).map { $0[$1] }
            #expect(picked.reduce(0) { $0 + $1.bits } <= budget)
            let loss = picked.reduce(0.0) { $0 + $1.loss }
            let best = try #require(self.best(blocks, budget: budget))
            // What one block's step can miss, at most.
            #expect(loss <= best * 1.1 + 0.5, "\(budget): \(loss), best \(best)")
        }
        #expect(WidthChoice.choose(blocks, budget: least - 1) == nil)
    }

    @Test func `annealing keeps its budget and is the same each time`() throws {
        let blocks = random(3, blocks: 6, options: 6)
        let backend = try CPUBackend(ledger: MemoryLedger(), threads: 2)
        let first = blocks.reduce(0) { $0 + $1[0].bits }
        let annealing = WidthAnnealing(blocks: blocks, budget: first + 900)
        let chosen = try #require(annealing.choose(on: backend))
        #expect(zip(blocks, chosen).reduce(0) { $0 + $1.0[$1.1].bits } <= first + 900)
        #expect(annealing.choose(on: backend) == chosen)
        #expect(WidthAnnealing(blocks: blocks, budget: first - 1).choose(on: backend) == nil)
    }

    // MARK: Curves

    @Test func `a hull is convex and keeps the best points`() {
        func point(_ bits: Int, _ loss: Double) -> WidthCurve.Point {
            WidthCurve.Point(sections: [], bits: bits, loss: loss)
        }
        let hull = WidthCurve.hull([
            point(6, 1), point(2, 10), point(3, 9.5), point(4, 3), point(5, 3.5), point(8, 0.5),
            point(4, 4), point(7, 1.5),
        ])
        #expect(hull.map(\.bits) == [2, 4, 6, 8])
        #expect(hull.map(\.loss) == [10, 3, 1, 0.5])
    }
}
