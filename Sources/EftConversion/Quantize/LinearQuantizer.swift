// SPDX-License-Identifier: Apache-2.0
// One linear layer from its stored weight to the tensors of EXL2 on the disk.
import EftFormats
import EftModels
import EftQuant
import EftTensor

/// Quantizes linear layers one at a time, and writes each to a file of its own.
struct LinearQuantizer {
    /// A layer to quantize.
    struct Target {
        /// The path of the quantized layer.
        let name: String
        /// The path of the stored weight; another one for a tied head.
        let source: String
        let inputs: Int
        let outputs: Int
        let hasBias: Bool
        let groups: [EXL2Group]
    }

    let checkpoint: any CheckpointReader
    let folder: String
    let backend: CPUBackend

    /// Most numbers of a run of outputs while weights are read.
    private static let runCount = 1 << 20

    /// Most bytes that quantizing a layer takes besides its Hessian, under `.workspace`.
    static func byteCount(
        inputs: Int, outputs: Int, groups: [EXL2Group], threads: Int
    ) -> Int {
        let table = EXL2Table(groups)
        let run = min(max(runCount / inputs, 1), outputs) * inputs * 4
        let gptq = GPTQ.byteCount(table: table, outputs: outputs)
        let packing = EXL2Packer.byteCount(table: table, outputs: outputs)
        // Scales are searched for while no run of outputs is held.
        let searching = ScaleSearch.byteCount(columns: outputs, threads: threads)
        return inputs * outputs * 4 + gptq + packing + max(run, searching)
    }

    /// The file of a layer.
    func path(_ name: String) -> String { FileSystem.join(folder, name + ".safetensors") }

    /// Quantizes a layer, writes it, reads it back and compares.
    /// - Parameter hessian: of the layer's inputs, factored.
    /// - Throws: `ConversionError`, `FormatError`, `TensorError`.
    func quantize(_ target: Target, hessian: Hessian) throws -> QuantizeReport.Linear {
        do {
            return try quantizeChecked(target, hessian: hessian)
        } catch let error as ConversionError where error.tensor == nil {
            throw ConversionError(
                error.code, error.message, path: error.path ?? checkpoint.path, tensor: target.name)
        }
    }

    private func quantizeChecked(
        _ target: Target, hessian: Hessian
    ) throws -> QuantizeReport.Linear {
        let table = EXL2Table(target.groups)
        let source = try LinearSource(
            module: target.source, checkpoint: checkpoint, inputs: target.inputs,
            outputs: target.outputs)
        let weights = try Matrix(
            rows: target.inputs, columns: target.outputs, ledger: backend.ledger,
            purpose: .workspace)
        let gptq = try GPTQ(weights: weights, table: table, backend: backend)
        try load(source, target, hessian.permutation, into: weights)
        let norm = hessian.energy(weights, backend: backend)
        try load(source, target, hessian.permutation, into: weights)
        try gptq.replaceByRoundingErrors()
        let rounding = hessian.energy(weights, backend: backend)
        try load(source, target, hessian.permutation, into: weights)
        let packer = try EXL2Packer(
            table: table, outputs: target.outputs, ledger: backend.ledger)
        let result = try gptq.quantize(factor: hessian.values, into: packer)
        try write(target, packer, permutation: hessian.permutation)
        let change = try verify(target, source, weights, hessian.permutation)
        let error = max(result.energy - hessian.damp * change, 0)
        return QuantizeReport.Linear(
            name: target.name, inputs: target.inputs, outputs: target.outputs,
            bitsPerWeight: Double(
                EXL2Geometry.storedBits(
                    groups: target.groups, inputs: target.inputs, outputs: target.outputs,
                    bias: target.hasBias)) / Double(target.inputs * target.outputs),
            error: norm > 0 ? error / norm : 0, roundingError: norm > 0 ? rounding / norm : 0)
    }

    private func runs(_ target: Target) -> [Range<Int>] {
        let length = min(max(LinearQuantizer.runCount / target.inputs, 1), target.outputs)
        return stride(from: 0, to: target.outputs, by: length).map {
            $0..<min($0 + length, target.outputs)
        }
    }

    private func run(_ target: Target) throws(TensorError) -> Matrix {
        try Matrix(
            rows: runs(target).first?.count ?? 0, columns: target.inputs, ledger: backend.ledger,
            purpose: .workspace)
    }

    /// Reads a weight `[N][K]` as `[K][N]`, inputs in stored order.
    private func load(
        _ source: LinearSource, _ target: Target, _ permutation: [UInt32], into weights: Matrix
    ) throws {
        let run = try run(target)
        for outputs in runs(target) {
            let count = outputs.count * target.inputs
            try source.dequantize(
                outputs: outputs,
                into: UnsafeMutableBufferPointer(start: run.pointer, count: count))
            guard backend.allFinite(count: count, run.pointer, .f32) else {
                throw ConversionError(.numbers, Numbers.stored)
            }
            nonisolated(unsafe) let (from, to) = (run.pointer, weights.pointer)
            let (inputs, columns) = (target.inputs, target.outputs)
            backend.parallelFor(inputs) { row in
                let line = to + row * columns + outputs.lowerBound
                let column = from + Int(permutation[row])
                for index in 0..<outputs.count { line[index] = column[index * inputs] }
            }
        }
    }

    private func write(_ target: Target, _ packer: EXL2Packer, permutation: [UInt32]) throws {
        var bias: [UInt16]?
        if target.hasBias {
            let buffer = try VectorSource.load(
                target.source + ".bias", count: target.outputs, checkpoint: checkpoint,
                ledger: backend.ledger, purpose: .workspace)
            bias = (0..<target.outputs).map { ElementConversion.half(buffer.floats[$0]) }
            guard bias?.allSatisfy({ $0 & 0x7C00 != 0x7C00 }) ?? true else {
                throw ConversionError(.numbers, "the bias is too large for f16")
            }
        }
        let tensors = try packer.tensors(
            module: target.name, permutation: permutation, bias: bias)
        let writer = try SafetensorsWriter(
            folder: folder, baseName: target.name, tensors: tensors.map(\.info),
            maxShardBytes: .max)
        for tensor in tensors {
            try writer.write(tensor.info.name, UnsafeRawBufferPointer(tensor.bytes.bytes))
        }
        try writer.finish()
    }

    /// Compares what was written with the values that GPTQ went on with; returns the sum of squares of all changes.
    private func verify(
        _ target: Target, _ source: LinearSource, _ weights: Matrix, _ permutation: [UInt32]
    ) throws -> Double {
        let file = try SafetensorsFile(path: path(target.name))
        let written = try LinearSource(
            module: target.name, checkpoint: file, inputs: target.inputs, outputs: target.outputs)
        let run = try run(target)
        var changes = 0.0
        for outputs in runs(target) {
            let values = UnsafeMutableBufferPointer(
                start: run.pointer, count: outputs.count * target.inputs)
            try written.dequantize(outputs: outputs, into: values)
            for (line, output) in outputs.enumerated() {
                for (row, input) in permutation.enumerated()
                where run.pointer[line * target.inputs + Int(input)]
                    != weights.pointer[row * target.outputs + output]
                {
                    throw ConversionError(
                        .damaged, "the packed weight does not decode to what was packed",
                        path: file.path)
                }
            }
            try source.dequantize(outputs: outputs, into: values)
            for (line, output) in outputs.enumerated() {
                var sum: Float = 0
                for (row, input) in permutation.enumerated() {
                    let change =
                        run.pointer[line * target.inputs + Int(input)]
                        - weights.pointer[row * target.outputs + output]
                    sum += change * change
                }
                changes += Double(sum)
            }
        }
        return changes
    }
}
