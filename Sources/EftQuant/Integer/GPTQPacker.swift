// SPDX-License-Identifier: Apache-2.0
// A quantized matrix as the public tensors of GPTQ.
import CEftKernels
import EftFormats
import EftTensor

/// Puts a symmetric GPTQ matrix together, group by group, in the first format.
///
/// | tensor | type, shape |
/// |---|---|
/// | `<m>.qweight` | I32 [K bits / 32, N], streams of codes down the columns, inputs in their own order |
/// | `<m>.qzeros` | I32 [groups, N bits / 32], streams along the rows: the middle of the codes, less one |
/// | `<m>.scales` | F16 [groups, N] |
/// | `<m>.g_idx` | I32 [K], the group of each input |
/// | `<m>.bias` | F16 [N], where there is one |
package final class GPTQPacker {
    /// The groups.
    package let table: EXL2Table
    /// N.
    package let outputs: Int
    private let bits: Int
    private let permutation: [UInt32]
    private let codes: Buffer
    private let scales: Buffer
    private let ledger: MemoryLedger?

    /// What files of this form say of themselves (`StoredQuantization`).
    package static let form = StoredQuantization(
        method: .gptq, isSymmetric: true, storesZerosLessOne: true)

    /// Bytes that a packer and its tensors take, under `.workspace`.
    package static func byteCount(table: EXL2Table, outputs: Int) -> Int {
        let (inputs, groups) = (table.inputs, table.groups.count)
        let bits = table.groups.first?.bits ?? 0
        return inputs * outputs + table.packedRows * outputs * 4 + groups * outputs * 2
            + groups * outputs * bits / 8 + inputs * 4 + outputs * 2
    }

    /// How such a matrix is held in memory.
    package static func layout(
        table: EXL2Table, outputs: Int, isPermuted: Bool
    ) -> WeightLayout {
        WeightLayout(
            .coded(
                book: .signed, scales: .f16,
                groups: table.groups.map { .init(blocks: $0.rows / 32, bits: $0.bits) },
                permuted: isPermuted), inputs: table.inputs, outputs: outputs)
    }

    /// The most temporary bytes of loading it, under `.workspace`.
    package static func loadBytes(table: EXL2Table, outputs: Int, isPermuted: Bool) -> Int {
        let rows = table.packedRows
        let run =
            isPermuted
            ? rows
            : min(
                rows,
                RowChunks.length(
                    rows: rows, rowBytes: outputs * 4, unit: table.groups.first?.bits ?? 1))
        return run * outputs * 4 + table.groups.count * outputs * (4 + 2 + 2)
    }

    /// Bits of a matrix in its file.
    package static func storedBits(table: EXL2Table, outputs: Int, bias: Bool) -> Int {
        let bits = table.groups.first?.bits ?? 0
        return table.inputs * outputs * bits + table.groups.count * outputs * (16 + bits)
            + table.inputs * 32 + (bias ? outputs * 16 : 0)
    }

    /// Takes the memory.
    /// - Parameters:
    ///   - table: groups of one width.
    ///   - outputs: N, a multiple of 32.
    ///   - permutation: the input of each row of the groups.
    /// - Throws: `TensorError` when it does not suffice.
    package init(
        table: EXL2Table, outputs: Int, permutation: [UInt32], ledger: MemoryLedger?
    ) throws(TensorError) {
        let bits = table.groups.first?.bits ?? 0
        precondition(
            table.groups.allSatisfy { $0.bits == bits } && outputs % 32 == 0
                && permutation.count == table.inputs, "a matrix that GPTQ cannot hold")
        self.table = table
        self.outputs = outputs
        self.bits = bits
        self.permutation = permutation
        self.ledger = ledger
        codes = try Buffer(
            byteCount: table.inputs * outputs, ledger: ledger, purpose: .workspace)
        scales = try Buffer(
            byteCount: table.groups.count * outputs * 2, ledger: ledger, purpose: .workspace)
    }

    /// Sets a group.
    /// - Parameters:
    ///   - index: which one.
    ///   - codes: [rows of the group][N], below 2^bits.
    ///   - scales: half bits of each output.
    package func setGroup(
        _ index: Int, codes: UnsafeBufferPointer<UInt8>, scales: [UInt16]
    ) {
        let (first, rows) = (table.firstRows[index], table.groups[index].rows)
        precondition(codes.count == rows * outputs && scales.count == outputs, "a group")
        for row in 0..<rows {
            let place = Int(permutation[first + row]) * outputs
            self.codes.bytes[place..<place + outputs].copyBytes(
                from: codes[row * outputs..<(row + 1) * outputs])
        }
        scales.withUnsafeBytes {
            let place = index * outputs * 2
            self.scales.bytes[place..<place + outputs * 2].copyBytes(from: $0)
        }
    }

    /// The tensors of module `module`, once all groups are set.
    /// - Parameters:
    ///   - permutation: as given before.
    ///   - bias: half bits [N], where there is one.
    /// - Throws: `FormatError` for extents that cannot be; `TensorError` when memory does not suffice.
    package func tensors(
        module: String, permutation: [UInt32], bias: [UInt16]?, workers: CPUBackend
    ) throws -> [EncodedTensor] {
        precondition(permutation == self.permutation, "another order of inputs")
        let count = table.groups.count
        let words = try EncodedTensor(
            TensorInfo(
                name: module + ".qweight", dtype: .i32, shape: Shape(table.packedRows, outputs)),
            Buffer(
                byteCount: table.packedRows * outputs * 4, ledger: ledger, purpose: .workspace))
        eft_exl2_words(
            workers.context, table.inputs, outputs, UInt32(bits),
            codes.base.assumingMemoryBound(to: UInt8.self),
            words.bytes.base.assumingMemoryBound(to: UInt32.self))
        var result = [
            words,
            try EncodedTensor(
                module + ".qzeros", .i32, Shape(count, outputs * bits / 32),
                copying: (0..<count).flatMap { _ in zeroWords }, ledger: ledger),
            EncodedTensor(
                try TensorInfo(
                    name: module + ".scales", dtype: .f16, shape: Shape(count, outputs)), scales),
            try EncodedTensor(
                module + ".g_idx", .i32, Shape(table.inputs), copying: groupOfInput,
                ledger: ledger),
        ]
        if let bias {
            precondition(bias.count == outputs, "a bias of another matrix")
            result.append(
                try EncodedTensor(
                    module + ".bias", .f16, Shape(outputs), copying: bias, ledger: ledger))
        }
        return result
    }

    /// The zero points of a group: the first format stores one less than the middle.
    private var zeroWords: [UInt32] {
        let zero = UInt64(1) << UInt64(bits - 1) - 1
        var words: [UInt32] = []
        var (stream, held) = (UInt64(0), 0)
        for _ in 0..<outputs {
            stream |= zero << UInt64(held)
            held += bits
            if held >= 32 {
                words.append(UInt32(truncatingIfNeeded: stream))
                stream >>= 32
                held -= 32
            }
        }
        return words
    }

    private var groupOfInput: [Int32] {
        var groups = [Int32](repeating: 0, count: table.inputs)
        for index in table.groups.indices {
            for row in table.firstRows[index]..<table.firstRows[index + 1] {
                groups[Int(permutation[row])] = Int32(truncatingIfNeeded: index)
            }
        }
        return groups
    }
}
