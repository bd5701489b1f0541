// SPDX-License-Identifier: Apache-2.0
// AdamW against the published update in f64.
import CEftKernels
import Testing

#if canImport(Glibc)
    import Glibc
#endif

struct AdamWTests {
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
}
