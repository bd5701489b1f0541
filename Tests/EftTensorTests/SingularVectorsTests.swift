// SPDX-License-Identifier: Apache-2.0
// Singular vectors of matrices that are made of known ones.
import EftTensor
import Testing

@Suite struct SingularVectorsTests {
    /// Orthonormal rows from a discrete cosine transform.
    private func cosines(_ count: Int, _ length: Int) -> [[Double]] {
        (0..<count).map { index in
            let row = (0..<length).map { place in
                cosine(Double.pi * Double(index) * (Double(place) + 0.5) / Double(length))
            }
            let norm = row.reduce(0) { $0 + $1 * $1 }.squareRoot()
            return row.map { $0 / norm }
        }
    }

    private func cosine(_ angle: Double) -> Double {
        // A series is exact enough here, and asks for no library.
        var rest = angle.truncatingRemainder(dividingBy: 2 * .pi)
        if rest > .pi { rest -= 2 * .pi }
        var (term, sum) = (1.0, 1.0)
        for index in 1...15 {
            term *= -rest * rest / Double((2 * index - 1) * 2 * index)
            sum += term
        }
        return sum
    }

    private func signed(_ row: [Double]) -> [Double] {
        var largest = 0.0
        for value in row where abs(value) > abs(largest) + 1e-6 { largest = value }
        return largest < 0 ? row.map { -$0 } : row
    }

    @Test(arguments: [(1, 1, 1), (7, 3, 3), (3, 7, 2), (40, 40, 5), (300, 20, 4), (20, 600, 4)])
    func `they are found with their signs`(_ rows: Int, _ columns: Int, _ count: Int) throws {
        let all = min(rows, columns)
        let (left, right) = (cosines(all, rows), cosines(all, columns))
        let w = try Matrix(rows: rows, columns: columns, ledger: nil)
        for row in 0..<rows {
            for column in 0..<columns {
                let sum = (0..<all).reduce(0.0) {
                    $0 + left[$1][row] * right[$1][column] / Double(1 + $1)
                }
                w.pointer[row * columns + column] = Float(sum)
            }
        }
        let vectors = SingularVectors(rows: rows, columns: columns, count: count)
        let (u, v) = (
            try Matrix(rows: count, columns: rows, ledger: nil),
            try Matrix(rows: count, columns: columns, ledger: nil)
        )
        let scratch = try Buffer(
            byteCount: vectors.scratchBytes, ledger: nil, purpose: .workspace)
        #expect(vectors.find(of: w, left: u, right: v, scratch: scratch))
        for (found, wanted) in [(u, left), (v, right)] {
            for index in 0..<count {
                let expected = signed(wanted[index])
                // Of several largest numbers rounding says which is the first: both signs may be right.
                let numbers = (0..<found.columns).map {
                    Double(found.pointer[index * found.columns + $0])
                }
                let product = zip(numbers, expected).reduce(0) { $0 + $1.0 * $1.1 }
                #expect(abs(abs(product) - 1) < 1e-4, "vector \(index)")
                let largest = numbers.max { abs($0) < abs($1) } ?? 0
                #expect(largest > 0 || numbers.contains { abs($0 + largest) < 1e-6 })
            }
        }
    }

    @Test func `a matrix with NaN has none, and one of zeros has zeros on its longer side`() throws
    {
        let vectors = SingularVectors(rows: 5, columns: 3, count: 2)
        let scratch = try Buffer(
            byteCount: vectors.scratchBytes, ledger: nil, purpose: .workspace)
        let w = try Matrix(rows: 5, columns: 3, ledger: nil)
        let left = try Matrix(rows: 2, columns: 5, ledger: nil)
        #expect(vectors.find(of: w, left: left, right: nil, scratch: scratch))
        #expect(left.array == [Float](repeating: 0, count: 10))
        w.pointer[7] = .nan
        #expect(!vectors.find(of: w, left: left, right: nil, scratch: scratch))
    }
}
