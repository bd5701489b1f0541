// SPDX-License-Identifier: Apache-2.0
// Layer norm against sums in f64, and its gradients against differences.
import CEftKernels
import Testing

struct LayerNormTests {
    private static let eps: Float = 1e-5

    private static func wanted(_ x: [Double], _ weight: [Double], _ bias: [Double]) -> [Double] {
        let mean = x.reduce(0, +) / Double(x.count)
        let variance = x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(x.count)
        return x.indices.map {
            (x[$0] - mean) / (variance + Double(eps)).squareRoot() * weight[$0] + bias[$0]
        }
    }

    @Test(arguments: KernelLevel.all, oddSizes)
    func `rows have mean zero and variance one, times the weight`(
        level: KernelLevel, columns: Int
    ) throws {
        var noise = Noise(columns)
        let rows = 3, ldx = columns + 5, ldy = columns + 2
        let x = noise.numbers(rows * ldx, scale: 3).map { $0 + 2 }
        let weight = noise.numbers(columns), bias = noise.numbers(columns)
        for hasBias in [true, false] {
            var y = [Float](repeating: 9, count: rows * ldy)
            try level.run { context in
                bias.withUnsafeBufferPointer { bias in
                    eft_layer_norm(
                        context, rows, columns, x, ldx, weight, hasBias ? bias.baseAddress : nil,
                        Self.eps, &y, ldy)
                }
            }
            let added = hasBias ? bias.doubles : [Double](repeating: 0, count: columns)
            for t in 0..<rows {
                let row = Array(x[t * ldx..<t * ldx + columns]).doubles
                let found = Array(y[t * ldy..<t * ldy + columns])
                #expect(distance(found, Self.wanted(row, weight.doubles, added)) < 3e-6)
                #expect(y[t * ldy + columns..<(t + 1) * ldy].allSatisfy { $0 == 9 })
            }
        }
    }

    @Test(arguments: KernelLevel.all)
    func `works in place, on huge numbers, and keeps NaN`(level: KernelLevel) throws {
        var noise = Noise(1)
        let weight = noise.numbers(100), x = noise.numbers(100, scale: 1e18)
        var y = x
        try level.run { context in
            y.withUnsafeMutableBufferPointer {
                eft_layer_norm(
                    context, 1, 100, $0.baseAddress, 100, weight, nil, Self.eps, $0.baseAddress, 100
                )
            }
        }
        let zeros = [Double](repeating: 0, count: 100)
        #expect(distance(y, Self.wanted(x.doubles, weight.doubles, zeros)) < 3e-6)
        let bad: [Float] = [1, .nan, 2]
        var out = bad
        try level.run { eft_layer_norm($0, 1, 3, bad, 3, weight, nil, Self.eps, &out, 3) }
        #expect(out.allSatisfy { $0.isNaN })
    }

    @Test(arguments: KernelLevel.all, [2, 17, 64, 100])
    func `gradients equal differences`(level: KernelLevel, columns: Int) throws {
        var noise = Noise(columns + 1)
        let rows = 2, ld = columns + 3
        let x = noise.numbers(rows * ld), weight = noise.numbers(columns)
        let dy = noise.numbers(rows * ld), before = noise.numbers(rows * ld)
        let weightBefore = noise.numbers(columns), biasBefore = noise.numbers(columns)
        var dx = before, dweight = weightBefore, dbias = biasBefore
        try level.run {
            eft_layer_norm_backward(
                $0, rows, columns, x, ld, weight, Self.eps, dy, ld, &dx, ld, true, &dweight, &dbias)
        }
        let zeros = [Double](repeating: 0, count: columns)
        var (wantedWeight, wantedBias) = (weightBefore.doubles, biasBefore.doubles)
        for t in 0..<rows {
            let range = t * ld..<t * ld + columns
            let row = Array(x[range]).doubles, pull = Array(dy[range]).doubles
            let slope = slopes(at: row) { dot(Self.wanted($0, weight.doubles, zeros), pull) }
            let wanted = zip(slope, before[range]).map { $0 + Double($1) }
            #expect(distance(Array(dx[range]), wanted) < 1e-5)
            let ofWeight = slopes(at: weight.doubles) { dot(Self.wanted(row, $0, zeros), pull) }
            for c in 0..<columns {
                wantedWeight[c] += ofWeight[c]
                wantedBias[c] += pull[c]
            }
        }
        #expect(distance(dweight, wantedWeight) < 1e-5)
        #expect(distance(dbias, wantedBias) < 1e-6)
    }

    @Test(arguments: KernelLevel.all)
    func `neither threads nor rows change a bit, nor does writing over dy`(
        level: KernelLevel
    ) throws {
        var noise = Noise(8)
        let rows = 300, columns = 203
        let x = noise.numbers(rows * columns), weight = noise.numbers(columns)
        let dy = noise.numbers(rows * columns)
        var results: [[Float]] = []
        for threads in 1...3 {
            var y = [Float](repeating: 0, count: x.count), dx = dy
            var dweight = [Float](repeating: 0, count: columns), dbias = dweight
            try level.run(threads: threads) { context in
                eft_layer_norm(
                    context, rows, columns, x, columns, weight, nil, Self.eps, &y, columns)
                dx.withUnsafeMutableBufferPointer {
                    eft_layer_norm_backward(
                        context, rows, columns, x, columns, weight, Self.eps, $0.baseAddress,
                        columns, $0.baseAddress, columns, false, &dweight, &dbias)
                }
            }
            results.append(y + dx + dweight + dbias)
        }
        #expect(sameBits(results[0], results[1]) && sameBits(results[0], results[2]))
        var apart = [Float](repeating: 0, count: x.count)
        try level.run {
            eft_layer_norm_backward(
                $0, rows, columns, x, columns, weight, Self.eps, dy, columns, &apart, columns,
                false, nil, nil)
        }
        #expect(sameBits(apart, Array(results[0][x.count..<2 * x.count])))
        let row = Array(x[31 * columns..<32 * columns])
        var alone = [Float](repeating: 0, count: columns)
        try level.run {
            eft_layer_norm($0, 1, columns, row, columns, weight, nil, Self.eps, &alone, columns)
        }
        #expect(sameBits(alone, Array(results[0][31 * columns..<32 * columns])))
    }
}
