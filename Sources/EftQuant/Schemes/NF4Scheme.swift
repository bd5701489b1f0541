// SPDX-License-Identifier: Apache-2.0
// NF4 and FP4 weights of bitsandbytes checkpoints: `<module>.weight` with packed codes, and its quantization state.
import CEftKernels
import EftConfig
import EftFormats
import EftTensor

/// A weight that bitsandbytes quantized to NF4 or FP4, which differ by their 16 values; `NF4Writer` lists its tensors.
package struct NF4Scheme: QuantScheme {
    package static let name = "NF4"
    /// What follows `<module>.weight` in the name of the tensor that holds the state.
    package static let stateSuffix = ".quant_state.bitsandbytes__nf4"
    private static let fp4StateSuffix = ".quant_state.bitsandbytes__fp4"
    /// More text than any quantization state has.
    private static let stateLimit = 1 << 16

    private let module: LinearModule
    private let info: TensorInfo
    private let state: NF4State
    private let scales: NF4StoredScales
    package let storedTensors: [TensorInfo]

    package static func holds(_ module: String, in checkpoint: any CheckpointReader) -> Bool {
        checkpoint.find(module + ".weight" + stateSuffix) != nil
            || checkpoint.find(module + ".weight" + fp4StateSuffix) != nil
    }

    package init(_ module: LinearModule) throws {
        let state = try NF4Scheme.readState(module)
        let isNamedFP4 = NF4Scheme.stateName(module).hasSuffix(NF4Scheme.fp4StateSuffix)
        guard state.isFP4 == isNamedFP4 else {
            throw module.error(
                .unsupported, NF4Scheme.stateName(module),
                "speaks of \(state.name), which its name does not")
        }
        guard state.shape == [module.outputs, module.inputs] else {
            throw module.wrongShape(
                "weight", found: state.shape, expected: [module.outputs, module.inputs])
        }
        let count = module.inputs * module.outputs
        let info = try module.checkpoint.tensor(module.name + ".weight")
        // Codes may stand in a tensor of any type (`bnb_4bit_quant_storage`); the bytes are the same.
        guard info.byteCount == NF4Format.packedBytes(count) else {
            throw module.error(
                .damaged, "weight",
                "holds \(info.byteCount) bytes where \(NF4Format.packedBytes(count)) are expected "
                    + "for shape \(state.shape)")
        }
        // A model that is saved in 16 bits has its scales and tables in 16 bits too: bitsandbytes widens the scales, and
        // knows the code book by itself.
        let map = try module.realTensor("weight.quant_map", [16])
        let values = state.values.map(map.dtype.rounded)
        guard try module.checkpoint.floats(of: map.name) == values else {
            throw module.error(
                .unsupported, "weight.quant_map", "is not the code book of \(state.name)")
        }
        let blocks = NF4Format.blocks(count, size: state.blockSize)
        var stored = [info, map]
        let absmax =
            state.nested == nil
            ? try module.realTensor("weight.absmax", [blocks])
            : try module.tensor("weight.absmax", .u8, [blocks])
        stored.append(absmax)
        var nested: NF4StoredScales.Nested?
        if let second = state.nested {
            let (value, tensors) = try NF4Scheme.readNested(second, blocks: blocks, of: module)
            nested = value
            stored += tensors
        }
        stored.append(try module.tensor(NF4Scheme.stateName(module), .u8))
        self.module = module
        self.info = info
        self.state = state
        scales = NF4StoredScales(info: absmax, checkpoint: module.checkpoint, nested: nested)
        storedTensors = stored
    }

    /// The name of the tensor that holds the state, below the module's.
    private static func stateName(_ module: LinearModule) -> String {
        let fp4 = "weight" + fp4StateSuffix
        return module.checkpoint.find("\(module.name).\(fp4)") == nil
            ? "weight" + stateSuffix : fp4
    }

    private static func readState(_ module: LinearModule) throws(FormatError) -> NF4State {
        let suffix = stateName(module)
        let info = try module.tensor(suffix, .u8)
        guard info.byteCount <= stateLimit else {
            throw module.error(.damaged, suffix, "is too long for a quantization state")
        }
        let text = try module.checkpoint.bytes(of: info.name)
        do {
            return try NF4State(json: text)
        } catch {
            throw module.error(
                error.code == .badValue ? .unsupported : .damaged, suffix, "\(error)")
        }
    }

    private static func readNested(
        _ state: NF4State.Nested, blocks: Int, of module: LinearModule
    ) throws(FormatError) -> (NF4StoredScales.Nested, [TensorInfo]) {
        let count = NF4Format.blocks(blocks, size: state.blockSize)
        let absmax = try module.realTensor("weight.nested_absmax", [count])
        let map = try module.realTensor("weight.nested_quant_map", [256])
        let nested = NF4StoredScales.Nested(
            map: try module.checkpoint.floats(of: map.name),
            absmax: try module.checkpoint.floats(of: absmax.name), blockSize: state.blockSize,
            offset: state.offset)
        return (nested, [absmax, map])
    }

    /// The form's name: NF4 or FP4.
    package var formName: String { state.name }

    package var tensorsInOrder: [TensorInfo] { [info] }
    package var valueType: DType { state.dtype }

    // MARK: Size

    private var heldLayout: WeightLayout {
        NF4Format.layout(
            inputs: module.inputs, outputs: module.outputs, blockSize: state.blockSize,
            original: state.dtype, book: state.isFP4 ? .fp4 : .nf4)
    }

    package func layout(as target: WeightTarget) throws -> WeightLayout {
        try module.requireAsStored(target, scheme: state.name)
        return heldLayout
    }

    /// Rows that are loaded at a time.
    private var chunkRows: Int {
        DenseRows.length(rows: module.outputs, columns: module.inputs)
    }

    /// Blocks that a run of rows touches at most.
    private var chunkBlocks: Int {
        NF4Format.blocks(chunkRows * module.inputs, size: state.blockSize) + 1
    }

    package func scratchBytes(as target: WeightTarget) throws -> Int {
        guard case .coded = try layout(as: target).format else {
            return chunkRows * module.inputs * 4
        }
        return NF4Format.packedBytes(chunkRows * module.inputs) + chunkBlocks * 4
    }

    // MARK: Load

    package func load(
        as target: WeightTarget, backend: CPUBackend, purpose: MemoryPurpose
    ) throws -> PackedWeight {
        let weight = try PackedWeight(
            layout: layout(as: target), ledger: backend.ledger, purpose: purpose, workers: backend)
        if case .coded = weight.layout.format {
            try fillCoded(weight, backend: backend)
        } else {
            try fillDense(weight, backend: backend)
        }
        return weight
    }

    private func fillCoded(_ weight: PackedWeight, backend: CPUBackend) throws {
        let columns = module.inputs
        let packed = try Buffer(
            byteCount: NF4Format.packedBytes(chunkRows * columns), ledger: backend.ledger,
            purpose: .workspace)
        let absmax = try Buffer(
            byteCount: chunkBlocks * 4, ledger: backend.ledger, purpose: .workspace)
        for rows in RowChunks.ranges(rows: module.outputs, length: chunkRows) {
            let bytes = rows.lowerBound * columns / 2..<rows.upperBound * columns / 2
            try module.checkpoint.read(
                info.name, bytes: bytes,
                into: UnsafeMutableRawBufferPointer(rebasing: packed.bytes[..<bytes.count]))
            module.checkpoint.releasePages(of: info.name)
            weight.packNF4(
                packed.base.assumingMemoryBound(to: UInt8.self), rows: rows,
                context: backend.context)
            let blocks = self.blocks(of: rows)
            try scales.read(
                blocks, into: UnsafeMutableBufferPointer(start: absmax.floats, count: blocks.count))
            weight.setNF4Scales(
                absmax.floats, firstBlock: blocks.lowerBound, blockSize: state.blockSize,
                rows: rows)
        }
    }

    private func fillDense(_ weight: PackedWeight, backend: CPUBackend) throws {
        let floats = try Buffer(
            byteCount: chunkRows * module.inputs * 4, ledger: backend.ledger, purpose: .workspace)
        for rows in RowChunks.ranges(rows: module.outputs, length: chunkRows) {
            try dequantize(
                outputs: rows,
                into: UnsafeMutableBufferPointer(
                    start: floats.floats, count: rows.count * module.inputs))
            withUnsafePointer(to: weight.descriptor) {
                eft_dense_pack(
                    backend.context, $0, weight.panels.base, floats.base, EFT_F32, rows.lowerBound,
                    rows.count)
            }
        }
    }

    /// The blocks that rows touch.
    private func blocks(of rows: Range<Int>) -> Range<Int> {
        let end = NF4Format.blocks(rows.upperBound * module.inputs, size: state.blockSize)
        return rows.lowerBound * module.inputs / state.blockSize..<end
    }

    // MARK: Exact values

    package func dequantize(
        outputs: Range<Int>, into target: UnsafeMutableBufferPointer<Float>
    ) throws {
        precondition(target.count == outputs.count * module.inputs, "size of the target")
        let first = outputs.lowerBound * module.inputs
        // In pieces of whole blocks, so that the temporary arrays stay small.
        let step = state.blockSize * 1024
        let end = outputs.upperBound * module.inputs
        var start = first
        while start < end {
            let next = min(end, (start / step + 1) * step)
            try dequantize(
                start..<next,
                into: UnsafeMutableBufferPointer(rebasing: target[start - first..<next - first]))
            start = next
        }
        module.checkpoint.releasePages(of: info.name)
    }

    private func dequantize(
        _ elements: Range<Int>, into target: UnsafeMutableBufferPointer<Float>
    ) throws {
        let bytes = elements.lowerBound / 2..<(elements.upperBound + 1) / 2
        var packed = [UInt8](repeating: 0, count: bytes.count)
        try packed.withUnsafeMutableBytes {
            try module.checkpoint.read(info.name, bytes: bytes, into: $0)
        }
        let size = state.blockSize
        let blocks = elements.lowerBound / size..<NF4Format.blocks(elements.upperBound, size: size)
        var absmax = [Float](repeating: 0, count: blocks.count)
        try absmax.withUnsafeMutableBufferPointer { try scales.read(blocks, into: $0) }
        let values = state.values
        for (index, block) in blocks.enumerated() {
            let scale = absmax[index]
            for element in elements.clamped(to: block * size..<(block + 1) * size) {
                let byte = packed[element / 2 - bytes.lowerBound]
                let code = element & 1 == 0 ? byte >> 4 : byte & 15
                target[element - elements.lowerBound] = state.dtype.rounded(
                    values[Int(code)] * scale)
            }
        }
    }
}

extension NF4State {
    /// What the form is called.
    var name: String { isFP4 ? "FP4" : NF4Scheme.name }

    /// What the 16 codes stand for.
    var values: [Float] { isFP4 ? NF4Format.fp4Values : NF4Format.values }
}

extension DType {
    /// The nearest value that the type holds; f32 holds all.
    func rounded(_ value: Float) -> Float {
        switch self {
        case .bf16: ElementConversion.float(bfloat16: ElementConversion.bfloat16(value))
        case .f16: ElementConversion.float(half: ElementConversion.half(value))
        default: value
        }
    }
}
