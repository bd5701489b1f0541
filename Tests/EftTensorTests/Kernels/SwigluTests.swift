// SPDX-License-Identifier: Apache-2.0
// The gated unit against f64, and with it the kernels' own exponential.
import CEftKernels
import Testing

#if canImport(Glibc)
    import Glibc
#endif

struct SwigluTests {
    private static func silu(_ g: Double) -> Double { g / (1 + exp(-g)) }

    @Test(arguments: KernelLevel.all, oddSizes)
    func `equals silu of the gate times the other`(level: KernelLevel, columns: Int) throws {
        var noise = Noise(columns)
        let rows = 2, ldg = columns + 1, ldu = columns + 2, ldy = columns + 3
        let gate = noise.numbers(rows * ldg, scale: 12), up = noise.numbers(rows * ldu)
        var y = [Float](repeating: 5, count: rows * ldy)
        try level.run { eft_swiglu($0, rows, columns, gate, ldg, up, ldu, &y, ldy) }
        for t in 0..<rows {
            let wanted = (0..<columns).map {
                Self.silu(Double(gate[t * ldg + $0])) * Double(up[t * ldu + $0])
            }
            #expect(distance(Array(y[t * ldy..<t * ldy + columns]), wanted, floor: 1e-30) < 1e-6)
            #expect(y[t * ldy + columns..<(t + 1) * ldy].allSatisfy { $0 == 5 })
        }
    }

    /// For large negative g the result is g exp(g), so it shows the exponential's own error.
    @Test(arguments: KernelLevel.all)
    func `the exponential is right to some units in the last place`(level: KernelLevel) throws {
        let gate = (0..<60_000).map { -17 - Float($0) * (69.0 / 60_000) }
        let ones = [Float](repeating: 1, count: gate.count)
        var y = ones
        try level.run(threads: 2) {
            eft_swiglu($0, 1, gate.count, gate, gate.count, ones, gate.count, &y, gate.count)
        }
        #expect(distance(y, gate.map { Self.silu(Double($0)) }, floor: 0) < 4e-7)
    }

    @Test(arguments: KernelLevel.all)
    func `extremes stay finite, NaN stays NaN`(level: KernelLevel) throws {
        let gate: [Float] = [-1e30, -200, -88, 0, 88, 200, 1e30, .nan, -0.0]
        let ones = [Float](repeating: 1, count: gate.count)
        var y = gate, dgate = gate, dup = ones
        try level.run { context in
            // In place: y over the gate, the gradients over gate and up.
            y.withUnsafeMutableBufferPointer {
                eft_swiglu(context, 1, gate.count, $0.baseAddress, 9, ones, 9, $0.baseAddress, 9)
            }
            dgate.withUnsafeMutableBufferPointer { dgate in
                dup.withUnsafeMutableBufferPointer { dup in
                    eft_swiglu_backward(
                        context, 1, 9, dgate.baseAddress, 9, dup.baseAddress, 9, ones, 9,
                        dgate.baseAddress, 9, dup.baseAddress, 9)
                }
            }
        }
        let slope: [Double] = [0, 0, 0, 0.5, 1, 1, 1, .nan, 0.5]
        let value: [Double] = [0, 0, 0, 0, 88, 200, 1e30, .nan, 0]
        #expect(distance(y, value) < 1e-6)
        #expect(distance(dup, value) < 1e-6)
        #expect(distance(dgate, slope) < 1e-6)
    }

    @Test(arguments: KernelLevel.all, [1, 16, 33, 100])
    func `gradients equal differences`(level: KernelLevel, columns: Int) throws {
        var noise = Noise(columns + 7)
        let gate = noise.numbers(columns, scale: 6), up = noise.numbers(columns),
            dy = noise.numbers(columns)
        var dgate = gate, dup = up
        try level.run {
            eft_swiglu_backward(
                $0, 1, columns, gate, columns, up, columns, dy, columns, &dgate, columns, &dup,
                columns)
        }
        func loss(_ g: [Double], _ u: [Double]) -> Double {
            (0..<columns).reduce(0) { $0 + Self.silu(g[$1]) * u[$1] * Double(dy[$1]) }
        }
        #expect(distance(dgate, slopes(at: gate.doubles) { loss($0, up.doubles) }) < 1e-6)
        #expect(distance(dup, slopes(at: up.doubles) { loss(gate.doubles, $0) }) < 1e-6)
    }

    @Test(arguments: KernelLevel.all)
    func `neither threads nor rows change a bit`(level: KernelLevel) throws {
        var noise = Noise(4)
        let rows = 4, columns = 9001
        let gate = noise.numbers(rows * columns, scale: 5), up = noise.numbers(rows * columns)
        var results: [[Float]] = []
        for threads in 1...3 {
            var y = gate
            try level.run(threads: threads) {
                eft_swiglu($0, rows, columns, gate, columns, up, columns, &y, columns)
            }
            results.append(y)
        }
        #expect(sameBits(results[0], results[1]) && sameBits(results[0], results[2]))
        var alone = [Float](repeating: 0, count: columns)
        let range = 2 * columns..<3 * columns
        try level.run {
            eft_swiglu(
                $0, 1, columns, Array(gate[range]), columns, Array(up[range]), columns, &alone,
                columns)
        }
        #expect(sameBits(alone, Array(results[0][range])))
    }
}
