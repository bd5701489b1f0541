// SPDX-License-Identifier: Apache-2.0
// Products with triangles against their definition in 64 bits.
import EftTensor
import Testing

@Suite struct TriangularProductsTests {
    /// A matrix whose triangles have nothing in common, with a strong diagonal, and x.
    private struct Problem {
        let size: Int
        let columns: Int
        let stride: Int
        let matrix: [Float]
        let x: [Float]

        init(_ size: Int, columns: Int) {
            (self.size, self.columns, stride) = (size, columns, size + 3)
            var generator = SplitMix64(seed: UInt64(size * 31 + columns))
            func numbers(_ count: Int) -> [Float] {
                (0..<count).map { _ in Float(generator.next() >> 40) / 0x1p23 - 1 }
            }
            var matrix = numbers(size * (size + 3)).map { $0 / Float(size).squareRoot() }
            for row in 0..<size { matrix[row * (size + 3) + row] = 2 + Float(row % 3) }
            self.matrix = matrix
            x = numbers(size * columns)
        }

        func upper(_ row: Int, _ column: Int) -> Double {
            row <= column ? Double(matrix[row * stride + column]) : 0
        }

        func symmetric(_ row: Int, _ column: Int) -> Double {
            Double(matrix[max(row, column) * stride + min(row, column)])
        }

        /// A column of the product of a matrix and some numbers `[size][columns]`.
        func product(
            _ numbers: [Float], column: Int, _ entry: (_ row: Int, _ column: Int) -> Double
        ) -> [Double] {
            (0..<size).map { row in
                (0..<size).reduce(0.0) {
                    $0 + entry(row, $1) * Double(numbers[$1 * columns + column])
                }
            }
        }

        /// The columns that are compared.
        var chosen: [Int] { Array(Set([0, columns / 2, columns - 1])) }
    }

    /// One row, cut blocks, several blocks, and more columns than are taken at a time.
    static let shapes = [(1, 1), (5, 3), (128, 20), (129, 33), (300, 17), (40, 2050)]

    private func run(
        _ problem: Problem, threads: Int = 2,
        _ body: (TriangularProducts, UnsafeMutablePointer<Float>) throws -> Void
    ) throws -> [Float] {
        let backend = try CPUBackend(ledger: MemoryLedger(), threads: threads)
        let (size, columns) = (problem.size, problem.columns)
        try backend.reserveScratch(
            TriangularProducts.scratchBytes(size: size, columns: columns, on: backend))
        let before = backend.ledger.peakTotal
        var result = problem.x
        try problem.matrix.withUnsafeBufferPointer { matrix in
            let start = try #require(matrix.baseAddress)
            let products = TriangularProducts(
                start, size: size, stride: problem.stride, backend: backend)
            try result.withUnsafeMutableBufferPointer {
                try body(products, try #require($0.baseAddress))
            }
        }
        let stated = TriangularProducts.byteCount(size: size, columns: columns)
        #expect(backend.ledger.peakTotal - before <= stated)
        return result
    }

    private func expectNear(
        _ found: [Float], _ problem: Problem, column: Int, _ wanted: [Double]
    ) {
        for row in 0..<problem.size {
            let value = Double(found[row * problem.columns + column])
            #expect(abs(value - wanted[row]) < 1e-4 * max(1, abs(wanted[row])))
        }
    }

    @Test(arguments: shapes)
    func `a symmetric matrix is read from its lower triangle`(_ size: Int, _ columns: Int) throws {
        let problem = Problem(size, columns: columns)
        let y = [Float](repeating: 0.5, count: size * columns)
        var sums = y
        let x = try run(problem) { products, x in
            try sums.withUnsafeMutableBufferPointer {
                try products.addSymmetric(x, to: try #require($0.baseAddress), columns: columns)
            }
        }
        #expect(x == problem.x)
        for column in problem.chosen {
            let wanted = problem.product(problem.x, column: column, problem.symmetric)
            expectNear(sums, problem, column: column, wanted.map { $0 + 0.5 })
        }
    }

    @Test(arguments: shapes)
    func `products are of the upper triangle`(_ size: Int, _ columns: Int) throws {
        let problem = Problem(size, columns: columns)
        let plain = try run(problem) { try $0.multiply($1, columns: columns) }
        let turned = try run(problem) { try $0.multiplyTransposed($1, columns: columns) }
        for column in problem.chosen {
            expectNear(
                plain, problem, column: column,
                problem.product(problem.x, column: column, problem.upper))
            expectNear(
                turned, problem, column: column,
                problem.product(problem.x, column: column) { problem.upper($1, $0) })
        }
    }

    @Test(arguments: shapes)
    func `a solution gives what it is the solution of`(_ size: Int, _ columns: Int) throws {
        let problem = Problem(size, columns: columns)
        let z = try run(problem) { try $0.solveTransposed($1, columns: columns) }
        for column in problem.chosen {
            let found = problem.product(z, column: column) { problem.upper($1, $0) }
            expectNear(
                problem.x, problem, column: column, found)
        }
    }

    @Test func `the number of threads changes no bit`() throws {
        let problem = Problem(300, columns: 65)
        var found: [[Float]] = []
        for threads in 1...3 {
            found.append(
                try run(problem, threads: threads) { products, x in
                    try products.multiply(x, columns: 65)
                    try products.solveTransposed(x, columns: 65)
                    try products.multiplyTransposed(x, columns: 65)
                })
        }
        #expect(found[0] == found[1] && found[1] == found[2])
    }
}
