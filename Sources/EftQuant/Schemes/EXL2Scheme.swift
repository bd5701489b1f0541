// SPDX-License-Identifier: Apache-2.0
// EXL2 weights: codes of 2 to 8 bits in scale groups, with permuted inputs.
import CEftKernels
import EftFormats
import EftTensor

/// A weight that ExLlamaV2 or Eft quantized to EXL2; `EXL2Packer` lists its tensors.
package struct EXL2Scheme: QuantScheme {
    package static let name = "EXL2"

    private let module: LinearModule
    /// The scale groups.
    package let table: EXL2Table
    /// Columns of `q_weight`, N or N rounded up to 32.
    private let padded: Int
    private let weightInfo: TensorInfo
    private let scaleInfo: TensorInfo
    private let scaleMaxInfo: TensorInfo
    private let permutationInfo: TensorInfo
    package let storedTensors: [TensorInfo]

    package static func holds(_ module: String, in checkpoint: any CheckpointReader) -> Bool {
        checkpoint.find(module + ".q_weight") != nil
    }

    package init(_ module: LinearModule) throws {
        guard module.inputs % 32 == 0 else {
            throw module.error(
                .unsupported, "q_weight",
                "EXL2 holds multiples of 32 inputs; this layer has \(module.inputs)")
        }
        let weight = try module.tensor("q_weight", .i32)
        guard weight.shape.dims.count == 2 else {
            throw module.error(
                .damaged, "q_weight", "has shape \(weight.shape) where two extents are expected")
        }
        let (rows, padded) = (weight.shape.dims[0], weight.shape.dims[1])
        guard
            padded == module.outputs || padded == EXL2Geometry.paddedOutputs(module.outputs),
            padded % 8 == 0
        else {
            throw module.wrongShape(
                "q_weight", found: weight.shape.dims,
                expected: [rows, EXL2Geometry.paddedOutputs(module.outputs)])
        }
        let groups = try module.tensor("q_groups", .i16)
        // A group takes at least 32 inputs; more entries than that are not worth reading.
        guard groups.shape.dims.count == 1, groups.shape.count <= module.inputs / 16 else {
            throw module.error(
                .damaged, "q_groups",
                "has shape \(groups.shape) where at most [\(module.inputs / 16)] is expected")
        }
        do {
            table = try EXL2Table(
                module.checkpoint.bytes(of: groups.name).littleEndian16, packedRows: rows,
                inputs: module.inputs)
        } catch let error as EXL2TableError {
            throw module.error(.damaged, "q_groups", error.message)
        }
        scaleInfo = try module.tensor("q_scale", .i32, [table.groups.count, padded / 8])
        scaleMaxInfo = try module.tensor("q_scale_max", .f16, [table.groups.count])
        permutationInfo = try module.tensor("q_invperm", .i32, [module.inputs])
        self.module = module
        self.padded = padded
        weightInfo = weight
        storedTensors = [weight, scaleInfo, scaleMaxInfo, groups, permutationInfo]
    }

    package var tensorsInOrder: [TensorInfo] { [scaleInfo, weightInfo] }
    package var valueType: DType { .f16 }

    // MARK: Size

    package func layout(as target: WeightTarget) throws -> WeightLayout {
        try module.requireAsStored(target, scheme: EXL2Scheme.name)
        return table.layout(outputs: module.outputs)
    }

    /// Packed rows that are loaded at a time; at least the 8 of a block.
    private var chunkRows: Int {
        min(max(RowChunks.limit / (padded * 4), 8), table.packedRows)
    }

    package func scratchBytes(as target: WeightTarget) throws -> Int {
        _ = try layout(as: target)
        return chunkRows * padded * 4
    }

    // MARK: Tables

    /// The input that each stored row multiplies.
    /// - Throws: `FormatError` when the tensor is no permutation.
    package func permutation() throws(FormatError) -> [UInt32] {
        let stored = try module.checkpoint.bytes(of: permutationInfo.name).littleEndian32
        var permutation = [UInt32](repeating: .max, count: stored.count)
        for (input, row) in stored.enumerated() {
            guard row < UInt32(stored.count), permutation[Int(row)] == .max else {
                throw module.error(
                    .damaged, "q_invperm",
                    "is no permutation: entry \(input) is \(Int32(bitPattern: row))")
            }
            permutation[Int(row)] = UInt32(input)
        }
        return permutation
    }

    /// The largest scale of each group, as half bits.
    private func largestScales() throws(FormatError) -> [UInt16] {
        let stored = try module.checkpoint.bytes(of: scaleMaxInfo.name).littleEndian16
        guard stored.allSatisfy({ ElementConversion.float(half: $0).isFinite }) else {
            throw module.error(.damaged, "q_scale_max", "holds infinite or NaN values")
        }
        return stored
    }

    /// The scale codes of a group, less one, eight outputs a word, from the word of the first of `outputs` on.
    private func scaleWords(
        _ group: Int, outputs: Range<Int>
    ) throws(FormatError) -> [UInt32] {
        let (first, end) = (outputs.lowerBound / 8, (outputs.upperBound + 7) / 8)
        let start = (group * padded / 8 + first) * 4
        var bytes = [UInt8](repeating: 0, count: (end - first) * 4)
        try bytes.withUnsafeMutableBufferPointer { (buffer) throws(FormatError) in
            try module.checkpoint.read(
                scaleInfo.name, bytes: start..<start + buffer.count,
                into: UnsafeMutableRawBufferPointer(buffer))
        }
        return bytes.littleEndian32
    }

    // MARK: Load

    package func load(
        as target: WeightTarget, backend: CPUBackend, purpose: MemoryPurpose
    ) throws -> PackedWeight {
        let weight = try PackedWeight(
            layout: layout(as: target), permutation: permutation(), ledger: backend.ledger,
            purpose: purpose, workers: backend)
        let buffer = try Buffer(
            byteCount: chunkRows * padded * 4, ledger: backend.ledger, purpose: .workspace)
        try fillScales(weight, buffer, context: backend.context)
        for chunk in chunks() {
            let start = chunk.firstPackedRow * padded * 4
            let count = chunk.packedRows * padded * 4
            try module.checkpoint.read(
                weightInfo.name, bytes: start..<start + count,
                into: UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<count]))
            pack(chunk, of: buffer, into: weight, context: backend.context)
        }
        module.checkpoint.releasePages(of: weightInfo.name)
        return weight
    }

    /// Scales as the kernels want them (`EFT_SCALES_EXL2`), as many groups at a time as the buffer holds.
    private func fillScales(
        _ weight: PackedWeight, _ buffer: Buffer, context: OpaquePointer
    ) throws(FormatError) {
        let width = padded / 2
        let steps = try largestScales().map(EXL2Scale.step(scaleMax:))
        let length = buffer.byteCount / width
        for first in stride(from: 0, to: steps.count, by: length) {
            let count = min(length, steps.count - first)
            try module.checkpoint.read(
                scaleInfo.name, bytes: first * width..<(first + count) * width,
                into: UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<(count * width)]))
            withUnsafePointer(to: weight.descriptor) {
                eft_exl2_pack_scales(
                    context, $0, weight.scales.base,
                    buffer.base.assumingMemoryBound(to: UInt32.self), padded / 8, first, count,
                    steps)
            }
        }
    }

    /// Packed rows that are read together, and the parts of groups that they hold.
    private struct Chunk {
        let firstPackedRow: Int
        var packedRows = 0
        var parts: [eft_group] = []
        /// Where each part begins, in packed rows of the chunk.
        var firstRows: [UInt32] = []
    }

    /// The matrix in chunks of at most `chunkRows` packed rows; groups are cut between blocks.
    private func chunks() -> [Chunk] {
        var chunks: [Chunk] = []
        var chunk = Chunk(firstPackedRow: 0)
        for (index, group) in table.groups.enumerated() {
            var done = 0
            while done < group.rows / 32 {
                let blocks = min(
                    group.rows / 32 - done, (chunkRows - chunk.packedRows) / group.bits)
                guard blocks > 0 else {
                    chunks.append(chunk)
                    chunk = Chunk(firstPackedRow: chunk.firstPackedRow + chunk.packedRows)
                    continue
                }
                chunk.parts.append(
                    eft_group(
                        first_block: UInt32(table.firstRows[index] / 32 + done),
                        blocks: UInt32(blocks), bits: UInt32(group.bits),
                        row_offset: UInt32(table.firstPackedRows[index] + done * group.bits)))
                chunk.firstRows.append(UInt32(chunk.packedRows))
                chunk.packedRows += blocks * group.bits
                done += blocks
            }
        }
        return chunks + [chunk]
    }

    private func pack(
        _ chunk: Chunk, of buffer: Buffer, into weight: PackedWeight, context: OpaquePointer
    ) {
        var part = weight.descriptor
        part.group_count = chunk.parts.count
        chunk.parts.withUnsafeBufferPointer { parts in
            part.groups = parts.baseAddress
            withUnsafePointer(to: part) { descriptor in
                eft_exl2_pack(
                    context, descriptor, weight.panels.base,
                    buffer.base.assumingMemoryBound(to: UInt32.self), padded, chunk.firstRows)
            }
        }
    }

    // MARK: Exact values

    package func dequantize(
        outputs: Range<Int>, into target: UnsafeMutableBufferPointer<Float>
    ) throws {
        precondition(target.count == outputs.count * module.inputs, "size of the target")
        guard let base = target.baseAddress else { return }
        let permutation = try permutation()
        let tables = try largestScales().map { EXL2Scale.table(scaleMax: $0) }
        let step = EXL2Scheme.decodedOutputs
        let level = eft_isa_default()
        // Read, not mapped: the pages of a mapped head would stay in memory beside everything else.
        var words = [UInt32](repeating: 0, count: 8 * min(step, outputs.count))
        for first in stride(from: outputs.lowerBound, to: outputs.upperBound, by: step) {
            let part = first..<min(first + step, outputs.upperBound)
            let lines = base + (first - outputs.lowerBound) * module.inputs
            for (index, group) in table.groups.enumerated() {
                let nibbles = try scaleWords(index, outputs: part)
                let scales = part.map { column in
                    let word = nibbles[column / 8 - first / 8]
                    let nibble = word >> UInt32(4 * (column % 8)) & 15
                    return ElementConversion.float(half: tables[index][Int(nibble)])
                }
                for block in 0..<group.rows / 32 {
                    try readBlock(
                        bits: group.bits,
                        firstRow: table.firstPackedRows[index] + block * group.bits,
                        outputs: part, into: &words)
                    permutation.withUnsafeBufferPointer { inputs in
                        eft_exl2_values(
                            level, part.count, UInt32(group.bits), words, part.count, scales,
                            inputs.baseAddress.map {
                                $0 + table.firstRows[index] + block * 32
                            }, lines, module.inputs)
                    }
                }
            }
        }
    }

    /// Outputs that are decoded together.
    private static let decodedOutputs = 2048

    /// Reads the words of 32 stored rows for some outputs, one packed row after the other.
    private func readBlock(
        bits: Int, firstRow: Int, outputs: Range<Int>, into words: inout [UInt32]
    ) throws {
        let width = outputs.count * 4
        try words.withUnsafeMutableBytes { buffer in
            for row in 0..<bits {
                let start = ((firstRow + row) * padded + outputs.lowerBound) * 4
                try module.checkpoint.read(
                    weightInfo.name, bytes: start..<start + width,
                    into: UnsafeMutableRawBufferPointer(
                        rebasing: buffer[row * width..<(row + 1) * width]))
            }
        }
    }
}

extension [UInt8] {
    /// The bytes as little-endian 16-bit numbers; an odd last byte is left out.
    var littleEndian16: [UInt16] {
        withUnsafeBytes { bytes in
            (0..<bytes.count / 2).map { index in
                UInt16(
                    littleEndian: bytes.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self))
            }
        }
    }

    /// The bytes as little-endian 32-bit numbers; up to three last bytes are left out.
    var littleEndian32: [UInt32] {
        withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map { index in
                UInt32(
                    littleEndian: bytes.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self))
            }
        }
    }
}
