// SPDX-License-Identifier: Apache-2.0
// What the tests of the layer kernels share: levels, contexts, reproducible numbers, comparisons.
import CEftKernels
import Testing

/// An instruction-set level that this machine has.
struct KernelLevel: Sendable, CustomTestStringConvertible {
    let isa: eft_isa

    /// All levels of this machine.
    static let all = (0...eft_isa_best().rawValue).map { KernelLevel(isa: eft_isa(rawValue: $0)) }
        .filter { eft_isa_is_available($0.isa) }
    static let scalar = KernelLevel(isa: EFT_ISA_SCALAR)

    var testDescription: String { String(cString: eft_isa_name(isa)) }

    /// Runs `body` with a context of this level.
    func run<T>(threads: Int = 1, _ body: (OpaquePointer) throws -> T) throws -> T {
        let context = try #require(eft_context_create(isa, threads))
        defer { eft_context_destroy(context) }
        return try body(context)
    }
}

/// A reproducible stream of numbers.
struct Noise {
    private var state: UInt64

    init(_ seed: Int) { state = UInt64(truncatingIfNeeded: seed) &* 0x9e37_79b9_7f4a_7c15 &+ 1 }

    mutating func bits() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var x = state
        x = (x ^ (x >> 30)) &* 0xbf58_476d_1ce4_e5b9
        x = (x ^ (x >> 27)) &* 0x94d0_49bb_1331_11eb
        return x ^ (x >> 31)
    }

    /// Between -1 and 1.
    mutating func number() -> Float { Float(Int64(bits() >> 40) - (1 << 23)) / Float(1 << 23) }

    /// Numbers between -scale and scale.
    mutating func numbers(_ count: Int, scale: Float = 1) -> [Float] {
        (0..<count).map { _ in number() * scale }
    }
}

/// The largest difference, relative to `floor` or the wanted magnitude; infinite when one side alone is NaN.
func distance(_ found: [Float], _ wanted: [Double], floor: Double = 1) -> Double {
    var largest = found.count == wanted.count ? 0.0 : .infinity
    for (a, b) in zip(found, wanted) where !(a.isNaN && b.isNaN) {
        let difference = Double(a) == b ? 0 : abs(Double(a) - b) / max(abs(b), floor)
        largest = difference.isNaN ? .infinity : max(largest, difference)
    }
    return largest
}

/// Whether two arrays hold the same bits.
func sameBits(_ a: [Float], _ b: [Float]) -> Bool {
    a.count == b.count && zip(a, b).allSatisfy { $0.bitPattern == $1.bitPattern }
}

extension Array where Element == Float {
    var doubles: [Double] { map(Double.init) }
}

/// The derivative of `function` in direction of each coordinate, by central differences.
func slopes(
    at x: [Double], step: Double = 1e-5, of function: ([Double]) -> Double
) -> [Double] {
    x.indices.map { i in
        var shifted = x
        shifted[i] = x[i] + step
        let above = function(shifted)
        shifted[i] = x[i] - step
        return (above - function(shifted)) / (2 * step)
    }
}

func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }

let oddSizes = [1, 15, 16, 17, 33, 100, 1000]
