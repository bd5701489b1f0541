// SPDX-License-Identifier: Apache-2.0
// Sequences with pages for the attention tests, and attention as its formula says.
import CEftKernels
import Testing

#if canImport(Glibc)
    import Glibc
#endif

struct AttentionShape: Sendable, CustomTestStringConvertible {
    var heads = 4
    var kvHeads = 2
    var dim = 16
    /// Bits of codes of keys and values; 0 for numbers.
    var keyBits: UInt32 = 0
    var valueBits: UInt32 = 0
    /// Positions that a row sees; all when 0.
    var window = 0
    /// Whether it sees the chunk of that many positions that it stands in.
    var isChunked = false
    /// What scores cannot exceed; 0 for none.
    var softCap: Float = 0

    var group: Int { heads / kvHeads }
    var scale: Float { 1 / Float(dim).squareRoot() }
    var testDescription: String {
        "\(heads)/\(kvHeads) heads of \(dim)"
            + (keyBits > 0 ? ", \(keyBits) and \(valueBits) bits" : "")
            + (window > 0 ? ", a \(isChunked ? "chunk" : "window") of \(window)" : "")
            + (softCap > 0 ? ", scores below \(softCap)" : "")
    }

    /// The first position that a row sees.
    func firstSeen(_ position: Int) -> Int {
        guard window > 0 else { return 0 }
        return isChunked ? position / window * window : max(0, position + 1 - window)
    }

    func parameters(_ type: eft_float_type) -> eft_attention {
        eft_attention(
            heads: heads, kv_heads: kvHeads, head_dim: dim, scale: scale, kv_type: type,
            key_bits: keyBits, value_bits: valueBits, window: window, is_chunked: isChunked,
            soft_cap: softCap)
    }
}

/// Pages in one allocation, filled with NaN.
final class Pages {
    let addresses: [UnsafeMutableRawPointer?]
    private let memory: UnsafeMutableRawPointer

    init(_ count: Int, bytes: Int, fill: UInt8 = 0xff) {
        let stride = (bytes + 63) / 64 * 64
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: max(count, 1) * stride, alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: fill, count: max(count, 1) * stride)
        self.memory = memory
        // Out of order, as a page table would have them.
        addresses = (0..<count).map { memory + ($0 * 7 + 3) % count * stride }
        precondition(Set(addresses).count == count)
    }

    deinit { memory.deallocate() }
}

/// One sequence: keys and values of positions 0..<length, queries and output gradients of the last rows.
struct AttentionSequence {
    let shape: AttentionShape
    let rows: Int
    let first: Int
    let k: [Float]
    let v: [Float]
    let q: [Float]
    let dout: [Float]

    var length: Int { first + rows }
    var columns: Int { shape.heads * shape.dim }
    var kvColumns: Int { shape.kvHeads * shape.dim }
    var pageCount: Int { (length + 15) / 16 }

    init(_ shape: AttentionShape, first: Int, rows: Int, seed: Int = 1) {
        var noise = Noise(seed + first * 31 + rows)
        self.shape = shape
        self.rows = rows
        self.first = first
        let length = first + rows
        k = noise.numbers(length * shape.kvHeads * shape.dim, scale: 2)
        v = noise.numbers(length * shape.kvHeads * shape.dim)
        q = noise.numbers(rows * shape.heads * shape.dim, scale: 3)
        dout = noise.numbers(rows * shape.heads * shape.dim)
    }

    /// A page table with the keys and values written, NaN in all other slots.
    func pages(_ type: eft_float_type = EFT_F32, level: KernelLevel = .scalar) throws -> Pages {
        var attention = shape.parameters(type)
        // Seven must not divide the number of pages for Pages' order to be one.
        let count = pageCount % 7 == 0 ? pageCount + 1 : pageCount
        let pages = Pages(count, bytes: eft_kv_page_bytes(&attention))
        defer { withExtendedLifetime(pages) {} }
        try level.run {
            eft_kv_write($0, &attention, length, 0, k, kvColumns, v, kvColumns, pages.addresses)
        }
        return pages
    }

    /// The output and its lse by the formula, for given q, k and v.
    func wanted(q: [Double], k: [Double], v: [Double]) -> (out: [Double], lse: [Double]) {
        var out = [Double](repeating: 0, count: q.count), lse: [Double] = []
        for t in 0..<rows {
            for h in 0..<shape.heads {
                let at = t * columns + h * shape.dim, kv = h / shape.group * shape.dim
                let from = shape.firstSeen(first + t)
                let scores = (from...first + t).map { j in
                    let score =
                        (0..<shape.dim).reduce(0) { $0 + q[at + $1] * k[j * kvColumns + kv + $1] }
                        * Double(shape.scale)
                    let cap = Double(shape.softCap)
                    return cap > 0 ? cap * tanh(score / cap) : score
                }
                let top = scores.max() ?? 0
                let weights = scores.map { exp($0 - top) }
                let total = weights.reduce(0, +)
                lse.append(top + log(total))
                for (j, weight) in zip(from..., weights) {
                    for d in 0..<shape.dim {
                        out[at + d] += weight / total * v[j * kvColumns + kv + d]
                    }
                }
            }
        }
        return (out, lse)
    }
}

/// What the kernel gives for sequences that are run together.
struct AttentionResult {
    var out: [[Float]] = []
    var lse: [[Float]] = []

    init(
        _ sequences: [AttentionSequence], pages: [Pages], type: eft_float_type = EFT_F32,
        level: KernelLevel, threads: Int = 1, isRough: Bool = false
    ) throws {
        guard let shape = sequences.first?.shape else { return }
        let columns = shape.heads * shape.dim, ld = columns + 3
        var attention = shape.parameters(type), runs: [eft_attention_run] = []
        var memory: [UnsafeMutableBufferPointer<Float>] = []
        var tables: [UnsafeMutableBufferPointer<UnsafeMutableRawPointer?>] = []
        defer {
            memory.forEach { $0.deallocate() }
            tables.forEach { $0.deallocate() }
            withExtendedLifetime(pages) {}
        }
        for (sequence, pages) in zip(sequences, pages) {
            let q = UnsafeMutableBufferPointer<Float>.allocate(capacity: sequence.rows * ld)
            let out = UnsafeMutableBufferPointer<Float>.allocate(capacity: sequence.rows * ld)
            let lse = UnsafeMutableBufferPointer<Float>.allocate(
                capacity: sequence.rows * shape.heads)
            let table = UnsafeMutableBufferPointer<UnsafeMutableRawPointer?>.allocate(
                capacity: pages.addresses.count)
            q.initialize(repeating: .nan)
            out.initialize(repeating: 77)
            lse.initialize(repeating: 0)
            _ = table.initialize(from: pages.addresses)
            for i in sequence.q.indices { q[i / columns * ld + i % columns] = sequence.q[i] }
            memory += [q, out, lse]
            tables.append(table)
            var run = eft_attention_run()
            run.rows = sequence.rows
            run.first_position = sequence.first
            run.pages = UnsafePointer(table.baseAddress)
            run.q = UnsafePointer(q.baseAddress)
            run.out = out.baseAddress
            run.lse = lse.baseAddress
            runs.append(run)
        }
        try level.run(threads: threads) {
            let attend = isRough ? eft_attention_forward_rough : eft_attention_forward
            attend($0, &attention, runs, runs.count, ld, ld)
        }
        for i in sequences.indices {
            let out = memory[3 * i + 1]
            self.out.append(out.indices.filter { $0 % ld < columns }.map { out[$0] })
            lse.append(Array(memory[3 * i + 2]))
            #expect(out.indices.allSatisfy { $0 % ld < columns || out[$0] == 77 })
        }
    }
}
