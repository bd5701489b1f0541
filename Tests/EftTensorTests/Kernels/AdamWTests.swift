// SPDX-License-Identifier: Apache-2.0
// AdamW against the published update in f64.
import CEftKernels
import Testing

#if canImport(Glibc)
    import Glibc
#endif

struct AdamWTests {
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
            let parameters = eft_adamw(
                learning_rate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.1,
                gradient_scale: 0.5, step: UInt64(step))
            try level.run(threads: 2) { eft_adamw_step($0, parameters, count, &p, g, &m, &v) }
            try KernelLevel.scalar.run {
                eft_adamw_step($0, parameters, count, &scalar.p, g, &scalar.m, &scalar.v)
            }
            let c1 = 1 - pow(0.9, Double(step)), c2 = 1 - pow(0.999, Double(step))
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
        let parameters = eft_adamw(
            learning_rate: 0.5, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.5,
            gradient_scale: 1, step: 1)
        try level.run { eft_adamw_step($0, parameters, 40, &p, zeros, &m, &v) }
        #expect(p == start.map { $0 * 0.75 } && m == zeros && v == zeros)
    }
}
