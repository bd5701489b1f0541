// SPDX-License-Identifier: Apache-2.0
// The clamped units of gpt-oss against f64, at all levels, in rows that hold both factors.
import CEftKernels
import Testing

#if canImport(Glibc)
    import Glibc
#endif

struct ClampedUnitTests {
    private static func share(_ g: Double) -> Double { 1 / (1 + exp(-1.702 * g)) }

    private static func value(_ g: Double, _ u: Double) -> Double {
        let g = min(g, 7)
        return (min(max(u, -7), 7) + 1) * g * share(g)
    }

    private static func slopes(_ g: Double, _ u: Double) -> (gate: Double, up: Double) {
        let (s, low) = (share(g), min(g, 7))
        let gate = g > 7 ? 0 : (min(max(u, -7), 7) + 1) * s * (1 + 1.702 * g * (1 - s))
        return (gate, abs(u) > 7 ? 0 : low * share(low))
    }

    @Test(arguments: KernelLevel.all)
    func `values and gradients equal the formula`(level: KernelLevel) throws {
        for columns in oddSizes {
            var noise = Noise(columns + 3)
            let (rows, width) = (3, 2 * columns)
            var both = noise.numbers(rows * width, scale: 10)
            // On the limits themselves a gradient passes.
            both[0] = 7
            both[columns] = -7
            let dy = noise.numbers(rows * columns)
            let source = both
            var y = dy
            try level.run(threads: 2) { context in
                both.withUnsafeMutableBufferPointer { both in
                    guard let gate = both.baseAddress else { return }
                    let up = gate + columns
                    eft_activate(
                        context, EFT_CLAMPED, rows, columns, gate, width, up, width, &y, columns)
                    eft_activate_backward(
                        context, EFT_CLAMPED, rows, columns, gate, width, up, width, dy, columns,
                        gate, width, up, width)
                }
            }
            for row in 0..<rows {
                func pair(_ column: Int) -> (Double, Double) {
                    let place = row * width + column
                    return (Double(source[place]), Double(source[place + columns]))
                }
                let values = (0..<columns).map { Self.value(pair($0).0, pair($0).1) }
                let slopes = (0..<columns).map { column in
                    let both = Self.slopes(pair(column).0, pair(column).1)
                    let d = Double(dy[row * columns + column])
                    return (gate: both.gate * d, up: both.up * d)
                }
                let found = Array(both[row * width..<(row + 1) * width])
                #expect(
                    distance(
                        Array(y[row * columns..<(row + 1) * columns]), values, floor: 1e-2) < 2e-6)
                #expect(
                    distance(Array(found[..<columns]), slopes.map(\.gate), floor: 1e-1) < 4e-6)
                #expect(distance(Array(found[columns...]), slopes.map(\.up), floor: 1e-1) < 4e-6)
            }
        }
    }

    @Test(arguments: KernelLevel.all)
    func `NaN stays NaN, extremes stay finite`(level: KernelLevel) throws {
        let gate: [Float] = [.nan, 1, -1e30, 1e30, .nan]
        let up: [Float] = [1, .nan, 1e30, -1e30, .nan]
        var y = gate
        try level.run {
            eft_activate($0, EFT_CLAMPED, 1, 5, gate, 5, up, 5, &y, 5)
        }
        #expect(y[0].isNaN && y[1].isNaN && y[4].isNaN)
        #expect(y[2] == 0 && abs(y[3] + 42) < 1e-3)
    }
}
