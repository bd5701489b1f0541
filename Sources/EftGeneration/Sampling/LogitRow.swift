// SPDX-License-Identifier: Apache-2.0
// Passes of the kernels over one row of logits.
import CEftKernels

#if canImport(Glibc)
    import Glibc
#endif

/// A row of logits, one for each token of the vocabulary.
struct LogitRow {
    let values: UnsafeBufferPointer<Float>
    /// The same bits come out of every level.
    private static let level = eft_isa_default()

    init(_ values: UnsafeBufferPointer<Float>) { self.values = values }

    init(_ values: UnsafeMutableBufferPointer<Float>) { self.values = UnsafeBufferPointer(values) }

    var count: Int { values.count }

    /// The first of the largest logits.
    /// - Throws: `SamplingError` for a NaN or +infinity anywhere, or when all are -infinity.
    func peak() throws(SamplingError) -> (value: Float, token: Int32) {
        guard let start = values.baseAddress else { throw .nothingAllowed }
        let peak = eft_row_max(Self.level, count, start)
        if peak.has_nan || peak.value == .infinity { throw .damagedLogits }
        guard peak.value > -.infinity else { throw .nothingAllowed }
        return (peak.value, Int32(truncatingIfNeeded: peak.index))
    }

    /// Sums of exp((x - top) * scale), a block of `EFT_ROW_BLOCK` each, and their sum.
    func sums(top: Float, scale: Float) -> (blocks: [Double], total: Double) {
        guard let start = values.baseAddress else { return ([], 0) }
        var total = 0.0
        let blocks = [Double](unsafeUninitializedCapacity: Self.blocks(count)) { blocks, filled in
            guard let sums = blocks.baseAddress else { return }
            total = eft_row_sums(Self.level, count, start, top, scale, sums)
            filled = Self.blocks(count)
        }
        return (blocks, total)
    }

    private static func blocks(_ count: Int) -> Int {
        (count + Int(EFT_ROW_BLOCK) - 1) / Int(EFT_ROW_BLOCK)
    }

    /// The tokens of a block of a row of `count` logits.
    static func block(_ index: Int, of count: Int) -> Range<Int> {
        let first = index * Int(EFT_ROW_BLOCK)
        return first..<min(first + Int(EFT_ROW_BLOCK), count)
    }

    /// exp((x - top) * scale) of each logit.
    func weights(top: Float, scale: Float) -> [Float] {
        guard let start = values.baseAddress else { return [] }
        return [Float](unsafeUninitializedCapacity: count) { weights, filled in
            guard let target = weights.baseAddress else { return }
            eft_row_weights(Self.level, count, start, top, scale, target)
            filled = count
        }
    }

    /// The sum of the weights whose logits are at least `floor`; as many weights as logits.
    func mass(of weights: UnsafeBufferPointer<Float>, atLeast floor: Float) -> Double {
        guard let start = values.baseAddress, let weightStart = weights.baseAddress else {
            return 0
        }
        return eft_row_mass(
            Self.level, min(count, weights.count), start, weightStart, floor)
    }

    /// How many logits are at least `floor`.
    func countOf(atLeast floor: Float) -> Int {
        guard let start = values.baseAddress else { return 0 }
        return eft_row_count(Self.level, count, start, floor)
    }

    /// Tokens whose logits are at least `floor`, in order, the first `capacity` of them.
    func tokens(
        atLeast floor: Float, capacity: Int
    ) -> (tokens: [UInt32], values: [Float]) {
        guard let start = values.baseAddress, capacity > 0 else { return ([], []) }
        var values: [Float] = []
        let tokens = [UInt32](unsafeUninitializedCapacity: capacity) { tokens, filled in
            guard let tokenStart = tokens.baseAddress else { return }
            values = [Float](unsafeUninitializedCapacity: capacity) { values, valuesFilled in
                guard let valueStart = values.baseAddress else { return }
                filled = eft_row_collect(
                    Self.level, count, start, floor, capacity, tokenStart, valueStart)
                valuesFilled = filled
            }
        }
        return (tokens, values)
    }

    /// The k-th largest logit; -infinity when there are fewer.
    func kth(_ k: Int) -> Float {
        guard let start = values.baseAddress, k > 0, k <= count else { return -.infinity }
        let size = eft_row_kth_scratch(count, k)
        let scratch = UnsafeMutablePointer<Float>.allocate(capacity: size)
        defer { scratch.deallocate() }
        return eft_row_kth(Self.level, count, start, k, scratch)
    }

    /// Logits of tokens whose bit is clear, or that have no bit, become -infinity.
    static func mask(
        _ logits: UnsafeMutableBufferPointer<Float>, _ bits: UnsafeBufferPointer<UInt32>
    ) {
        guard let start = logits.baseAddress else { return }
        guard let words = bits.baseAddress else { return logits.update(repeating: -.infinity) }
        eft_row_mask(level, logits.count, start, bits.count, words)
    }
}
