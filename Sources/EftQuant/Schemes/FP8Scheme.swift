// SPDX-License-Identifier: Apache-2.0
// Weights in 8-bit floating point with scales, held as they are.
import CEftKernels
import EftFormats
import EftTensor

/// A weight of E4M3 numbers with a scale for each block of rows and columns (`FP8Checkpoint`).
///
/// In memory the numbers stay, and each output has a scale in f32 for 128 inputs, or for fewer where blocks are shorter. In any
/// other form that is asked for, and where blocks are no multiples of 32 inputs, the weight is the bf16 numbers of the view.
package struct FP8Scheme: QuantScheme {
    package static let name = "FP8"

    private let module: LinearModule
    private let dense: DenseScheme
    private let codes: TensorInfo
    private let scales: TensorInfo
    private let block: (rows: Int, columns: Int)

    package static func holds(_ module: String, in checkpoint: any CheckpointReader) -> Bool {
        guard checkpoint.quantization?.method == .fp8,
            let codes = checkpoint.find(FP8Checkpoint.codes(module + ".weight")),
            let scales = checkpoint.find(FP8Checkpoint.scales(module + ".weight")),
            let block = FP8Checkpoint.block(of: codes, scales: scales, checkpoint.quantization)
        else { return false }
        return block.columns % 32 == 0 || scales.shape.dims[1] == 1
    }

    package init(_ module: LinearModule) throws {
        dense = try DenseScheme(module)
        let weight = module.name + ".weight"
        codes = try module.checkpoint.tensor(FP8Checkpoint.codes(weight))
        scales = try module.checkpoint.tensor(FP8Checkpoint.scales(weight))
        guard codes.shape.dims == [module.outputs, module.inputs],
            let block = FP8Checkpoint.block(
                of: codes, scales: scales, module.checkpoint.quantization)
        else {
            throw module.wrongShape(
                "weight", found: codes.shape.dims, expected: [module.outputs, module.inputs])
        }
        self.module = module
        self.block = block
    }

    package var storedTensors: [TensorInfo] { [codes, scales] }
    package var tensorsInOrder: [TensorInfo] { [codes] }
    package var valueType: DType { .bf16 }

    // MARK: Size

    /// Blocks of 32 inputs that share a scale in memory.
    private static let groupBlocks = 4

    /// The blocks of 32 inputs of each group, and the column of scales that it takes.
    private var groups: [(blocks: Int, column: Int)] {
        stride(from: 0, to: module.inputs, by: block.columns).enumerated().flatMap {
            column, first in
            let inputs = min(block.columns, module.inputs - first)
            let blocks = (inputs + 31) / 32
            return stride(from: 0, to: blocks, by: FP8Scheme.groupBlocks).map {
                (min(FP8Scheme.groupBlocks, blocks - $0), column)
            }
        }
    }

    package func layout(as target: WeightTarget) throws -> WeightLayout {
        guard target == .asStored else { return dense.layout(as: target) }
        return WeightLayout(
            .coded(
                book: .e4m3, scales: .f32,
                groups: groups.map { WeightLayout.Group(blocks: $0.blocks, bits: 8) },
                permuted: false), inputs: module.inputs, outputs: module.outputs)
    }

    /// Rows whose codes are read at a time.
    private var runRows: Int {
        RowChunks.length(rows: module.outputs, rowBytes: module.inputs, unit: 16)
    }
    private var runBytes: Int { min(runRows, module.outputs) * module.inputs }

    package func scratchBytes(as target: WeightTarget) -> Int {
        guard target == .asStored else { return dense.scratchBytes(as: target) }
        return runBytes + scales.shape.count * 4
    }

    // MARK: Load

    package func load(
        as target: WeightTarget, backend: CPUBackend, purpose: MemoryPurpose
    ) throws -> PackedWeight {
        guard target == .asStored else {
            return try dense.load(as: target, backend: backend, purpose: purpose)
        }
        let weight = try PackedWeight(
            layout: layout(as: target), ledger: backend.ledger, purpose: purpose, workers: backend)
        try fillScales(weight, backend)
        let buffer = try Buffer(byteCount: runBytes, ledger: backend.ledger, purpose: .workspace)
        let inputs = module.inputs
        for rows in RowChunks.ranges(rows: module.outputs, length: runRows) {
            let count = rows.count * inputs
            try module.checkpoint.read(
                codes.name, bytes: rows.lowerBound * inputs..<rows.upperBound * inputs,
                into: UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<count]))
            let bytes = buffer.base.assumingMemoryBound(to: UInt8.self)
            guard eft_e4m3_all_numbers(count, bytes) else {
                throw FormatError(
                    .damaged,
                    "rows \(rows.lowerBound) to \(rows.upperBound - 1) hold infinite or NaN values",
                    path: module.checkpoint.path, tensor: module.name + ".weight")
            }
            withUnsafePointer(to: weight.descriptor) {
                eft_fp8_pack(
                    backend.context, $0, weight.panels.base, bytes, rows.lowerBound, rows.count)
            }
            module.checkpoint.releasePages(of: codes.name)
        }
        return weight
    }

    private func fillScales(_ weight: PackedWeight, _ backend: CPUBackend) throws {
        let room = try Buffer(
            byteCount: scales.shape.count * 4, ledger: backend.ledger, purpose: .workspace)
        let stored = UnsafeMutableBufferPointer(start: room.floats, count: scales.shape.count)
        try module.checkpoint.readFloats(
            scales.name, elements: 0..<scales.shape.count, into: stored)
        guard stored.allSatisfy(\.isFinite) else {
            throw FormatError(
                .damaged, "holds infinite or NaN scales", path: module.checkpoint.path,
                tensor: module.name + ".weight")
        }
        let (groups, columns) = (groups, scales.shape.dims[1])
        let target = weight.scales.floats
        for panel in 0..<weight.layout.panels {
            for (index, group) in groups.enumerated() {
                for lane in 0..<16 {
                    let output = panel * 16 + lane
                    target[(panel * groups.count + index) * 16 + lane] =
                        output < module.outputs
                        ? stored[output / block.rows * columns + group.column] : 0
                }
            }
        }
    }

    // MARK: Exact values

    /// Outputs whose codes are decoded at a time.
    private static let decodedRows = 64

    package func dequantize(
        outputs: Range<Int>, into target: UnsafeMutableBufferPointer<Float>
    ) throws {
        precondition(target.count == outputs.count * module.inputs, "size of the target")
        let (inputs, columns) = (module.inputs, scales.shape.dims[1])
        for first in stride(
            from: outputs.lowerBound, to: outputs.upperBound, by: FP8Scheme.decodedRows)
        {
            let rows = first..<min(first + FP8Scheme.decodedRows, outputs.upperBound)
            var bytes = [UInt8](repeating: 0, count: rows.count * inputs)
            try bytes.withUnsafeMutableBytes {
                try module.checkpoint.read(
                    codes.name, bytes: rows.lowerBound * inputs..<rows.upperBound * inputs, into: $0
                )
            }
            let blocks = rows.lowerBound / block.rows...(rows.upperBound - 1) / block.rows
            var factors = [Float](repeating: 0, count: blocks.count * columns)
            try factors.withUnsafeMutableBufferPointer {
                try module.checkpoint.readFloats(
                    scales.name,
                    elements: blocks.lowerBound * columns..<(blocks.upperBound + 1) * columns,
                    into: $0)
            }
            for row in rows {
                let line = (row - rows.lowerBound) * inputs
                let place = (row - outputs.lowerBound) * inputs
                let scale = (row / block.rows - blocks.lowerBound) * columns
                for input in 0..<inputs {
                    target[place + input] =
                        eft_e4m3_value(bytes[line + input])
                        * factors[scale + input / block.columns]
                }
            }
        }
    }
}
