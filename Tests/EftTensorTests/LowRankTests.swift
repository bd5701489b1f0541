// SPDX-License-Identifier: Apache-2.0
// Parts of low rank against their definitions.
import EftTensor
import Testing

@Suite struct LowRankTests {
    private func noise(_ count: Int, _ salt: UInt64) -> [Float] {
        var generator = SplitMix64(seed: salt)
        return (0..<count).map { _ in Float(generator.next() >> 40) / Float(1 << 23) - 1 }
    }

    private func matrix(_ rows: Int, _ columns: Int, _ values: [Float]) throws -> Matrix {
        let matrix = try Matrix(rows: rows, columns: columns, ledger: nil)
        matrix.assign(values)
        return matrix
    }

    /// A matrix with known singular values: products of reflections around a diagonal.
    private func matrix(_ rows: Int, _ columns: Int, singular: [Double]) throws -> Matrix {
        var w = [[Double]](
            repeating: [Double](repeating: 0, count: columns), count: rows)
        for (index, value) in singular.enumerated() { w[index][index] = value }
        func reflect(_ vectors: [[Double]], salt: UInt64) -> [[Double]] {
            let v = noise(vectors.count, salt).map(Double.init)
            let norm = v.reduce(0) { $0 + $1 * $1 }
            var out = vectors
            for column in vectors[0].indices {
                var dot = 0.0
                for row in vectors.indices { dot += v[row] * vectors[row][column] }
                for row in vectors.indices { out[row][column] -= 2 * v[row] * dot / norm }
            }
            return out
        }
        func transposed(_ x: [[Double]]) -> [[Double]] {
            x[0].indices.map { column in x.map { $0[column] } }
        }
        w = reflect(reflect(w, salt: 1), salt: 2)
        w = transposed(reflect(reflect(transposed(w), salt: 3), salt: 4))
        return try matrix(rows, columns, w.flatMap { $0.map { Float($0) } })
    }

    private func product(_ a: Matrix, _ b: Matrix) -> [Float] {
        (0..<b.rows).flatMap { row in
            (0..<a.columns).map { column in
                (0..<a.rows).reduce(Float(0)) {
                    $0 + b.pointer[row * a.rows + $1] * a.pointer[$1 * a.columns + column]
                }
            }
        }
    }

    private func squares(_ values: some Sequence<Float>) -> Double {
        values.reduce(0) { $0 + Double($1) * Double($1) }
    }

    private static let shapes = [(40, 24), (24, 40), (33, 33), (300, 17), (17, 300)]

    @Test(arguments: shapes, [1, 5, 17])
    func `singular values give the best approximation`(_ shape: (Int, Int), _ rank: Int) throws {
        let (rows, columns) = shape
        let values = (0..<min(rows, columns)).map { 3 / Double($0 + 1) }
        let w = try matrix(rows, columns, singular: values)
        let ledger = MemoryLedger()
        let lowRank = LowRank(outputs: rows, inputs: columns, rank: rank, ledger: ledger)
        let a = try Matrix(rows: rank, columns: columns, ledger: nil)
        let b = try Matrix(rows: rows, columns: rank, ledger: nil)
        #expect(try lowRank.find(.singular, of: w, a: a, b: b))
        let stated = LowRank.byteCount(
            .singular, outputs: rows, inputs: columns, rank: rank)
        #expect(ledger.peakTotal <= stated && ledger.peakTotal > stated / 2)
        let rest = zip(w.array, product(a, b)).map { $0 - $1 }
        // Eckart and Young: what is left are the other values.
        let wanted = values.dropFirst(rank).reduce(0) { $0 + $1 * $1 }
        #expect(abs(squares(rest) - wanted) < 1e-5 * max(wanted, 1))
        for index in 0..<rank {
            let row = squares(a.rows(index..<index + 1).array)
            let column = squares((0..<rows).map { b.pointer[$0 * rank + index] })
            #expect(abs(row - values[index]) < 1e-5 * values[0])
            #expect(abs(column - values[index]) < 1e-5 * values[0])
        }
    }

    @Test(arguments: shapes)
    func `random ranges come near once they are iterated`(_ shape: (Int, Int)) throws {
        let (rows, columns) = shape
        let rank = 4
        let values = (0..<min(rows, columns)).map { 4 / Double(($0 + 1) * ($0 + 1)) }
        let w = try matrix(rows, columns, singular: values)
        let best = values.dropFirst(rank).reduce(0) { $0 + $1 * $1 }
        func rest(_ rounds: Int) throws -> Double {
            let ledger = MemoryLedger()
            let lowRank = LowRank(outputs: rows, inputs: columns, rank: rank, ledger: ledger)
            let a = try Matrix(rows: rank, columns: columns, ledger: nil)
            let b = try Matrix(rows: rows, columns: rank, ledger: nil)
            var numbers = noise(rank * max(rows, columns), 9)[...]
            let method = LowRank.Method.randomized(rounds: rounds)
            let isFound = try lowRank.find(
                method, of: w, a: a, b: b, random: { numbers.popFirst() ?? 0 })
            #expect(isFound)
            let stated = LowRank.byteCount(
                method, outputs: rows, inputs: columns, rank: rank)
            #expect(ledger.peakTotal <= stated)
            // The halves have the same norms.
            for index in 0..<rank {
                let row = squares(a.rows(index..<index + 1).array)
                let column = squares((0..<rows).map { b.pointer[$0 * rank + index] })
                #expect(abs(row - column) < 1e-4 * values[0])
            }
            return squares(zip(w.array, product(a, b)).map { $0 - $1 })
        }
        let (rough, fine) = (try rest(0), try rest(8))
        #expect(fine < best * 1.001 + 1e-6 && fine <= rough + 1e-6)
    }

    @Test(arguments: shapes)
    func `QR gives orthonormal columns and the rows of R`(_ shape: (Int, Int)) throws {
        let (rows, columns) = shape
        let rank = 6
        let w = try matrix(rows, columns, noise(rows * columns, 7))
        let ledger = MemoryLedger()
        let lowRank = LowRank(outputs: rows, inputs: columns, rank: rank, ledger: ledger)
        let a = try Matrix(rows: rank, columns: columns, ledger: nil)
        let b = try Matrix(rows: rows, columns: rank, ledger: nil)
        #expect(try lowRank.find(.orthogonal, of: w, a: a, b: b))
        #expect(
            ledger.peakTotal
                <= LowRank.byteCount(
                    .orthogonal, outputs: rows, inputs: columns, rank: rank))
        for i in 0..<rank {
            for j in 0..<rank {
                let dot = (0..<rows).reduce(0.0) {
                    $0 + Double(b.pointer[$1 * rank + i]) * Double(b.pointer[$1 * rank + j])
                }
                #expect(abs(dot - (i == j ? 1 : 0)) < 1e-5)
                if j < i { #expect(a.pointer[i * columns + j] == 0) }
            }
        }
        // The first columns of W are Q R of them.
        let found = product(a, b)
        for row in 0..<rows {
            for column in 0..<rank {
                #expect(abs(found[row * columns + column] - w.array[row * columns + column]) < 1e-4)
            }
        }
    }

    @Test func `numbers that are not finite are found out`() throws {
        let values = [Float](repeating: .nan, count: 40 * 20)
        let w = try matrix(40, 20, values)
        let lowRank = LowRank(outputs: 40, inputs: 20, rank: 3, ledger: nil)
        let a = try Matrix(rows: 3, columns: 20, ledger: nil)
        let b = try Matrix(rows: 40, columns: 3, ledger: nil)
        for method in [LowRank.Method.singular, .orthogonal, .randomized(rounds: 1)] {
            #expect(!(try lowRank.find(method, of: w, a: a, b: b, random: { 1 })))
        }
    }

    @Test func `orthogonal halves have a product of zero`() throws {
        let (a, b) = (
            try Matrix(rows: 6, columns: 40, ledger: nil),
            try Matrix(rows: 30, columns: 6, ledger: nil)
        )
        var numbers = noise(4096, 3)[...]
        let basis = Array(noise(36, 5))
        #expect(
            LowRank.fillOrthogonally(
                a: a, b: b, basis: basis, random: { numbers.popFirst() ?? 0 }))
        #expect(product(a, b).allSatisfy { abs($0) < 1e-7 })
        #expect(a.array.contains { $0 != 0 } && b.array.contains { $0 != 0 })
        let odd = try Matrix(rows: 3, columns: 4, ledger: nil)
        let other = try Matrix(rows: 4, columns: 3, ledger: nil)
        #expect(
            !LowRank.fillOrthogonally(a: odd, b: other, basis: noise(9, 1), random: { 1 }))
    }
}
