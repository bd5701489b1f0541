// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding against its formula.
import CEftKernels
import Testing

#if canImport(Glibc)
    import Glibc
#endif

struct RopeTests {
    private static func tables(rows: Int, half: Int) -> (cosines: [Float], sines: [Float]) {
        var noise = Noise(rows * 100 + half)
        let angles = (0..<rows * half).map { _ in Double(noise.number()) * 10 }
        return (angles.map { Float(cos($0)) }, angles.map { Float(sin($0)) })
    }

    /// Heads of `dim` numbers of which `rotated` rotate.
    @Test(
        arguments: KernelLevel.all,
        [(2, 2), (12, 12), (32, 32), (40, 40), (64, 64), (66, 66), (128, 128), (80, 32), (40, 10)])
    func `pairs turn by their angle, and back`(
        level: KernelLevel, extents: (dim: Int, rotated: Int)
    ) throws {
        let (dim, rotated) = extents
        var noise = Noise(dim)
        let rows = 5, heads = 3, half = rotated / 2, ld = heads * dim + 4
        let x = noise.numbers(rows * ld), (cosines, sines) = Self.tables(rows: rows, half: half)
        for interleaved in [false, true] {
            var rotation = eft_rotation(
                heads: heads, head_dim: dim, rotated: rotated, interleaved: interleaved)
            var turned = x
            try level.run { eft_rope($0, &rotation, rows, &turned, ld, cosines, sines, false) }
            var wanted = x.doubles
            for t in 0..<rows {
                for h in 0..<heads {
                    for i in 0..<half {
                        let head = t * ld + h * dim
                        let (one, other) =
                            interleaved
                            ? (head + 2 * i, head + 2 * i + 1) : (head + i, head + i + half)
                        let c = Double(cosines[t * half + i]), s = Double(sines[t * half + i])
                        let a = Double(x[one]), b = Double(x[other])
                        wanted[one] = a * c - b * s
                        wanted[other] = b * c + a * s
                    }
                }
            }
            #expect(distance(turned, wanted) < 3e-7)
            var scalar = x
            try KernelLevel.scalar.run {
                eft_rope($0, &rotation, rows, &scalar, ld, cosines, sines, false)
            }
            #expect(sameBits(turned, scalar))
            try level.run { eft_rope($0, &rotation, rows, &turned, ld, cosines, sines, true) }
            #expect(distance(turned, x.doubles) < 1e-6)
        }
    }

    @Test(arguments: KernelLevel.all)
    func `threads do not change a bit`(level: KernelLevel) throws {
        var noise = Noise(3)
        let rows = 70, heads = 8, dim = 64
        let x = noise.numbers(rows * heads * dim),
            (cosines, sines) = Self.tables(rows: rows, half: 32)
        var rotation = eft_rotation(heads: heads, head_dim: dim, rotated: dim, interleaved: false)
        var results: [[Float]] = []
        for threads in 1...3 {
            var y = x
            try level.run(threads: threads) {
                eft_rope($0, &rotation, rows, &y, heads * dim, cosines, sines, false)
            }
            results.append(y)
        }
        #expect(sameBits(results[0], results[1]) && sameBits(results[0], results[2]))
    }
}
