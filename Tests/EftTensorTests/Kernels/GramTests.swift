// SPDX-License-Identifier: Apache-2.0
// Products of columns with columns against f64, on every level.
import CEftKernels
import Testing

struct GramTests {
    private static let precisions = [EFT_PRECISION_BF16, EFT_PRECISION_INT8, EFT_PRECISION_F32]

    /// A product with everything around it.
    private struct Case {
        var rows: Int, columns: Int
        var isSymmetric: Bool
        var precision = EFT_PRECISION_BF16

        /// What is multiplied in the place of numbers `[rows][columns]`.
        private func rounded(_ x: [Float], _ isa: eft_isa) -> [Double] {
            switch precision {
            case EFT_PRECISION_INT8
            where isSymmetric && isa.rawValue >= EFT_ISA_AVX512_VNNI.rawValue
                && isa.rawValue < EFT_ISA_NEON.rawValue:
                integers(x)
            case EFT_PRECISION_BF16, EFT_PRECISION_INT8:
                x.map {
                    let bits = $0.bitPattern
                    return Double(
                        Float(bitPattern: (bits &+ 0x7fff &+ (bits >> 16) & 1) & 0xffff_0000))
                }
            default: x.map { Double($0) }
            }
        }

        /// Integers of 8 bits times the scale of their column of 512 rows.
        private func integers(_ x: [Float]) -> [Double] {
            var values = x.map { Double($0) }
            for first in stride(from: 0, to: rows, by: 512) {
                for column in 0..<columns {
                    let places = (first..<min(first + 512, rows)).map { $0 * columns + column }
                    let most = places.reduce(Float(0)) { max($0, abs(x[$1])) }
                    guard most > 0 else { continue }
                    for place in places {
                        let integer = (x[place] * (127 / most)).rounded(.toNearestOrEven)
                        values[place] = Double(integer) * Double(most / 127)
                    }
                }
            }
            return values
        }

        /// What is found, and what is wanted of the lower triangle or of all.
        func run(_ context: OpaquePointer, _ isa: eft_isa) -> (found: [Float], wanted: [Double]) {
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
            let (left, other) = (rounded(x, isa), rounded(isSymmetric ? x : y, isa))
            for i in 0..<columns {
                for j in 0..<(isSymmetric ? i + 1 : columns) {
                    var sum = Double(before[i * columns + j])
                    for t in 0..<rows {
                        sum += left[t * columns + i] * other[t * columns + j]
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
                for precision in Self.precisions {
                    one.precision = precision
                    let (found, wanted) = try level.run(threads: index % 3 + 1) {
                        one.run($0, level.isa)
                    }
                    #expect(distance(found, wanted) < 1e-4, "\(one)")
                }
            }
        }
    }

    @Test(arguments: KernelLevel.all)
    func `the number of threads changes no bit`(level: KernelLevel) throws {
        for isSymmetric in [true, false] {
            for precision in Self.precisions {
                let one = Case(
                    rows: 600, columns: 170, isSymmetric: isSymmetric, precision: precision)
                let whole = try level.run { one.run($0, level.isa).found }
                for threads in 2...3 {
                    let again = try level.run(threads: threads) { one.run($0, level.isa).found }
                    #expect(sameBits(whole, again))
                }
            }
        }
    }

    @Test(arguments: KernelLevel.all, precisions)
    private func `numbers that are not finite reach the diagonal`(
        level: KernelLevel, precision: eft_precision
    ) throws {
        for bad in [Float.nan, .infinity, -.infinity] {
            let (rows, columns) = (600, 20)
            var noise = Noise(1)
            var x = noise.numbers(rows * columns)
            x[555 * columns + 17] = bad
            var c = [Float](repeating: 0, count: columns * columns)
            try level.run { context in
                let workspace = Chunk(eft_gram_workspace(context, precision, rows, columns))
                eft_gram(context, precision, rows, columns, x, nil, &c, workspace.bytes)
            }
            for column in 0..<columns {
                #expect(c[column * columns + column].isFinite == (column != 17))
            }
        }
    }
}
