// SPDX-License-Identifier: Apache-2.0
// Importance matrices out of a text: the mean square of each input of each weight.
import EftFormats
import EftGGUF
import EftModels
import EftNN
import EftTensor

/// Adds up squares of what a model's linear layers read, and writes them as `llama-imatrix` does.
package final class ImportanceCollector {
    /// What one linear layer has read.
    private struct Sums {
        let squares: Buffer
        var rows = 0
    }

    private let weights: [GGUFConverter.WeightInputs]
    private let output: String
    private let backend: CPUBackend
    private let ones: Buffer
    private var sums: [String: Sums] = [:]

    /// Bytes that a collector takes.
    package static func byteCount(_ model: DecoderDescription) -> Int {
        let inputs = inputs(model)
        return inputs.reduce(0) { $0 + $1.bytes } + (inputs.map(\.bytes).max() ?? 0)
    }

    /// Each linear layer, and bytes of its sums, each in lines of its own.
    private static func inputs(_ model: DecoderDescription) -> [(name: String, bytes: Int)] {
        (0..<model.layers).flatMap { model.linears(layer: $0) }.map {
            ($0.name, ($0.inputs * 4 + 63) / 64 * 64)
        }
    }

    /// Takes the memory, and finds which weights of a GGUF file read what.
    /// - Throws: `ConversionError` (`unsupported`) for models that are not written as GGUF, `FormatError` where `output` cannot
    ///   be written, `TensorError` when it does not fit the ledger.
    package init(_ folder: ModelFolder, output: String, backend: CPUBackend) throws {
        let converter = try GGUFConverter(
            folder, output: output, mix: .f16, writesTokenizer: false, backend: backend)
        weights = converter.weightInputs
        self.output = output
        self.backend = backend
        let inputs = Self.inputs(folder.description)
        let whole = try Buffer(
            byteCount: inputs.reduce(0) { $0 + $1.bytes }, ledger: backend.ledger,
            purpose: .workspace)
        ones = try Buffer(
            byteCount: inputs.map(\.bytes).max() ?? 0, ledger: backend.ledger, purpose: .workspace)
        ones.floats.update(repeating: 1, count: ones.floatCount)
        var first = 0
        for (name, bytes) in inputs {
            sums[name] = Sums(squares: Buffer(part: first..<first + bytes, of: whole))
            first += bytes
        }
    }

    /// Adds the squares of an input `[T][K]` of some layers.
    package func add(_ layers: [Linear], _ input: Matrix) {
        let bytes = input.columns * 4
        for layer in layers {
            guard let own = sums[layer.name]?.squares, own.byteCount >= bytes else { continue }
            sums[layer.name]?.rows += input.rows
            backend.addColumnProducts(
                of: input, input, times: Buffer(part: 0..<bytes, of: ones),
                to: Buffer(part: 0..<bytes, of: own))
        }
    }

    /// Writes the file.
    /// - Parameters:
    ///   - text: the name of what was read.
    ///   - chunks: pieces of it, of `length` tokens each.
    /// - Throws: `ConversionError` (`numbers`) for sums that are not finite, `FormatError`.
    package func write(text: String, chunks: Int, length: Int) throws {
        var head = GGUFHeaderWriter()
        head.set("general.type", .text(Array("imatrix".utf8)))
        head.set("imatrix.datasets", .texts([Array(text.utf8)]))
        head.set("imatrix.chunk_count", .whole(chunks))
        head.set("imatrix.chunk_size", .whole(length))
        let tensors = weights.flatMap { weight -> [GGUFHeaderWriter.Tensor] in
            let slices = weight.slices.count
            return [
                .init(name: weight.name + ".in_sum2", dims: [slices, weight.columns], type: .f32),
                .init(name: weight.name + ".counts", dims: [slices, 1], type: .f32),
            ]
        }
        let file = try OutputFile(path: output)
        try file.write(head.bytes(tensors))
        for weight in weights {
            for slice in weight.slices { try write(squares(slice, weight), to: file) }
            try pad(file)
            try write(weight.slices.map { Float(sums[$0.layer]?.rows ?? 0) }, to: file)
            try pad(file)
        }
        try file.publish()
    }

    /// The sums of one matrix in the order of the file's columns.
    private func squares(
        _ slice: GGUFConverter.WeightInputs.Slice, _ weight: GGUFConverter.WeightInputs
    ) throws -> [Float] {
        guard let own = sums[slice.layer]?.squares, own.floatCount >= weight.columns else {
            throw ConversionError(
                .unsupported, "has \(weight.columns) inputs, which are not those of \(slice.layer)",
                path: output, tensor: weight.name)
        }
        let stored = UnsafeBufferPointer(start: own.floats, count: weight.columns)
        guard stored.allSatisfy(\.isFinite) else {
            throw ConversionError(
                .numbers,
                "its inputs on this text are too large, or no numbers; is the model damaged?",
                path: output, tensor: weight.name)
        }
        guard !slice.columnRuns.isEmpty else { return Array(stored) }
        var turned = [Float](repeating: 0, count: weight.columns)
        var from = 0
        for run in slice.columnRuns {
            for (place, index) in run.enumerated() where index < turned.count {
                turned[index] = stored[from + place]
            }
            from += run.count
        }
        return turned
    }

    private func write(_ numbers: [Float], to file: OutputFile) throws {
        try numbers.withUnsafeBytes { try file.write($0) }
    }

    private func pad(_ file: OutputFile) throws {
        let padding = GGUFHeaderWriter.aligned(file.byteCount) - file.byteCount
        try file.write([UInt8](repeating: 0, count: padding))
    }
}

extension GGUFConverter {
    /// A weight of the file, and what each of its matrices is multiplied by.
    struct WeightInputs {
        struct Slice {
            /// The linear layer whose inputs it takes.
            let layer: String
            /// Where its columns stand; empty where they stand in order.
            let columnRuns: [Range<Int>]
        }

        let name: String
        let columns: Int
        let slices: [Slice]
    }

    /// The weights of linear layers. Those that llama.cpp has the other way round have no inputs of their own.
    var weightInputs: [WeightInputs] {
        tensors.compactMap { tensor in
            guard tensor.name.hasPrefix("blk."), tensor.dims.count > 1 else { return nil }
            let parts = origins[tensor.name]
            let count = tensor.dims.count == 3 ? tensor.dims[0] : 1
            let rows = tensor.dims[tensor.dims.count - 2]
            let slices = (0..<count).compactMap { slice -> WeightInputs.Slice? in
                let range = slice * rows..<(slice + 1) * rows
                guard let part = parts.first(where: { !$0.rows(in: range).isEmpty }),
                    part.run.turnedFrom == nil, let matrix = part.matrix,
                    matrix.inputs == tensor.dims.last
                else { return nil }
                return WeightInputs.Slice(layer: matrix.module, columnRuns: part.columnRuns)
            }
            guard slices.count == count, let columns = tensor.dims.last else { return nil }
            return WeightInputs(name: tensor.name, columns: columns, slices: slices)
        }
    }
}
