// SPDX-License-Identifier: Apache-2.0
// 8-bit weights of bitsandbytes checkpoints: `<module>.weight` in signed bytes, and a scale for each output.
import CEftKernels
import EftFormats
import EftTensor

/// A weight that bitsandbytes quantized to 8 bits (LLM.int8).
///
/// `<module>.weight` [N, K] in I8, `<module>.SCB` [N] in f32, and `<module>.weight_format`, one byte that is 0: rows one after
/// the other.
package struct Int8Scheme: QuantScheme {
    package static let name = "LLM.int8"

    private let module: LinearModule
    private let info: TensorInfo
    private let scales: TensorInfo
    package let storedTensors: [TensorInfo]

    package static func holds(_ module: String, in checkpoint: any CheckpointReader) -> Bool {
        checkpoint.find(module + Int8Format.scaleSuffix) != nil
    }

    package init(_ module: LinearModule) throws {
        let info = try module.tensor("weight", .i8, [module.outputs, module.inputs])
        let scales = try module.realTensor("SCB", [module.outputs])
        var stored = [info, scales]
        if module.checkpoint.find(module.name + ".weight_format") != nil {
            let format = try module.tensor("weight_format", .u8)
            guard try module.checkpoint.bytes(of: format.name) == [0] else {
                throw module.error(
                    .unsupported, "weight_format",
                    "is not 0; only weights whose rows stand one after the other are read")
            }
            stored.append(format)
        }
        (self.module, self.info, self.scales) = (module, info, scales)
        storedTensors = stored
    }

    package var tensorsInOrder: [TensorInfo] { [info] }
    package var valueType: DType { .f16 }

    // MARK: Size

    package func layout(as target: WeightTarget) throws -> WeightLayout {
        if target != .int8 { try module.requireAsStored(target, scheme: Int8Scheme.name) }
        return Int8Format.layout(inputs: module.inputs, outputs: module.outputs)
    }

    /// Rows that are read at a time.
    private var runRows: Int {
        RowChunks.length(
            rows: module.outputs, rowBytes: module.inputs * 5, unit: Int(EFT_PANEL))
    }

    package func scratchBytes(as target: WeightTarget) throws -> Int {
        let isCoded = try layout(as: target).groupCount > 0
        return min(runRows, module.outputs) * module.inputs * (isCoded ? 1 : 5)
            + module.outputs * 4
    }

    // MARK: Load

    private func absmax() throws -> [Float] {
        let values = try module.checkpoint.floats(of: scales.name)
        guard values.allSatisfy({ $0.isFinite && $0 >= 0 }) else {
            throw module.error(.damaged, "SCB", "holds infinite, negative or NaN scales")
        }
        return values
    }

    package func load(
        as target: WeightTarget, backend: CPUBackend, purpose: MemoryPurpose
    ) throws -> PackedWeight {
        let weight = try PackedWeight(
            layout: layout(as: target), ledger: backend.ledger, purpose: purpose, workers: backend)
        let (rows, inputs) = (min(runRows, module.outputs), module.inputs)
        let absmax = try absmax()
        let bytes = try Buffer(
            byteCount: rows * inputs, ledger: backend.ledger, purpose: .workspace)
        let isCoded = weight.layout.groupCount > 0
        let floats = try Buffer(
            byteCount: isCoded ? 0 : rows * inputs * 4, ledger: backend.ledger,
            purpose: .workspace)
        for range in RowChunks.ranges(rows: module.outputs, length: runRows) {
            let count = range.count * inputs
            let start = range.lowerBound * inputs
            try module.checkpoint.read(
                info.name, bytes: start..<start + count,
                into: UnsafeMutableRawBufferPointer(rebasing: bytes.bytes[..<count]))
            absmax[range].withUnsafeBufferPointer { scales in
                guard let base = scales.baseAddress else { return }
                weight.setInt8(
                    bytes.base.assumingMemoryBound(to: Int8.self), base, rows: range,
                    scratch: isCoded ? nil : floats.floats, context: backend.context)
            }
        }
        module.checkpoint.releasePages(of: info.name)
        return weight
    }

    package func dequantize(
        outputs: Range<Int>, into target: UnsafeMutableBufferPointer<Float>
    ) throws {
        let k = module.inputs
        precondition(target.count == outputs.count * k, "size of the target")
        let absmax = try absmax()
        var codes = [UInt8](repeating: 0, count: target.count)
        try codes.withUnsafeMutableBytes {
            try module.checkpoint.read(
                info.name, bytes: outputs.lowerBound * k..<outputs.upperBound * k, into: $0)
        }
        for (index, code) in codes.enumerated() {
            target[index] =
                Float(Int8(bitPattern: code)) * absmax[outputs.lowerBound + index / k]
                * Int8Format.step
        }
    }
}
