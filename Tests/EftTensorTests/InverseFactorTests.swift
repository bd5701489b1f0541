// SPDX-License-Identifier: Apache-2.0
// The factor of an inverse against its definition.
import EftTensor
import Testing

@Suite struct InverseFactorTests {
    /// A positive definite matrix in the upper triangle, and marks below it.
    private func symmetric(_ size: Int) throws -> (matrix: Matrix, full: [Double]) {
        var generator = SplitMix64(seed: UInt64(size))
        let depth = size + 5
        let x = (0..<depth * size).map { _ in Double(generator.next() >> 40) / 0x1p23 - 1 }
        var full = [Double](repeating: 0, count: size * size)
        let matrix = try Matrix(rows: size, columns: size, ledger: nil)
        for i in 0..<size {
            for j in 0...i {
                var sum = i == j ? 0.1 * Double(size) : 0
                for t in 0..<depth { sum += x[t * size + i] * x[t * size + j] }
                full[i * size + j] = sum
                full[j * size + i] = sum
                matrix.pointer[i * size + j] = Float(-1 - j)
                matrix.pointer[j * size + i] = Float(sum)
            }
        }
        return (matrix, full)
    }

    /// Whole and cut blocks, one and several columns of products.
    @Test(arguments: [1, 2, 63, 128, 129, 300, 530])
    func `U A U' is the identity, and what lies below stays`(_ size: Int) throws {
        let backend = try CPUBackend(threads: 2)
        let (matrix, full) = try symmetric(size)
        #expect(try InverseFactor(size: size, backend: backend).find(matrix.pointer))
        let u = matrix.pointer
        for i in 0..<size {
            for j in 0..<i { #expect(u[i * size + j] == Float(-1 - j)) }
            // A U' of this row of U, then U times that: U'U = A^-1 says that it is the identity.
            var product = [Double](repeating: 0, count: size)
            for k in i..<size {
                let value = Double(u[i * size + k])
                for l in 0..<size { product[l] += full[k * size + l] * value }
            }
            for row in stride(from: i % 7, to: size, by: 7) {
                var sum = 0.0
                for k in row..<size { sum += Double(u[row * size + k]) * product[k] }
                #expect(abs(sum - (row == i ? 1 : 0)) < 1e-3)
            }
        }
    }

    @Test func `the number of threads changes no bit`() throws {
        var found: [[Float]] = []
        for threads in 1...3 {
            let (matrix, _) = try symmetric(420)
            let backend = try CPUBackend(threads: threads)
            #expect(try InverseFactor(size: 420, backend: backend).find(matrix.pointer))
            found.append((0..<matrix.count).map { matrix.pointer[$0] })
        }
        #expect(found[0] == found[1] && found[1] == found[2])
    }

    @Test(arguments: [0, 200, 299])
    func `a matrix that is not positive definite has none`(_ place: Int) throws {
        let backend = try CPUBackend(threads: 2)
        for bad in [-1, Float.nan] {
            let (matrix, _) = try symmetric(300)
            matrix.pointer[place * 301] = bad
            #expect(try !InverseFactor(size: 300, backend: backend).find(matrix.pointer))
        }
    }
}
