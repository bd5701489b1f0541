// SPDX-License-Identifier: Apache-2.0
// Weights that are integers times a scale: what GPTQ, AWQ and compressed-tensors have in common.
import CEftKernels
import EftFormats
import EftTensor

/// A weight whose numbers are (code - zero point) x scale, with a scale and a zero point for each output and group of inputs.
///
/// In memory a code counts from the zero point. Where all zero points are the middle of the codes it keeps its width, else it
/// takes one bit more; both are exact. Codes of 8 bits with zero points are held as numbers of the scales' type.
package struct IntegerWeight: Sendable {
    /// The layer.
    let module: LinearModule
    /// The codes.
    let codes: IntegerCodes
    /// The groups.
    let groups: IntegerGroups
    /// Scales and zero points.
    let scales: IntegerScales
    /// What the tensors are called in messages.
    let name: String

    /// The width of a code in memory; nil where numbers are held.
    private var width: Int? {
        let needed = scales.isSymmetric ? codes.bits : codes.bits + 1
        return [2, 3, 4, 5, 6, 8].first { $0 >= needed }
    }

    // MARK: Size

    func layout(as target: WeightTarget) throws -> WeightLayout {
        try module.requireAsStored(target, scheme: name)
        guard let width else {
            return WeightLayout(
                scales.valueType == .f16 ? .f16 : .bf16, inputs: module.inputs,
                outputs: module.outputs)
        }
        return WeightLayout(
            .coded(
                book: .signed, scales: scales.valueType == .f16 ? .f16 : .f32,
                groups: groups.blocks.map { WeightLayout.Group(blocks: $0, bits: width) },
                permuted: !groups.permutation.isEmpty), inputs: module.inputs,
            outputs: module.outputs)
    }

    private var runBytes: Int {
        min(codes.runRows(isPermuted: !groups.permutation.isEmpty), codes.rows) * codes.rowBytes
    }

    func scratchBytes(as target: WeightTarget) throws -> Int {
        _ = try layout(as: target)
        return runBytes + scales.byteCount + (width == nil ? valueBytes : 0)
    }

    /// Outputs that become numbers at a time where codes are not held.
    private var valueRows: Int {
        RowChunks.length(rows: module.outputs, rowBytes: module.inputs * 4, unit: Int(EFT_PANEL))
    }
    private var valueBytes: Int {
        min(valueRows, module.outputs) * module.inputs * 4
    }

    // MARK: Load

    func load(
        as target: WeightTarget, backend: CPUBackend, purpose: MemoryPurpose
    ) throws -> PackedWeight {
        let weight = try PackedWeight(
            layout: layout(as: target), permutation: width == nil ? [] : groups.permutation,
            ledger: backend.ledger, purpose: purpose, workers: backend)
        guard let width else {
            try fillNumbers(weight, backend: backend)
            return weight
        }
        let values = try scales.read(0..<module.outputs)
        fillScales(weight, values)
        let buffer = try Buffer(byteCount: runBytes, ledger: backend.ledger, purpose: .workspace)
        let step = codes.runRows(isPermuted: !groups.permutation.isEmpty)
        for rows in RowChunks.ranges(rows: codes.rows, length: step) {
            let bytes = rows.lowerBound * codes.rowBytes..<rows.upperBound * codes.rowBytes
            try module.checkpoint.read(
                codes.info.name, bytes: bytes,
                into: UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<bytes.count]))
            let packer = IntegerPacker(
                codes: codes, groups: groups, zeros: values.zeros, width: width, weight: weight,
                part: codes.part(rows), source: UnsafeRawPointer(buffer.base))
            packer.run(backend)
        }
        module.checkpoint.releasePages(of: codes.info.name)
        return weight
    }

    private func fillScales(_ weight: PackedWeight, _ values: IntegerScales.Values) {
        let (count, outputs) = (groups.sizes.count, module.outputs)
        let isHalf = scales.valueType == .f16
        for panel in 0..<weight.layout.panels {
            let lanes = min(16, outputs - panel * 16)
            for group in 0..<count {
                let first = group * outputs + panel * 16
                if isHalf {
                    let target = (weight.scales.base + (panel * count + group) * 32)
                        .assumingMemoryBound(to: UInt16.self)
                    for lane in 0..<16 {
                        target[lane] =
                            lane < lanes ? ElementConversion.half(values.scales[first + lane]) : 0
                    }
                } else {
                    let target = (weight.scales.base + (panel * count + group) * 64)
                        .assumingMemoryBound(to: Float.self)
                    for lane in 0..<16 {
                        target[lane] = lane < lanes ? values.scales[first + lane] : 0
                    }
                }
            }
        }
    }

    private func fillNumbers(_ weight: PackedWeight, backend: CPUBackend) throws {
        let floats = try Buffer(
            byteCount: valueBytes, ledger: backend.ledger, purpose: .workspace)
        for rows in RowChunks.ranges(rows: module.outputs, length: valueRows) {
            let values = UnsafeMutableBufferPointer(
                start: floats.floats, count: rows.count * module.inputs)
            try dequantize(outputs: rows, into: values)
            withUnsafePointer(to: weight.descriptor) {
                eft_dense_pack(
                    backend.context, $0, weight.panels.base, floats.floats, EFT_F32,
                    rows.lowerBound, rows.count)
            }
        }
        module.checkpoint.releasePages(of: codes.info.name)
    }

    // MARK: Exact values

    /// Bytes of codes that are decoded at a time, about.
    private static let decodedBytes = 256 << 10

    func dequantize(
        outputs: Range<Int>, into target: UnsafeMutableBufferPointer<Float>
    ) throws {
        precondition(target.count == outputs.count * module.inputs, "size of the target")
        guard let base = target.baseAddress else { return }
        let step = max(IntegerWeight.decodedBytes / max(module.inputs, 1) / 16 * 16, 16)
        for first in stride(from: outputs.lowerBound, to: outputs.upperBound, by: step) {
            try decode(
                first..<min(first + step, outputs.upperBound),
                into: base + (first - outputs.lowerBound) * module.inputs)
        }
    }

    private func decode(_ outputs: Range<Int>, into base: UnsafeMutablePointer<Float>) throws {
        let (inputs, count) = (module.inputs, outputs.count)
        let values = try scales.read(outputs)
        let (bytes, part) = try read(outputs)
        let groupOf = groups.groupOfBlock
        bytes.withUnsafeBytes { bytes in
            guard let source = bytes.baseAddress else { return }
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 512) { buffer in
                guard let block = buffer.baseAddress else { return }
                for first in stride(from: 0, to: count, by: 16) {
                    let lanes = min(16, count - first)
                    for index in groupOf.indices {
                        codes.read(
                            source, part, firstOutput: outputs.lowerBound + first, lanes: lanes,
                            into: block
                        ) { groups.input(index * 32 + $0, of: inputs) }
                        let place = groupOf[index] * count + first
                        for row in 0..<32 {
                            guard let input = groups.input(index * 32 + row, of: inputs) else {
                                break
                            }
                            for lane in 0..<lanes {
                                let code = Int16(block[row * 16 + lane])
                                base[(first + lane) * inputs + input] =
                                    Float(code - values.zeros[place + lane])
                                    * values.scales[place + lane]
                            }
                        }
                    }
                }
            }
        }
    }

    /// The stored codes of some outputs.
    private func read(_ outputs: Range<Int>) throws -> (bytes: [UInt8], part: IntegerCodes.Part) {
        var part = codes.part(0..<codes.rows)
        let columns: Range<Int>
        switch codes.order {
        case .rows, .bytes:
            part.outputs = outputs
            columns = 0..<codes.rowBytes
        case .alongInputs:
            part.outputs = outputs
            columns = outputs.lowerBound * 4..<outputs.upperBound * 4
        case .alongOutputs:
            let (first, end) = (outputs.lowerBound / 8, (outputs.upperBound + 7) / 8)
            part.outputs = first * 8..<end * 8
            columns = first * 4..<end * 4
        }
        part.stride = columns.count
        let isByOutputs = codes.order == .rows || codes.order == .bytes
        let rows = isByOutputs ? outputs : 0..<codes.rows
        var bytes = [UInt8](repeating: 0, count: rows.count * columns.count)
        try bytes.withUnsafeMutableBytes { buffer in
            if columns.count == codes.rowBytes {
                let start = rows.lowerBound * codes.rowBytes
                return try module.checkpoint.read(
                    codes.info.name, bytes: start..<start + buffer.count, into: buffer)
            }
            for row in rows {
                let start = row * codes.rowBytes + columns.lowerBound
                let place = (row - rows.lowerBound) * columns.count
                try module.checkpoint.read(
                    codes.info.name, bytes: start..<start + columns.count,
                    into: UnsafeMutableRawBufferPointer(
                        rebasing: buffer[place..<place + columns.count]))
            }
        }
        return (bytes, part)
    }
}

/// A stored form whose numbers are integers times a scale.
package protocol IntegerScheme: QuantScheme {
    /// The weight, whatever the order of its codes.
    var weight: IntegerWeight { get }
}

extension IntegerScheme {
    package var tensorsInOrder: [TensorInfo] { [weight.codes.info] }
    package var valueType: DType { weight.scales.valueType }

    package func layout(as target: WeightTarget) throws -> WeightLayout {
        try weight.layout(as: target)
    }

    package func scratchBytes(as target: WeightTarget) throws -> Int {
        try weight.scratchBytes(as: target)
    }

    package func load(
        as target: WeightTarget, backend: CPUBackend, purpose: MemoryPurpose
    ) throws -> PackedWeight {
        try weight.load(as: target, backend: backend, purpose: purpose)
    }

    package func dequantize(
        outputs: Range<Int>, into target: UnsafeMutableBufferPointer<Float>
    ) throws {
        try weight.dequantize(outputs: outputs, into: target)
    }
}

/// Packs a part of the stored codes into the panels of a weight, on all workers.
private struct IntegerPacker: @unchecked Sendable {
    let codes: IntegerCodes
    let groups: IntegerGroups
    let zeros: [Int16]
    let width: Int
    let weight: PackedWeight
    let part: IntegerCodes.Part
    let source: UnsafeRawPointer

    func run(_ backend: CPUBackend) {
        let panels = (part.outputs.count + 15) / 16
        withUnsafePointer(to: self) { job in
            eft_parallel_for(
                backend.context, panels,
                { argument, index, _ in
                    argument?.assumingMemoryBound(to: IntegerPacker.self).pointee.packPanel(index)
                }, UnsafeMutableRawPointer(mutating: job))
        }
    }

    private func packPanel(_ index: Int) {
        let first = part.outputs.lowerBound + index * 16
        let panel = first / 16
        let lanes = min(16, part.outputs.upperBound - first)
        let words = (weight.panels.base + panel * weight.layout.panelBytes)
            .assumingMemoryBound(to: UInt32.self)
        let (middle, inputs) = (UInt8(1 << (width - 1)), codes.inputs)
        let isPermuted = !groups.permutation.isEmpty
        let blocks =
            isPermuted
            ? 0..<weight.layout.blocks
            : part.inputs.lowerBound / 32..<(part.inputs.upperBound + 31) / 32
        let groupOf = groups.groupOfBlock
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 512) { buffer in
            guard let block = buffer.baseAddress else { return }
            for index in blocks {
                // What lies beyond inputs and outputs is zero.
                block.update(repeating: middle, count: 512)
                codes.read(source, part, firstOutput: first, lanes: lanes, into: block) {
                    groups.input(index * 32 + $0, of: inputs)
                }
                let zero = groupOf[index] * codes.outputs + first
                let rows = min(32, inputs - index * 32)
                for lane in 0..<lanes {
                    let shift = UInt8(truncatingIfNeeded: Int16(middle) - zeros[zero + lane])
                    guard shift != 0 else { continue }
                    for row in 0..<rows { block[row * 16 + lane] &+= shift }
                }
                eft_codes_pack(UInt32(width), block, words + index * width * 16)
            }
        }
    }
}
