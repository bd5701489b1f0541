// SPDX-License-Identifier: Apache-2.0
// Products of columns with columns against f64, on every level.
import CEftKernels
import Testing

struct GramTests {
    /// A product with everything around it.
    private struct Case {
        var rows: Int, columns: Int
        var isSymmetric: Bool
        var precision = EFT_PRECISION_BF16

        private func rounded(_ x: Float) -> Double {
            guard precision == EFT_PRECISION_BF16 else { return Double(x) }
            let bits = x.bitPattern
            return Double(
                Float(bitPattern: (bits &+ 0x7fff &+ (bits >> 16) & 1) & 0xffff_0000))
        }

        /// What is found, and what is wanted of the lower triangle or of all.
        func run(_ context: OpaquePointer) -> (found: [Float], wanted: [Double]) {
            var noise = Noise(rows + 1000 * columns)
            let x = noise.numbers(rows * columns), y = noise.numbers(rows * columns)
            let before = noise.numbers(columns * columns)
            var c = before
            let bytes = eft_gram_workspace(context, precision, rows, columns)
            let workspace = Chunk(bytes + 64)
            y.withUnsafeBufferPointer {
                eft_gram(
                    context, precision, rows, columns, x, isSymmetric ? nil : $0.baseAddress, &c,
                    workspace.bytes)
            }
            let rest = UnsafeRawBufferPointer(start: workspace.bytes + bytes, count: 64)
            #expect(rest.allSatisfy { $0 == 0xff }, "wrote beyond its workspace")
            var (found, wanted): ([Float], [Double]) = ([], [])
            let other = isSymmetric ? x : y
            for i in 0..<columns {
                for j in 0..<(isSymmetric ? i + 1 : columns) {
                    var sum = Double(before[i * columns + j])
                    for t in 0..<rows {
                        sum += rounded(x[t * columns + i]) * rounded(other[t * columns + j])
                    }
                    found.append(c[i * columns + j])
                    wanted.append(sum)
                }
            }
            return (found, wanted)
        }
    }

    @Test(arguments: KernelLevel.all)
    func `equals the sums in f64`(level: KernelLevel) throws {
        // Halves of pairs, of tiles, of panels and of stripes; several folds; several jobs.
        for (index, shape) in [
            (1, 1), (2, 7), (3, 8), (5, 16), (7, 17), (33, 48), (64, 50), (10, 100), (515, 65),
            (1030, 24), (16, 300), (0, 5),
        ].enumerated() {
            for isSymmetric in [true, false] {
                var one = Case(rows: shape.0, columns: shape.1, isSymmetric: isSymmetric)
                for precision in [EFT_PRECISION_BF16, EFT_PRECISION_F32] {
                    one.precision = precision
                    let (found, wanted) = try level.run(threads: index % 3 + 1) { one.run($0) }
                    #expect(distance(found, wanted) < 1e-4, "\(one)")
                }
            }
        }
    }

    @Test(arguments: KernelLevel.all)
    func `the number of threads changes no bit`(level: KernelLevel) throws {
        for isSymmetric in [true, false] {
            for precision in [EFT_PRECISION_BF16, EFT_PRECISION_F32] {
                let one = Case(
                    rows: 600, columns: 170, isSymmetric: isSymmetric, precision: precision)
                let whole = try level.run { one.run($0).found }
                for threads in 2...3 {
                    let again = try level.run(threads: threads) { one.run($0).found }
                    #expect(sameBits(whole, again))
                }
            }
        }
    }
}
