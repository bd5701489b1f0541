// SPDX-License-Identifier: Apache-2.0
// Writing one tensor of a GGUF file, a run of rows at a time.
import CEftKernels
import EftFormats
import EftGGUF
import EftQuant
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// Writes tensors of a GGUF file out of those of a model.
struct GGUFTensorWriter {
    let checkpoint: any CheckpointReader
    let backend: CPUBackend
    let origins: GGUFOrigins
    let importance: ImportanceMatrix?
    /// The file, for errors.
    let output: String

    /// Numbers of a run of rows at most, unless one row or head has more.
    private static let runCount = 1 << 20

    // MARK: Memory

    /// Rows of a tensor that are made at a time.
    private func step(_ tensor: GGUFHeaderWriter.Tensor) -> Int {
        let columns = tensor.dims[tensor.dims.count - 1]
        let rows = tensor.dims.dropLast().reduce(1, *)
        return min(max(GGUFTensorWriter.runCount / max(columns, 1), 1), rows)
    }

    /// Numbers that are read before they take their places.
    private func scratch(_ tensor: GGUFHeaderWriter.Tensor) -> Int {
        let step = step(tensor)
        return origins[tensor.name].reduce(0) { most, part in
            guard !part.isPlain else { return most }
            let rows = part.run.turnedFrom == nil ? min(step, part.run.count) : part.run.count
            return max(most, rows * part.columns)
        }
    }

    private func rowBytes(_ tensor: GGUFHeaderWriter.Tensor) -> Int {
        let columns = tensor.dims[tensor.dims.count - 1]
        return columns / tensor.type.blockSize * tensor.type.blockBytes
    }

    /// Bytes that writing a tensor takes.
    func byteCount(_ tensor: GGUFHeaderWriter.Tensor) -> Int {
        guard origins[tensor.name].contains(where: { $0.matrix != nil }) else { return 0 }
        let columns = tensor.dims[tensor.dims.count - 1]
        return step(tensor) * (columns * 4 + rowBytes(tensor)) + scratch(tensor) * 4
            + weightCount(tensor) * 4
    }

    /// Matrices of a tensor that have weights of their own.
    private func slices(_ tensor: GGUFHeaderWriter.Tensor) -> Int {
        tensor.dims.count == 3 ? tensor.dims[0] : 1
    }

    /// Weights of a tensor's columns; none where its type leaves no choice.
    private func weightCount(_ tensor: GGUFHeaderWriter.Tensor) -> Int {
        guard importance != nil, tensor.type.isQuantized, tensor.type != .q8_0 else { return 0 }
        return slices(tensor) * tensor.dims[tensor.dims.count - 1]
    }

    // MARK: Writing

    /// How much each column matters; nil where nothing says so.
    private func weights(_ tensor: GGUFHeaderWriter.Tensor) throws -> Matrix? {
        let count = weightCount(tensor)
        guard let importance, count > 0 else { return nil }
        let (slices, columns) = (slices(tensor), tensor.dims[tensor.dims.count - 1])
        let weights = try Matrix(
            rows: slices, columns: columns, ledger: backend.ledger, purpose: .window)
        do throws(GGUFError) {
            let isThere = try importance.weights(
                of: tensor.name, columns: columns, slices: slices,
                into: UnsafeMutableBufferPointer(start: weights.pointer, count: count))
            return isThere ? weights : nil
        } catch { throw FormatError(error) }
    }

    /// Writes a tensor's bytes.
    /// - Parameter advance: is called after each run of rows.
    /// - Throws: `ConversionError`, `FormatError`, `TensorError`, and what `advance` throws.
    func write(
        _ tensor: GGUFHeaderWriter.Tensor, to file: OutputFile, advance: () throws -> Void
    ) throws {
        let parts = origins[tensor.name]
        guard parts.contains(where: { $0.matrix != nil }) else {
            return try vector(tensor, parts).withUnsafeBytes { try file.write($0) }
        }
        let columns = tensor.dims[tensor.dims.count - 1]
        let rows = tensor.dims.dropLast().reduce(1, *)
        let (step, rowBytes, extra) = (step(tensor), rowBytes(tensor), scratch(tensor))
        let values = try Matrix(
            rows: step, columns: columns, ledger: backend.ledger, purpose: .window)
        let scratch =
            extra == 0
            ? nil
            : try Matrix(rows: extra, columns: 1, ledger: backend.ledger, purpose: .window)
        let blocks = try Buffer(
            byteCount: step * rowBytes, ledger: backend.ledger, purpose: .window)
        let weights = try weights(tensor)
        let sliceRows = rows / slices(tensor)
        var sources: [String: LinearSource] = [:]
        for first in stride(from: 0, to: rows, by: step) {
            let chunk = first..<min(first + step, rows)
            for part in parts {
                let wanted = part.rows(in: chunk)
                guard !wanted.isEmpty, let matrix = part.matrix else { continue }
                let source = try sources[matrix.module] ?? open(matrix)
                sources = [matrix.module: source]
                try fill(
                    part, wanted, of: source, chunk: chunk, columns: columns, into: values,
                    scratch)
            }
            let rows = BlockRows(
                type: tensor.type, values: values.pointer, columns: columns, blocks: blocks.base,
                rowBytes: rowBytes, weights: weights?.pointer, firstRow: first,
                sliceRows: sliceRows)
            backend.parallelFor(chunk.count) { rows.fill($0) }
            if tensor.type == .f16 {
                try Numbers.requireFinite(
                    blocks.base, chunk.count * columns,
                    stored: (UnsafeRawPointer(values.pointer), .f32), .f16, tensor.name, backend,
                    path: output)
            }
            try file.write(
                UnsafeRawBufferPointer(rebasing: blocks.bytes[..<(chunk.count * rowBytes)]))
            try advance()
        }
        for part in parts { checkpoint.releasePages(of: part.name) }
    }

    private func open(_ matrix: GGUFOrigins.Matrix) throws -> LinearSource {
        try LinearSource(
            module: matrix.module, checkpoint: checkpoint, inputs: matrix.inputs,
            outputs: matrix.outputs)
    }

    /// Puts rows of the model's tensor into their places among some rows of the stored one.
    private func fill(
        _ part: GGUFOrigins.Part, _ wanted: Range<Int>, of source: LinearSource,
        chunk: Range<Int>, columns: Int, into values: Matrix, _ scratch: Matrix?
    ) throws {
        let outputs = part.firstRow + wanted.lowerBound..<part.firstRow + wanted.upperBound
        func read(_ target: UnsafeMutablePointer<Float>) throws {
            let count = wanted.count * part.columns
            try source.dequantize(
                outputs: outputs, into: UnsafeMutableBufferPointer(start: target, count: count))
            guard backend.allFinite(count: count, target, .f32) else {
                throw ConversionError(
                    .numbers, Numbers.stored, path: checkpoint.path, tensor: part.name)
            }
        }
        guard let scratch, !part.isPlain else {
            let row = part.run.first + wanted.lowerBound - chunk.lowerBound
            return try read(values.pointer + row * columns)
        }
        try read(scratch.pointer)
        if let base = part.run.turnedFrom {
            let stored = chunk.clamped(to: base..<base + part.columns)
            for row in stored {
                let target = values.pointer + (row - chunk.lowerBound) * columns + part.run.first
                for index in wanted {
                    target[index * part.run.step] =
                        scratch.pointer[index * part.columns + row - base]
                }
            }
            return
        }
        for (place, index) in wanted.enumerated() {
            let row = part.run.first + index * part.run.step - chunk.lowerBound
            let target = values.pointer + row * columns
            var from = scratch.pointer + place * part.columns
            for run in part.columnRuns.isEmpty ? [0..<part.columns] : part.columnRuns {
                (target + run.lowerBound).update(from: from, count: run.count)
                from += run.count
            }
        }
    }

    // MARK: Vectors

    private func vector(
        _ tensor: GGUFHeaderWriter.Tensor, _ parts: [GGUFOrigins.Part]
    ) throws -> [Float] {
        var numbers = [Float](repeating: 0, count: tensor.dims.reduce(1, *))
        for part in parts {
            let stored = try checkpoint.floats(of: part.name)
            guard stored.count >= (part.firstRow + part.run.count) * part.columns,
                stored.allSatisfy(\.isFinite)
            else {
                throw ConversionError(
                    .numbers, "does not hold \(numbers.count) finite numbers",
                    path: checkpoint.path, tensor: part.name)
            }
            for index in 0..<part.run.count {
                for column in 0..<part.columns {
                    let number = stored[(part.firstRow + index) * part.columns + column]
                    let place = (part.run.first + index * part.run.step) * part.columns + column
                    numbers[place] =
                        switch part.change {
                        case .none: number
                        case .plus(let shift): number - shift
                        case .logarithm: -exp(number)
                        }
                }
            }
        }
        return numbers
    }

    /// Rows of numbers, and where their blocks go.
    private struct BlockRows {
        let type: GGUFTensorType
        let values: UnsafeMutablePointer<Float>
        let columns: Int
        let blocks: UnsafeMutableRawPointer
        let rowBytes: Int
        /// Weights of the columns, for each of the tensor's matrices.
        let weights: UnsafeMutablePointer<Float>?
        /// The tensor's row that the first one is, and the rows of a matrix.
        let firstRow: Int
        let sliceRows: Int

        func fill(_ row: Int) {
            let source = values + row * columns
            let target = blocks + row * rowBytes
            let numbers = UnsafeBufferPointer(start: source, count: columns)
            let bytes = UnsafeMutableRawBufferPointer(start: target, count: rowBytes)
            switch type {
            case .f32: ElementConversion.encode(numbers, as: .f32, into: bytes)
            case .f16: ElementConversion.encode(numbers, as: .f16, into: bytes)
            case .bf16: ElementConversion.encode(numbers, as: .bf16, into: bytes)
            default:
                if let weights {
                    let own = weights + (firstRow + row) / max(sliceRows, 1) * columns
                    if eft_gguf_quantize_weighted(type.rawValue, columns, source, own, target) {
                        return
                    }
                }
                _ = eft_gguf_quantize(type.rawValue, columns / type.blockSize, source, target)
            }
        }
    }
}
