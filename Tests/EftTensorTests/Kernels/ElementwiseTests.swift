// SPDX-License-Identifier: Apache-2.0
// Sums, scales, biases, drop-out and norms.
import CEftKernels
import Testing

#if canImport(Glibc)
    import Glibc
#endif

struct ElementwiseTests {
    @Test(arguments: KernelLevel.all, oddSizes)
    func `a soft cap is the hyperbolic tangent, and has its gradient`(
        level: KernelLevel, count: Int
    ) throws {
        var noise = Noise(count)
        // Numbers near zero too, whose digits a quotient of exponentials would lose.
        let x = noise.numbers(count, scale: 90).enumerated().map { $0 % 3 == 0 ? $1 * 1e-4 : $1 }
        let dy = noise.numbers(count)
        var y = x, dx = dy
        try level.run(threads: 2) {
            eft_soft_cap($0, count, 30, &y)
            eft_soft_cap_backward($0, count, 30, y, &dx)
        }
        func cap(_ x: Double) -> Double { 30 * tanh(x / 30) }
        #expect(distance(y, x.doubles.map(cap), floor: 1e-6) < 1e-6)
        let slopes = x.doubles.map { 1 - (cap($0) / 30) * (cap($0) / 30) }
        #expect(distance(dx, zip(slopes, dy).map { $0 * Double($1) }, floor: 0.1) < 1e-5)
        var odd: [Float] = [.nan, .infinity, -.infinity, 0, -0.0]
        try level.run { eft_soft_cap($0, 5, 30, &odd) }
        #expect(odd[0].isNaN && odd[1] == 30 && odd[2] == -30 && odd[3] == 0)
    }

    @Test(arguments: KernelLevel.all, oddSizes + [30_000])
    func `sums and scales round as written`(level: KernelLevel, count: Int) throws {
        var noise = Noise(count)
        let x = noise.numbers(count), start = noise.numbers(count)
        var y = start, z = start
        try level.run(threads: 2) {
            eft_add_scaled($0, count, 0.3, x, &y)
            eft_scale($0, count, 0.7, &z)
        }
        #expect(sameBits(y, zip(start, x).map { $0 + 0.3 * $1 }))
        #expect(sameBits(z, start.map { $0 * 0.7 }))
    }

    @Test(arguments: KernelLevel.all, oddSizes)
    func `biases are added to rows and rows summed in order`(level: KernelLevel, columns: Int)
        throws
    {
        var noise = Noise(columns)
        let rows = 37, ld = columns + 3
        let start = noise.numbers(rows * ld), bias = noise.numbers(columns)
        var x = start, sums = bias
        try level.run(threads: 2) {
            eft_add_bias($0, rows, columns, bias, &x, ld)
            eft_column_sums($0, rows, columns, start, ld, &sums)
        }
        var biased = start, wanted = bias
        for t in 0..<rows {
            for c in 0..<columns {
                biased[t * ld + c] += bias[c]
                wanted[c] += start[t * ld + c]
            }
        }
        #expect(sameBits(x, biased))
        #expect(sameBits(sums, wanted))
    }

    @Test(arguments: KernelLevel.all, oddSizes)
    func `columns are scaled around a bias, and their products summed`(
        level: KernelLevel, columns: Int
    ) throws {
        var noise = Noise(columns + 1)
        let rows = 37, ld = columns + 3
        let start = noise.numbers(rows * ld), other = noise.numbers(rows * ld)
        let factors = noise.numbers(columns), bias = noise.numbers(columns)
        var (plain, around, sums) = (start, start, bias)
        try level.run(threads: 2) {
            eft_scale_columns($0, rows, columns, factors, nil, &plain, ld)
            eft_scale_columns($0, rows, columns, factors, bias, &around, ld)
            eft_column_products($0, rows, columns, factors, start, ld, other, ld, &sums)
        }
        var (wantedPlain, wantedAround) = (start, start)
        var products = [Float](repeating: 0, count: columns)
        for t in 0..<rows {
            for c in 0..<columns {
                let at = t * ld + c
                wantedPlain[at] *= factors[c]
                wantedAround[at] = (start[at] - bias[c]) * factors[c] + bias[c]
                products[c] += start[at] * other[at]
            }
        }
        #expect(sameBits(plain, wantedPlain))
        #expect(sameBits(around, wantedAround))
        #expect(sameBits(sums, (0..<columns).map { bias[$0] + factors[$0] * products[$0] }))
    }

    @Test(arguments: KernelLevel.all, oddSizes + [3_000_001])
    func `the sum of squares does not depend on threads`(level: KernelLevel, count: Int) throws {
        var noise = Noise(count)
        var x = noise.numbers(count)
        x[0] = 1e25
        let wanted = x.reduce(0.0) { $0 + Double($1) * Double($1) }
        let sums = try (1...3).map { threads in
            try level.run(threads: threads) { eft_sum_squares($0, count, x) }
        }
        #expect(abs(sums[0] - wanted) <= 1e-12 * wanted)
        #expect(sums[0] == sums[1] && sums[0] == sums[2])
        #expect(try level.run { eft_sum_squares($0, 0, x) } == 0)
    }

    private static func dropout(
        _ x: [Float], _ p: Float, seed: UInt64, level: KernelLevel, threads: Int = 1
    ) throws -> [Float] {
        var y = x
        try level.run(threads: threads) { context in
            y.withUnsafeMutableBufferPointer {
                eft_dropout(context, x.count, $0.baseAddress, $0.baseAddress, p, seed)
            }
        }
        return y
    }

    @Test(arguments: KernelLevel.all, oddSizes + [40_000])
    func `drop-out draws by seed and index alone`(level: KernelLevel, count: Int) throws {
        let ones = [Float](repeating: 1, count: count)
        let mask = try Self.dropout(ones, 0.25, seed: 11, level: .scalar)
        #expect(mask.allSatisfy { $0 == 0 || $0 == 1 / 0.75 })
        for threads in 1...3 {
            #expect(try mask == Self.dropout(ones, 0.25, seed: 11, level: level, threads: threads))
        }
        // The backward pass: other numbers, the same draw. A prefix draws the same too.
        let twos = [Float](repeating: -2, count: count)
        #expect(try Self.dropout(twos, 0.25, seed: 11, level: level) == mask.map { -2 * $0 })
        let prefix = Array(ones.prefix(count / 2 + 1))
        #expect(
            try Self.dropout(prefix, 0.25, seed: 11, level: level)
                == Array(mask.prefix(prefix.count)))
    }

    @Test(arguments: KernelLevel.all)
    func `drop-out keeps the share it should and seeds differ`(level: KernelLevel) throws {
        let ones = [Float](repeating: 1, count: 400_000)
        for p: Float in [0.05, 0.5, 0.9] {
            let a = try Self.dropout(ones, p, seed: 1, level: level)
            let b = try Self.dropout(ones, p, seed: 2, level: level)
            let keep = Double(1 - p), deviation = (keep * (1 - keep) / 400_000).squareRoot()
            let share = Double(a.count { $0 != 0 }) / 400_000
            #expect(abs(share - keep) < 5 * deviation)
            let both = Double(zip(a, b).count { $0 != 0 && $1 != 0 }) / 400_000
            #expect(
                abs(both - keep * keep) < 5
                    * (keep * keep * (1 - keep * keep) / 400_000).squareRoot())
            // Neighbours, and numbers a power of two apart, are independent.
            for distance in [1, 2, 16, 1024, 65536] {
                let pairs = 400_000 - distance
                let together =
                    Double((0..<pairs).count { a[$0] != 0 && a[$0 + distance] != 0 })
                    / Double(pairs)
                let spread = (keep * keep * (1 - keep * keep) / Double(pairs)).squareRoot()
                #expect(abs(together - keep * keep) < 6 * spread)
            }
        }
        #expect(try Self.dropout(ones, 0, seed: 1, level: level) == ones)
        #expect(try Self.dropout(ones, 1, seed: 1, level: level).allSatisfy { $0 == 0 })
        let bad = [Float](repeating: .nan, count: 64)
        #expect(try Self.dropout(bad, 0.5, seed: 1, level: level).contains { $0 == 0 })
    }
}
