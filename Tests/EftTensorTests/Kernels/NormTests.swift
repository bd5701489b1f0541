// SPDX-License-Identifier: Apache-2.0
// The root-mean-square norm against sums in f64, and its gradients against differences.
import CEftKernels
import Testing

struct NormTests {
    private static let eps: Float = 1e-5

    private static func wanted(_ x: [Double], _ weight: [Double]) -> [Double] {
        let mean = x.reduce(0) { $0 + $1 * $1 } / Double(x.count)
        return zip(x, weight).map { $0 / (mean + Double(eps)).squareRoot() * $1 }
    }

    @Test(arguments: KernelLevel.all, oddSizes)
    func `rows have root mean square one, times the weight`(level: KernelLevel, columns: Int) throws
    {
        var noise = Noise(columns)
        let rows = 3, ldx = columns + 5, ldy = columns + 2
        let x = noise.numbers(rows * ldx, scale: 3), weight = noise.numbers(columns)
        var y = [Float](repeating: 9, count: rows * ldy),
            inverse = [Float](repeating: 0, count: rows)
        try level.run {
            eft_rms_norm($0, rows, columns, x, ldx, weight, Self.eps, &y, ldy, &inverse)
        }
        for t in 0..<rows {
            let row = Array(x[t * ldx..<t * ldx + columns]).doubles
            #expect(
                distance(Array(y[t * ldy..<t * ldy + columns]), Self.wanted(row, weight.doubles))
                    < 1e-6)
            #expect(y[t * ldy + columns..<(t + 1) * ldy].allSatisfy { $0 == 9 })
            let mean = dot(row, row) / Double(columns)
            #expect(distance([inverse[t]], [1 / (mean + Double(Self.eps)).squareRoot()]) < 1e-6)
        }
    }

    @Test(arguments: KernelLevel.all)
    func `works in place, on huge and on tiny numbers`(level: KernelLevel) throws {
        var noise = Noise(1)
        let weight = noise.numbers(100)
        for scale: Float in [1e25, 1e-25] {
            let x = noise.numbers(100, scale: scale)
            var y = x
            try level.run { context in
                y.withUnsafeMutableBufferPointer {
                    eft_rms_norm(
                        context, 1, 100, $0.baseAddress, 100, weight, Self.eps, $0.baseAddress, 100,
                        nil)
                }
            }
            #expect(distance(y, Self.wanted(x.doubles, weight.doubles)) < 1e-6)
        }
        let bad: [Float] = [1, .nan, 2]
        var y = bad
        try level.run { eft_rms_norm($0, 1, 3, bad, 3, weight, Self.eps, &y, 3, nil) }
        #expect(y.allSatisfy { $0.isNaN })
    }

    @Test(arguments: KernelLevel.all, [1, 17, 64, 100])
    func `gradients equal differences`(level: KernelLevel, columns: Int) throws {
        var noise = Noise(columns + 1)
        let rows = 2, ld = columns + 3
        let x = noise.numbers(rows * ld), weight = noise.numbers(columns),
            dy = noise.numbers(rows * ld)
        let before = noise.numbers(rows * ld), weightBefore = noise.numbers(columns)
        var dx = before, dweight = weightBefore
        try level.run {
            eft_rms_norm_backward(
                $0, rows, columns, x, ld, weight, Self.eps, dy, ld, &dx, ld, true, &dweight)
        }
        var wantedWeight = weightBefore.doubles
        for t in 0..<rows {
            let range = t * ld..<t * ld + columns
            let row = Array(x[range]).doubles, pull = Array(dy[range]).doubles
            let slope = slopes(at: row) { dot(Self.wanted($0, weight.doubles), pull) }
            let wanted = zip(slope, before[range]).map { $0 + Double($1) }
            #expect(distance(Array(dx[range]), wanted) < 1e-5)
            let ofWeight = slopes(at: weight.doubles) { dot(Self.wanted(row, $0), pull) }
            for c in 0..<columns { wantedWeight[c] += ofWeight[c] }
        }
        #expect(distance(dweight, wantedWeight) < 1e-5)
    }

    @Test(arguments: KernelLevel.all)
    func `the gradient may overwrite dy, for many rows`(level: KernelLevel) throws {
        var noise = Noise(5)
        let rows = 600, columns = 70
        let x = noise.numbers(rows * columns), weight = noise.numbers(columns)
        let dy = noise.numbers(rows * columns)
        var dx = [Float](repeating: .nan, count: dy.count), over = dy
        var dweight = [Float](repeating: 0, count: columns), again = dweight
        try level.run(threads: 2) { context in
            eft_rms_norm_backward(
                context, rows, columns, x, columns, weight, Self.eps, dy, columns, &dx, columns,
                false,
                &dweight)
            over.withUnsafeMutableBufferPointer {
                eft_rms_norm_backward(
                    context, rows, columns, x, columns, weight, Self.eps, $0.baseAddress, columns,
                    $0.baseAddress, columns, false, &again)
            }
        }
        #expect(sameBits(dx, over) && sameBits(dweight, again))
        #expect(dx.allSatisfy { $0.isFinite })
        // In order of rows: the same as two halves one after the other.
        var halves = [Float](repeating: 0, count: columns)
        try level.run(threads: 3) { context in
            for first in [0, 350] {
                let count = first == 0 ? 350 : 250
                x.withUnsafeBufferPointer { x in
                    dy.withUnsafeBufferPointer { dy in
                        eft_rms_norm_backward(
                            context, count, columns, x.baseAddress.map { $0 + first * columns },
                            columns,
                            weight, Self.eps, dy.baseAddress.map { $0 + first * columns }, columns,
                            &over,
                            columns, false, &halves)
                    }
                }
            }
        }
        #expect(sameBits(dweight, halves))
    }

    @Test(arguments: KernelLevel.all)
    func `neither threads nor rows change a bit`(level: KernelLevel) throws {
        var noise = Noise(8)
        let rows = 50, columns = 1003
        let x = noise.numbers(rows * columns), weight = noise.numbers(columns)
        var results: [[Float]] = []
        for threads in 1...3 {
            var y = [Float](repeating: 0, count: x.count)
            try level.run(threads: threads) {
                eft_rms_norm($0, rows, columns, x, columns, weight, Self.eps, &y, columns, nil)
            }
            results.append(y)
        }
        #expect(sameBits(results[0], results[1]) && sameBits(results[0], results[2]))
        let row = Array(x[31 * columns..<32 * columns])
        var alone = [Float](repeating: 0, count: columns)
        try level.run {
            eft_rms_norm($0, 1, columns, row, columns, weight, Self.eps, &alone, columns, nil)
        }
        #expect(sameBits(alone, Array(results[0][31 * columns..<32 * columns])))
    }
}
