// SPDX-License-Identifier: Apache-2.0
// The units of an MLP against f64, and with them the kernels' own exponential and error function.
import CEftKernels
import Testing

#if canImport(Glibc)
    import Glibc
#endif

/// An activation and its formula.
struct Unit: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let kind: eft_activation
    let value: @Sendable (Double) -> Double

    static let silu = Unit(testDescription: "silu", kind: EFT_SILU) { $0 / (1 + exp(-$0)) }
    static let all = [
        silu,
        Unit(testDescription: "gelu", kind: EFT_GELU) { $0 * 0.5 * erfc(-$0 / 2.0.squareRoot()) },
        Unit(testDescription: "gelu by tanh", kind: EFT_GELU_TANH) {
            $0 / (1 + exp(-2 * (2 / Double.pi).squareRoot() * ($0 + 0.044715 * $0 * $0 * $0)))
        },
        Unit(testDescription: "relu", kind: EFT_RELU) { max($0, 0) },
        Unit(testDescription: "relu squared", kind: EFT_RELU2) { max($0, 0) * max($0, 0) },
    ]
}

struct ActivationTests {
    @Test(arguments: KernelLevel.all, Unit.all)
    func `equals the formula of the gate times the other`(level: KernelLevel, unit: Unit) throws {
        for columns in oddSizes {
            var noise = Noise(columns)
            let rows = 2, ldg = columns + 1, ldu = columns + 2, ldy = columns + 3
            let gate = noise.numbers(rows * ldg, scale: 12), up = noise.numbers(rows * ldu)
            var y = [Float](repeating: 5, count: rows * ldy), alone = y
            try level.run {
                eft_activate($0, unit.kind, rows, columns, gate, ldg, up, ldu, &y, ldy)
                eft_activate($0, unit.kind, rows, columns, gate, ldg, nil, 0, &alone, ldy)
            }
            for t in 0..<rows {
                let values = (0..<columns).map { unit.value(Double(gate[t * ldg + $0])) }
                let wanted = (0..<columns).map { values[$0] * Double(up[t * ldu + $0]) }
                let found = Array(y[t * ldy..<t * ldy + columns])
                #expect(distance(found, wanted, floor: 1e-2) < 1e-6)
                let single = Array(alone[t * ldy..<t * ldy + columns])
                #expect(distance(single, values, floor: 1e-2) < 1e-6)
                for y in [y, alone] {
                    #expect(y[t * ldy + columns..<(t + 1) * ldy].allSatisfy { $0 == 5 })
                }
            }
        }
    }

    /// For large negative g the result is g exp(g), so it shows the exponential's own error.
    @Test(arguments: KernelLevel.all)
    func `the exponential is right to some units in the last place`(level: KernelLevel) throws {
        let gate = (0..<60_000).map { -17 - Float($0) * (69.0 / 60_000) }
        let ones = [Float](repeating: 1, count: gate.count)
        var y = ones
        try level.run(threads: 2) {
            eft_activate(
                $0, EFT_SILU, 1, gate.count, gate, gate.count, ones, gate.count, &y, gate.count)
        }
        #expect(distance(y, gate.map { Unit.silu.value(Double($0)) }, floor: 0) < 4e-7)
    }

    /// The share of a normal distribution far below zero, which a difference from one would lose.
    @Test(arguments: KernelLevel.all)
    func `the error function keeps its digits in the tail`(level: KernelLevel) throws {
        let gate = (0..<4_000).map { -Float($0) * (5.0 / 4_000) }
        var y = gate
        try level.run {
            eft_activate($0, EFT_GELU, 1, gate.count, gate, gate.count, nil, 0, &y, gate.count)
        }
        #expect(distance(y, gate.map { Unit.all[1].value(Double($0)) }, floor: 0) < 4e-6)
    }

    @Test(arguments: KernelLevel.all, Unit.all)
    func `extremes stay finite, NaN stays NaN`(level: KernelLevel, unit: Unit) throws {
        let gate: [Float] = [-1e30, -200, -88, 0, 88, 200, 1e18, .nan, -0.0]
        let ones = [Float](repeating: 1, count: gate.count)
        var y = gate, dgate = gate, dup = ones
        try level.run { context in
            // In place: y over the gate, the gradients over gate and up.
            y.withUnsafeMutableBufferPointer {
                eft_activate(
                    context, unit.kind, 1, gate.count, $0.baseAddress, 9, ones, 9, $0.baseAddress, 9
                )
            }
            dgate.withUnsafeMutableBufferPointer { dgate in
                dup.withUnsafeMutableBufferPointer { dup in
                    eft_activate_backward(
                        context, unit.kind, 1, 9, dgate.baseAddress, 9, dup.baseAddress, 9, ones, 9,
                        dgate.baseAddress, 9, dup.baseAddress, 9)
                }
            }
        }
        let isSquare = unit.kind == EFT_RELU2
        let half: Double = [EFT_RELU, EFT_RELU2].contains(unit.kind) ? 0 : 0.5
        let slope: [Double] = gate.doubles.map {
            $0.isNaN ? .nan : $0 == 0 ? half : $0 < 0 ? 0 : isSquare ? 2 * $0 : 1
        }
        let value: [Double] = gate.doubles.map { isSquare ? max($0, 0) * $0 : max($0, 0) }
        let kept = gate.indices.filter { !gate[$0].isNaN }
        for (found, wanted) in [(y, value), (dup, value), (dgate, slope)] {
            #expect(distance(kept.map { found[$0] }, kept.map { wanted[$0] }) < 1e-6)
            #expect(found[7].isNaN)
        }
    }

    @Test(arguments: KernelLevel.all, Unit.all)
    func `gradients equal differences`(level: KernelLevel, unit: Unit) throws {
        for columns in [1, 16, 33, 100] {
            var noise = Noise(columns + 7)
            let gate = noise.numbers(columns, scale: 6), up = noise.numbers(columns),
                dy = noise.numbers(columns)
            var dgate = gate, dup = up, alone = gate
            try level.run {
                eft_activate_backward(
                    $0, unit.kind, 1, columns, gate, columns, up, columns, dy, columns, &dgate,
                    columns, &dup, columns)
                eft_activate_backward(
                    $0, unit.kind, 1, columns, gate, columns, nil, 0, dy, columns, &alone, columns,
                    nil, 0)
            }
            func loss(_ g: [Double], _ u: [Double]) -> Double {
                (0..<columns).reduce(0) { $0 + unit.value(g[$1]) * u[$1] * Double(dy[$1]) }
            }
            #expect(
                distance(dgate, slopes(at: gate.doubles) { loss($0, up.doubles) }, floor: 1e-2)
                    < 1e-5)
            #expect(
                distance(dup, slopes(at: up.doubles) { loss(gate.doubles, $0) }, floor: 1e-2)
                    < 1e-5)
            let ones = [Double](repeating: 1, count: columns)
            #expect(
                distance(alone, slopes(at: gate.doubles) { loss($0, ones) }, floor: 1e-2) < 1e-5)
        }
    }

    @Test(arguments: KernelLevel.all, Unit.all)
    func `neither threads nor rows change a bit`(level: KernelLevel, unit: Unit) throws {
        var noise = Noise(4)
        let rows = 4, columns = 9001
        let gate = noise.numbers(rows * columns, scale: 5), up = noise.numbers(rows * columns)
        var results: [[Float]] = []
        for threads in 1...3 {
            var y = gate
            try level.run(threads: threads) {
                eft_activate($0, unit.kind, rows, columns, gate, columns, up, columns, &y, columns)
            }
            results.append(y)
        }
        #expect(sameBits(results[0], results[1]) && sameBits(results[0], results[2]))
        var alone = [Float](repeating: 0, count: columns)
        let range = 2 * columns..<3 * columns
        try level.run {
            eft_activate(
                $0, unit.kind, 1, columns, Array(gate[range]), columns, Array(up[range]), columns,
                &alone, columns)
        }
        #expect(sameBits(alone, Array(results[0][range])))
    }
}
