// SPDX-License-Identifier: Apache-2.0
// A quantized matrix as the public tensors of EXL2.
import CEftKernels
import EftFormats
import EftTensor

/// Puts an EXL2 matrix together, group by group.
///
/// | tensor | type, shape |
/// |---|---|
/// | `<m>.q_weight` | I32 [packed rows, N rounded up to 32] |
/// | `<m>.q_scale` | I32 [groups, padded N / 8], nibbles s - 1 |
/// | `<m>.q_scale_max` | F16 [groups] |
/// | `<m>.q_groups` | I16 [2 groups], pairs of width and first packed row |
/// | `<m>.q_invperm` | I32 [K], stored row of each input |
/// | `<m>.bias` | F16 [N], where there is one |
///
/// Padded columns hold the code of zero and the nibble 15.
package final class EXL2Packer {
    /// The groups.
    package let table: EXL2Table
    /// N.
    package let outputs: Int
    private let padded: Int
    private let weight: Buffer
    private let scale: Buffer
    private var scaleMax: [UInt16]
    private let ledger: MemoryLedger?

    /// Bytes that a packer takes, under `.workspace`.
    package static func byteCount(table: EXL2Table, outputs: Int) -> Int {
        let padded = EXL2Geometry.paddedOutputs(outputs)
        return table.packedRows * padded * 4 + table.groups.count * padded / 2
    }

    /// Takes the memory.
    /// - Throws: `TensorError` when it does not suffice.
    package init(
        table: EXL2Table, outputs: Int, ledger: MemoryLedger?
    ) throws(TensorError) {
        self.table = table
        self.outputs = outputs
        self.ledger = ledger
        padded = EXL2Geometry.paddedOutputs(outputs)
        weight = try Buffer(
            byteCount: table.packedRows * padded * 4, ledger: ledger, purpose: .workspace)
        scale = try Buffer(
            byteCount: table.groups.count * padded / 2, ledger: ledger, purpose: .workspace)
        scaleMax = [UInt16](repeating: 0, count: table.groups.count)
    }

    /// Sets a group.
    /// - Parameters:
    ///   - index: which one.
    ///   - codes: [rows of the group][N] in stored order, below 2^bits.
    ///   - scaleCodes: s of each output, 1...16.
    ///   - scaleMax: half bits.
    ///   - workers: those that pack.
    package func setGroup(
        _ index: Int, codes: UnsafeBufferPointer<UInt8>, scaleCodes: [UInt8], scaleMax: UInt16,
        workers: CPUBackend
    ) {
        let group = table.groups[index]
        precondition(codes.count == group.rows * outputs, "codes of a group")
        precondition(
            scaleCodes.count == outputs && scaleCodes.allSatisfy { (1...16).contains($0) },
            "scale codes of a group")
        self.scaleMax[index] = scaleMax
        setScales(index, scaleCodes)
        eft_exl2_words(
            workers.context, group.rows, outputs, UInt32(group.bits), codes.baseAddress,
            weight.base.assumingMemoryBound(to: UInt32.self)
                + table.firstPackedRows[index] * padded)
    }

    private func setScales(_ index: Int, _ codes: [UInt8]) {
        let words = scale.base.assumingMemoryBound(to: UInt32.self) + index * padded / 8
        for word in 0..<padded / 8 {
            var value: UInt32 = 0
            for lane in 0..<8 {
                let column = word * 8 + lane
                let nibble = column < outputs ? UInt32(codes[column]) - 1 : 15
                value |= nibble << UInt32(4 * lane)
            }
            words[word] = value
        }
    }

    /// The tensors of module `module`, once all groups are set; the large ones share the packer's memory.
    /// - Parameters:
    ///   - permutation: the input that each stored row multiplies.
    ///   - bias: half bits [N], where there is one.
    /// - Throws: `FormatError` when the matrix has more packed rows than the format can count.
    package func tensors(
        module: String, permutation: [UInt32], bias: [UInt16]? = nil
    ) throws -> [EncodedTensor] {
        precondition(permutation.count == table.inputs, "a permutation of another matrix")
        guard let groups = table.encoded else {
            throw FormatError(
                .unsupported, "EXL2 cannot hold more than 65536 packed rows", tensor: module)
        }
        var inverse = [Int32](repeating: -1, count: permutation.count)
        for (row, input) in permutation.enumerated() { inverse[Int(input)] = Int32(row) }
        precondition(!inverse.contains(-1), "not a permutation")
        var result = [
            EncodedTensor(
                try TensorInfo(
                    name: module + ".q_weight", dtype: .i32,
                    shape: Shape(table.packedRows, padded)), weight),
            EncodedTensor(
                try TensorInfo(
                    name: module + ".q_scale", dtype: .i32,
                    shape: Shape(table.groups.count, padded / 8)), scale),
            try EncodedTensor(
                module + ".q_scale_max", .f16, Shape(scaleMax.count), copying: scaleMax,
                ledger: ledger),
            try EncodedTensor(
                module + ".q_groups", .i16, Shape(groups.count), copying: groups, ledger: ledger),
            try EncodedTensor(
                module + ".q_invperm", .i32, Shape(inverse.count), copying: inverse,
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
}
