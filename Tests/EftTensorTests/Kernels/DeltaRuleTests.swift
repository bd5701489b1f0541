// SPDX-License-Identifier: Apache-2.0
// Linear attention against its definition in f64, and its gradients against differences.
import CEftKernels
import Testing

#if canImport(Glibc)
    import Glibc
#endif

/// Numbers at one address.
private final class Numbers {
    let pointer: UnsafeMutablePointer<Float>
    let count: Int

    init(_ values: [Float]) {
        count = values.count
        pointer = .allocate(capacity: max(count, 1))
        pointer.initialize(from: values, count: count)
    }

    convenience init(_ count: Int) { self.init([Float](repeating: .nan, count: count)) }

    deinit { pointer.deallocate() }

    var reading: UnsafePointer<Float> { UnsafePointer(pointer) }
    var array: [Float] { Array(UnsafeBufferPointer(start: pointer, count: count)) }
}

struct DeltaRuleTests {
    /// Heads, widths and rows: odd ones, more than a block of columns, more than a chunk of rows.
    static let shapes: [[Int]] = [
        [1, 1, 1, 1, 1], [1, 2, 5, 34, 3], [2, 4, 6, 7, 70], [2, 2, 16, 64, 130],
    ]

    private struct World {
        let delta: eft_delta
        let rows: Int
        var q, k, v, decay, strength: [Float]

        init(_ shape: [Int], seed: Int = 3, adds: Bool) {
            delta = eft_delta(
                key_heads: shape[0], value_heads: shape[1], key_dim: shape[2], value_dim: shape[3],
                adds: adds)
            rows = shape[4]
            var noise = Noise(seed)
            let keys = rows * shape[0] * shape[2]
            (q, k) = (noise.numbers(keys), noise.numbers(keys, scale: 0.5))
            v = noise.numbers(rows * shape[1] * shape[3])
            decay = noise.numbers(rows * shape[1]).map { 0.9 + 0.09 * $0 }
            strength = noise.numbers(rows * shape[1]).map { 0.5 + 0.4 * $0 }
        }

        var stateFloats: Int { withUnsafePointer(to: delta, eft_delta_state_floats) }

        private func run(
            _ range: Range<Int>, out: Numbers?, state: Numbers, _ inputs: [Numbers]
        ) -> eft_delta_run {
            let (keys, heads) = (
                range.lowerBound * delta.key_heads * delta.key_dim,
                range.lowerBound * delta.value_heads
            )
            return eft_delta_run(
                rows: range.count, q: inputs[0].reading + keys, k: inputs[1].reading + keys,
                v: inputs[2].reading + heads * delta.value_dim, decay: inputs[3].reading + heads,
                strength: inputs[4].reading + heads, out: out?.pointer, state: state.pointer,
                fresh: range.lowerBound == 0)
        }

        private var inputs: [Numbers] { [q, k, v, decay, strength].map { Numbers($0) } }

        /// Rows `range` of the rule, whose states go on in `state`.
        func forward(
            _ level: KernelLevel, threads: Int = 1, _ range: Range<Int>, state: Numbers
        ) throws -> [Float] {
            let out = Numbers(range.count * delta.value_heads * delta.value_dim)
            let inputs = inputs
            var (delta, run) = (delta, run(range, out: out, state: state, inputs))
            try level.run(threads: threads) { eft_delta_forward($0, &delta, &run) }
            return withExtendedLifetime(inputs) { out.array }
        }

        /// The gradients of q, k, v, decay and strength.
        func backward(_ level: KernelLevel, dout: [Float]) throws -> [[Float]] {
            let (inputs, state) = (inputs, Numbers(stateFloats))
            let gradients = inputs.map { Numbers($0.count) }
            let scratch = Numbers(
                withUnsafePointer(to: delta) { eft_delta_scratch_floats($0, rows) })
            let pull = Numbers(dout)
            var (delta, run) = (delta, run(0..<rows, out: nil, state: state, inputs))
            var to = eft_delta_gradients(
                dout: pull.reading, dq: gradients[0].pointer, dk: gradients[1].pointer,
                dv: gradients[2].pointer, ddecay: gradients[3].pointer,
                dstrength: gradients[4].pointer, scratch: scratch.pointer)
            try level.run(threads: 2) { eft_delta_backward($0, &delta, &run, &to) }
            return withExtendedLifetime((inputs, pull, scratch)) { gradients.map(\.array) }
        }

        /// The definition, in f64.
        func wanted(
            _ q: [Double], _ k: [Double], _ v: [Double], _ decay: [Double], _ strength: [Double]
        ) -> [Double] {
            let (dk, dv, heads) = (delta.key_dim, delta.value_dim, delta.value_heads)
            var out = [Double](repeating: 0, count: rows * heads * dv)
            for head in 0..<heads {
                let keyHead = head / (heads / delta.key_heads)
                var state = [[Double]](repeating: [Double](repeating: 0, count: dv), count: dk)
                for t in 0..<rows {
                    let (keys, place) = ((t * delta.key_heads + keyHead) * dk, t * heads + head)
                    for c in 0..<dv {
                        var memory = 0.0
                        for i in 0..<dk {
                            state[i][c] *= decay[place]
                            memory += state[i][c] * k[keys + i]
                        }
                        let taken = delta.adds ? 0 : memory
                        let more = (v[place * dv + c] - taken) * strength[place]
                        var sum = 0.0
                        for i in 0..<dk {
                            state[i][c] += k[keys + i] * more
                            sum += state[i][c] * q[keys + i]
                        }
                        out[place * dv + c] = sum
                    }
                }
            }
            return out
        }
    }

    @Test(arguments: KernelLevel.all, shapes)
    func `rows equal the definition`(_ level: KernelLevel, _ shape: [Int]) throws {
        for adds in [false, true] {
            let world = World(shape, adds: adds)
            let state = Numbers(world.stateFloats)
            let found = try world.forward(level, 0..<world.rows, state: state)
            let wanted = world.wanted(
                world.q.doubles, world.k.doubles, world.v.doubles, world.decay.doubles,
                world.strength.doubles)
            #expect(distance(found, wanted) < 1e-5)
        }
    }

    @Test(arguments: KernelLevel.all, shapes)
    func `neither parts nor threads nor the level change a bit`(
        _ level: KernelLevel, _ shape: [Int]
    ) throws {
        for adds in [false, true] {
            let world = World(shape, adds: adds)
            let (state, parted) = (Numbers(world.stateFloats), Numbers(world.stateFloats))
            let whole = try world.forward(.scalar, 0..<world.rows, state: state)
            var all: [Float] = []
            var first = 0
            for size in [1, 2, 64, 7, 1000] where first < world.rows {
                let range = first..<min(first + size, world.rows)
                all += try world.forward(level, threads: size % 3 + 1, range, state: parted)
                first = range.upperBound
            }
            #expect(sameBits(all, whole))
            #expect(sameBits(parted.array, state.array))
        }
    }

    @Test(arguments: KernelLevel.all, [[1, 2, 3, 34, 5], [2, 4, 4, 3, 67]])
    func `gradients equal differences`(_ level: KernelLevel, _ shape: [Int]) throws {
        for adds in [false, true] { try compareGradients(level, World(shape, adds: adds)) }
    }

    private func compareGradients(_ level: KernelLevel, _ world: World) throws {
        var noise = Noise(11)
        let pull = noise.numbers(world.v.count)
        let gradients = try world.backward(level, dout: pull)
        let inputs = [world.q, world.k, world.v, world.decay, world.strength].map(\.doubles)
        for place in 0..<5 {
            // Every seventh number, and the last ones.
            let chosen = inputs[place].indices.filter {
                $0 % 7 == 0 || $0 + 3 > inputs[place].count
            }
            for index in chosen {
                func moved(_ step: Double) -> Double {
                    var all = inputs
                    all[place][index] += step
                    return dot(world.wanted(all[0], all[1], all[2], all[3], all[4]), pull.doubles)
                }
                let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5
                #expect(distance([gradients[place][index]], [slope]) < 1e-4, "\(place) \(index)")
            }
        }
    }

    @Test(arguments: KernelLevel.all, [[1, 1, 1], [5, 3, 4], [40, 130, 4], [3, 70, 8]])
    func `a convolution sees the last rows, and its gradients equal differences`(
        _ level: KernelLevel, _ shape: [Int]
    ) throws {
        let (rows, columns, taps) = (shape[0], shape[1], shape[2])
        var noise = Noise(2)
        let x = noise.numbers(rows * columns), weight = noise.numbers(columns * taps)
        let pull = noise.numbers(rows * columns)
        func wanted(_ x: [Double], _ weight: [Double]) -> [Double] {
            (0..<rows * columns).map { place in
                let (t, c) = (place / columns, place % columns)
                return (0..<taps).reduce(0) { sum, j in
                    let row = t + j + 1 - taps
                    return row < 0 ? sum : sum + weight[c * taps + j] * x[row * columns + c]
                }
            }
        }
        let (source, kernel) = (Numbers(x), Numbers(weight))
        let (whole, single) = (Numbers(x.count), Numbers(x.count))
        let (slope, ofWeight) = (Numbers(pull), Numbers(weight.map { _ in 0 }))
        // Row by row, with the rows before each.
        let padded = Numbers([Float](repeating: 0, count: (taps - 1) * columns) + x)
        var convolution = eft_convolution(
            rows: rows, columns: columns, taps: taps, x: source.reading, ldx: columns, before: nil,
            ld_before: columns, weight: kernel.reading, y: whole.pointer, ldy: columns)
        try level.run(threads: 2) { context in
            eft_convolve(context, &convolution)
            eft_convolve_backward(context, &convolution, slope.pointer, ofWeight.pointer)
            for row in 0..<rows {
                convolution.rows = 1
                convolution.before = padded.reading + row * columns
                convolution.x = source.reading + row * columns
                convolution.y = single.pointer + row * columns
                eft_convolve(context, &convolution)
            }
        }
        let (y, dx, dweight) = (whole.array, slope.array, ofWeight.array)
        #expect(y == withExtendedLifetime((source, kernel, padded)) { single.array })
        #expect(distance(y, wanted(x.doubles, weight.doubles)) < 1e-6)
        for index in stride(from: 0, to: x.count, by: 5) {
            func moved(_ step: Double) -> Double {
                var moved = x.doubles
                moved[index] += step
                return dot(wanted(moved, weight.doubles), pull.doubles)
            }
            #expect(distance([dx[index]], [(moved(1e-4) - moved(-1e-4)) / 2e-4]) < 1e-4)
        }
        for index in stride(from: 0, to: weight.count, by: 3) {
            func moved(_ step: Double) -> Double {
                var moved = weight.doubles
                moved[index] += step
                return dot(wanted(x.doubles, moved), pull.doubles)
            }
            #expect(distance([dweight[index]], [(moved(1e-4) - moved(-1e-4)) / 2e-4]) < 1e-4)
        }
    }

    /// With a strength of its own, and with the step of a state space as the strength.
    @Test(arguments: KernelLevel.all, [true, false])
    func `gates equal their definition and have its gradients`(
        _ level: KernelLevel, _ isApart: Bool
    ) throws {
        var noise = Noise(4)
        let (rows, heads) = (7, 3)
        var a = noise.numbers(rows * heads, scale: 4)
        let b = noise.numbers(rows * heads, scale: 4)
        a[4] = 30
        let rate = noise.numbers(heads), bias = noise.numbers(heads)
        let first = noise.numbers(rows * heads), second = noise.numbers(rows * heads)
        func wanted(
            _ a: [Double], _ b: [Double], _ rate: [Double], _ bias: [Double]
        ) -> (decay: [Double], strength: [Double]) {
            let steps = a.indices.map { i in
                let x = a[i] + bias[i % heads]
                return x > 20 ? x : log(1 + exp(x))
            }
            return (
                steps.enumerated().map { exp(-exp(rate[$0 % heads]) * $1) },
                isApart ? b.map { 1 / (1 + exp(-$0)) } : steps
            )
        }
        let inputs = [a.doubles, b.doubles, rate.doubles, bias.doubles]
        let sources = [a, b].map { Numbers($0) }
        let constants = [rate, bias, first, second].map { Numbers($0) }
        let (decay, strength) = (Numbers(rows * heads), Numbers(rows * heads))
        let sums = [0, 1].map { _ in Numbers([Float](repeating: 0, count: heads)) }
        var gates = eft_delta_gates(
            rows: rows, heads: heads, a: sources[0].pointer, b: isApart ? sources[1].pointer : nil,
            rate: constants[0].reading, bias: constants[1].reading, decay: decay.pointer,
            strength: strength.pointer)
        try level.run { context in
            eft_delta_gate(context, &gates)
            eft_delta_gate_backward(
                context, &gates, constants[2].reading, constants[3].reading, sums[0].pointer,
                sums[1].pointer)
        }
        let values = wanted(inputs[0], inputs[1], inputs[2], inputs[3])
        #expect(distance(decay.array, values.decay) < 1e-6)
        #expect(distance(strength.array, values.strength) < 1e-6)
        for (place, gradient) in (sources + sums).map(\.array).enumerated()
        where isApart || place != 1 {
            for index in gradient.indices {
                func moved(_ step: Double) -> Double {
                    var all = inputs
                    all[place][index] += step
                    let (decay, strength) = wanted(all[0], all[1], all[2], all[3])
                    return dot(decay, first.doubles) + dot(strength, second.doubles)
                }
                let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5
                #expect(distance([gradient[index]], [slope]) < 1e-5, "\(place) \(index)")
            }
        }
    }
}
