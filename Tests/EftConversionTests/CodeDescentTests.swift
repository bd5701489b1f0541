// SPDX-License-Identifier: Apache-2.0
// Coordinate descent behind GPTQ: a lower loss, and the one that is told.
import EftModels
import EftQuant
import EftTensor
import EftTestSupport
import Testing

@testable import EftConversion

struct CodeDescentTests {
    private static let inputs = 160
    private static let outputs = 72
    private static let recipe = QuantizerRecipe(
        scales: .losses, damping: .median(0.3), descents: 2)

    private let backend: CPUBackend
    private let ledger = MemoryLedger()
    private let hessian: Hessian
    private let wanted: Matrix
    /// H + damp I, in f64.
    private let definition: [Double]

    init() throws {
        backend = try CPUBackend(ledger: ledger, threads: 2)
        let size = CodeDescentTests.inputs
        var generator = NormalGenerator(seed: 4)
        let tokens = try Matrix(rows: 120, columns: size, ledger: nil)
        for row in 0..<tokens.rows {
            var last = 0.0
            for column in 0..<size {
                last = 0.7 * last + generator.normal() * (1 + Double(column % 5))
                tokens.pointer[row * size + column] = Float(last)
            }
        }
        hessian = try Hessian(size: size, ledger: nil)
        try hessian.add(tokens, backend: backend)
        try hessian.factor(module: "layer", recipe: CodeDescentTests.recipe, backend: backend)
        wanted = try Matrix(rows: size, columns: CodeDescentTests.outputs, ledger: nil)
        for index in 0..<wanted.count { wanted.pointer[index] = Float(generator.normal()) * 0.1 }
        var definition = [Double](repeating: 0, count: size * size)
        let order = hessian.permutation.map { Int($0) }
        for row in 0..<size {
            for column in 0..<size {
                var sum = 0.0
                for token in 0..<tokens.rows {
                    let line = tokens.pointer + token * size
                    sum += Double(line[order[row]]) * Double(line[order[column]])
                }
                definition[row * size + column] = sum + (row == column ? hessian.damp : 0)
            }
        }
        self.definition = definition
    }

    private func losses(_ weights: Matrix) -> [Double] {
        let (size, columns) = (CodeDescentTests.inputs, CodeDescentTests.outputs)
        return (0..<columns).map { column -> Double in
            let d: [Double] = (0..<size).map { row in
                let place = row * columns + column
                return Double(weights.pointer[place]) - Double(wanted.pointer[place])
            }
            var sum = 0.0
            for row in 0..<size {
                var slope = 0.0
                for other in 0..<size { slope += definition[row * size + other] * d[other] }
                sum += d[row] * slope
            }
            return sum
        }
    }

    private func copy(_ matrix: Matrix) throws -> Matrix {
        let copy = try Matrix(rows: matrix.rows, columns: matrix.columns, ledger: nil)
        copy.pointer.update(from: matrix.pointer, count: matrix.count)
        return copy
    }

    @Test(arguments: [[2, 2, 2, 2, 2], [3, 3, 3, 3, 3], [8, 6, 4, 3, 2], [5, 4, 4, 2, 2]])
    func `every output loses less or the same, as is told`(_ bits: [Int]) throws {
        let table = EXL2Table(bits.map { EXL2Group(bits: $0, rows: 32) })
        let start = try copy(wanted)
        var scales: [GroupScales] = []
        let gptq = try GPTQ(
            weights: start, table: table, recipe: CodeDescentTests.recipe, backend: backend)
        _ = try gptq.quantize(factor: hessian.values, into: nil) {
            scales = $0
            return []
        }
        let before = losses(start)
        let factor = (0..<hessian.size * hessian.size).map { hessian.values[$0] }
        let bytes = CodeDescent.byteCount(
            table: table, outputs: CodeDescentTests.outputs, threads: backend.threads)
        var last = before.reduce(0, +)
        for passes in 1...3 {
            var found: [Double] = []
            for columns in [CodeDescent.blockColumns, 20] {
                let weights = try copy(start)
                let held = ledger.current.total
                ledger.resetPeak()
                let told = try CodeDescent(
                    hessian: hessian, table: table, passes: passes, backend: backend,
                    columns: columns
                ).run(weights, scales) { outputs, block in
                    for row in 0..<block.rows {
                        for (place, output) in outputs.enumerated() {
                            block.pointer[row * block.columns + place] =
                                wanted.pointer[row * wanted.columns + output]
                        }
                    }
                }
                let triangle = TriangularProducts.byteCount(
                    size: start.rows, columns: start.columns, copiesRows: false)
                #expect(ledger.peakTotal - held <= bytes.block + triangle)
                let after = losses(weights)
                for (a, b) in zip(told, after) { #expect(abs(a / b - 1) < 1e-3) }
                for (a, b) in zip(after, before) { #expect(a <= b * (1 + 1e-4)) }
                let total = after.reduce(0, +)
                // Ties may fall either way when columns are divided otherwise.
                if let first = found.first { #expect(abs(total / first - 1) < 1e-3) }
                found.append(total)
            }
            #expect(found[0] < last)
            last = found[0]
        }
        #expect(last < 0.97 * before.reduce(0, +))
        #expect((0..<factor.count).allSatisfy { hessian.values[$0] == factor[$0] })
    }
}
