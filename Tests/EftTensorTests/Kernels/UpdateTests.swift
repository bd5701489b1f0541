// SPDX-License-Identifier: Apache-2.0
// Steps of optimizers: AdamW against the published update in f64, all rules at every level against the scalar ones.
import CEftKernels
import Testing

#if canImport(Glibc)
    import Glibc
#endif

struct UpdateTests {
    private func adamW(rate: Double, decay: Double, c1: Double, c2: Double) -> eft_update {
        var update = eft_update()
        update.rule = EFT_UPDATE_ADAMW
        (update.gradient_scale, update.keep) = (1, Float(1 - rate * decay))
        (update.rate, update.epsilon) = (Float(rate / c1), 1e-8)
        (update.rest1, update.beta2, update.rest2) = (0.1, 0.999, 0.001)
        update.correction2 = Float(c2.squareRoot())
        return update
    }

    private static func step(
        _ context: OpaquePointer, _ update: eft_update, _ p: inout [Float], _ g: [Float],
        _ m: inout [Float], _ v: inout [Float]
    ) {
        var (update, g) = (update, g)
        m.withUnsafeMutableBufferPointer { m in
            v.withUnsafeMutableBufferPointer { v in
                var states = [eft_update_state](repeating: eft_update_state(), count: 3)
                states[0].values = m.baseAddress
                states[1].values = v.baseAddress
                eft_update_step(context, &update, p.count, &p, &g, states)
            }
        }
    }

    @Test(arguments: KernelLevel.all, [1, 15, 16, 17, 33, 20_000])
    func `ten steps follow the published update`(level: KernelLevel, count: Int) throws {
        var noise = Noise(count)
        let start = noise.numbers(count),
            gradients = (0..<10).map { _ in noise.numbers(count, scale: 0.1) }
        var p = start, m = [Float](repeating: 0, count: count), v = m
        var scalar = (p: p, m: m, v: v)
        var wanted = start.doubles, m64 = m.doubles, v64 = m64
        for step in 1...10 {
            let g = gradients[step - 1]
            let c1 = 1 - pow(0.9, Double(step)), c2 = 1 - pow(0.999, Double(step))
            var update = adamW(rate: 1e-2, decay: 0.1, c1: c1, c2: c2)
            update.gradient_scale = 0.5
            try level.run(threads: 2) { Self.step($0, update, &p, g, &m, &v) }
            try KernelLevel.scalar.run {
                Self.step($0, update, &scalar.p, g, &scalar.m, &scalar.v)
            }
            for i in 0..<count {
                let gradient = Double(g[i]) * 0.5
                m64[i] = 0.9 * m64[i] + 0.1 * gradient
                v64[i] = 0.999 * v64[i] + 0.001 * gradient * gradient
                wanted[i] *= 1 - 1e-2 * 0.1
                wanted[i] -= 1e-2 / c1 * m64[i] / ((v64[i] / c2).squareRoot() + 1e-8)
            }
        }
        #expect(distance(p, wanted) < 3e-6)
        #expect(sameBits(p, scalar.p) && sameBits(m, scalar.m) && sameBits(v, scalar.v))
    }

    @Test(arguments: KernelLevel.all)
    func `no gradient moves nothing but the decay`(level: KernelLevel) throws {
        let start = (0..<40).map { Float($0) - 20 }
        var p = start, m = [Float](repeating: 0, count: 40), v = m
        let zeros = m
        let update = adamW(rate: 0.5, decay: 0.5, c1: 0.1, c2: 0.001)
        try level.run { Self.step($0, update, &p, zeros, &m, &v) }
        #expect(p == start.map { $0 * 0.75 } && m == zeros && v == zeros)
    }

    // MARK: All rules

    /// Three states of a run, in f32 or in codes.
    private struct States {
        var values: [[Float]]
        var codes: [[UInt8]]
        var scales: [[Float]]
        let areCoded: Bool

        init(count: Int, areCoded: Bool) {
            values = Array(repeating: Array(repeating: 0, count: count), count: 3)
            codes = Array(repeating: Array(repeating: 0, count: count), count: 3)
            scales = Array(repeating: Array(repeating: 0, count: (count + 255) / 256), count: 3)
            self.areCoded = areCoded
        }

        /// Makes a step; the last state is one that may not be below zero.
        mutating func step(
            _ context: OpaquePointer, _ update: eft_update, _ p: inout [Float], _ g: inout [Float],
            maps: Maps
        ) {
            var update = update
            let coded = areCoded
            values.withUnsafeMutableRows { values in
                codes.withUnsafeMutableRows { codes in
                    scales.withUnsafeMutableRows { scales in
                        let states = (0..<3).map { index in
                            var state = eft_update_state()
                            if coded {
                                state.codes = codes[index]
                                state.absmax = scales[index]
                                state.map = UnsafePointer(index == 2 ? maps.unsigned : maps.signed)
                            } else {
                                state.values = values[index]
                            }
                            return state
                        }
                        eft_update_step(context, &update, p.count, &p, &g, states)
                    }
                }
            }
        }
    }

    /// Maps for as long as they are used.
    private final class Maps {
        let signed = UnsafeMutablePointer<eft_code_map>.allocate(capacity: 1)
        let unsigned = UnsafeMutablePointer<eft_code_map>.allocate(capacity: 1)

        init() {
            eft_code_map_fill(signed, true)
            eft_code_map_fill(unsigned, false)
        }

        deinit {
            signed.deallocate()
            unsigned.deallocate()
        }
    }

    /// A rule that only keeps the gradient, so that what is kept shows how numbers are coded.
    @Test(arguments: [true, false])
    func `codes are those of a search through the whole map`(isSigned: Bool) throws {
        let maps = Maps()
        var map = [Float](repeating: 0, count: 256)
        eft_dynamic_map(isSigned, &map)
        var noise = Noise(3)
        // Of all magnitudes, with the middles of neighbours and their next numbers among them.
        var numbers = noise.numbers(4096).enumerated().map { $1 * pow(0.5, Float($0 % 30)) }
        for index in 0..<255 {
            let middle = (map[index] + map[index + 1]) / 2
            numbers += [middle, middle.nextUp, middle.nextDown]
        }
        if !isSigned { numbers = numbers.map(abs) }
        // A one in each block, so that the largest magnitude changes no number.
        var blocks: [Float] = []
        for first in stride(from: 0, to: numbers.count, by: 255) {
            blocks +=
                [1] + numbers[first..<min(first + 255, numbers.count)].map { min(max($0, -1), 1) }
        }
        var update = eft_update()
        update.rule = EFT_UPDATE_SGD
        (update.gradient_scale, update.rate, update.rest1, update.first) = (1, 0, 1, true)
        var (p, codes) = (blocks, [UInt8](repeating: 0, count: blocks.count))
        var scales = [Float](repeating: 0, count: (blocks.count + 255) / 256)
        var gradient = blocks
        try KernelLevel.scalar.run { context in
            codes.withUnsafeMutableBufferPointer { codes in
                scales.withUnsafeMutableBufferPointer { scales in
                    var states = [eft_update_state](repeating: eft_update_state(), count: 3)
                    states[0].codes = codes.baseAddress
                    states[0].absmax = scales.baseAddress
                    states[0].map = UnsafePointer(isSigned ? maps.signed : maps.unsigned)
                    eft_update_step(context, &update, blocks.count, &p, &gradient, states)
                }
            }
        }
        #expect(scales.allSatisfy { $0 == 1 })
        for (number, code) in zip(blocks, codes) {
            let below = (0..<255).filter { number > (map[$0] + map[$0 + 1]) / 2 }.count
            #expect(Int(code) == below, "\(number)")
        }
    }

    private func update(_ rule: UInt32, isFirst: Bool) -> eft_update {
        var update = eft_update()
        update.rule = eft_update_rule(rule)
        (update.gradient_scale, update.keep, update.decay) = (0.7, 0.99, 0.02)
        (update.rate, update.epsilon) = (0.01, 1e-3)
        (update.beta1, update.rest1) = (0.9, 0.1)
        (update.beta2, update.rest2) = (0.99, 0.01)
        (update.beta3, update.rest3) = (0.999, 0.001)
        (update.correction1, update.correction2) = (0.3, 0.2)
        (update.alpha, update.mix) = (0.5, 0.25)
        (update.first, update.nesterov) = (isFirst, rule % 2 == 0)
        return update
    }

    @Test(arguments: KernelLevel.all, 0..<EFT_UPDATE_RULES.rawValue)
    func `every rule gives the scalar bits, in codes and not`(
        level: KernelLevel, rule: UInt32
    ) throws {
        let maps = Maps()
        for (count, coded) in [
            (1, false), (257, false), (20_000, false), (257, true), (20_000, true),
        ] {
            var noise = Noise(count)
            let start = noise.numbers(count)
            var runs = [level, .scalar].map { _ in
                (p: start, g: [Float](), states: States(count: count, areCoded: coded))
            }
            for step in 0..<3 {
                let gradient = noise.numbers(count, scale: 0.1)
                for (index, level) in [level, .scalar].enumerated() {
                    var run = runs[index]
                    run.g = gradient
                    try level.run(threads: 2) {
                        run.states.step(
                            $0, update(rule, isFirst: step == 0), &run.p, &run.g, maps: maps)
                    }
                    runs[index] = run
                }
            }
            #expect(sameBits(runs[0].p, runs[1].p) && sameBits(runs[0].g, runs[1].g))
            #expect(runs[0].states.codes == runs[1].states.codes)
            for (a, b) in zip(runs[0].states.scales, runs[1].states.scales) {
                #expect(sameBits(a, b))
            }
            for (a, b) in zip(runs[0].states.values, runs[1].states.values) {
                #expect(sameBits(a, b))
            }
            // Something has changed: the numbers, or the gradient of a rule that leaves them.
            #expect(runs[0].p != start || rule == EFT_UPDATE_NESTEROV.rawValue)
        }
    }
}

extension Array {
    /// Gives the first elements of all rows.
    fileprivate mutating func withUnsafeMutableRows<Number, Result>(
        _ body: ([UnsafeMutablePointer<Number>?]) throws -> Result
    ) rethrows -> Result where Element == [Number] {
        var (a, b, c) = (self[0], self[1], self[2])
        defer { self = [a, b, c] }
        return try a.withUnsafeMutableBufferPointer { a in
            try b.withUnsafeMutableBufferPointer { b in
                try c.withUnsafeMutableBufferPointer { c in
                    try body([a.baseAddress, b.baseAddress, c.baseAddress])
                }
            }
        }
    }
}
