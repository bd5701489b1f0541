// SPDX-License-Identifier: Apache-2.0
// A decoder's weights back to a Hugging Face checkpoint.
import CEftKernels
import EftFormats
import EftNN
import EftTensor

/// Writes the weights of a decoder held in dense formats as sharded safetensors.
package struct DecoderSaver {
    private let decoder: Decoder
    private let backend: CPUBackend
    private let dtype: DType

    /// Prepares to write numbers of type f32, f16 or bf16.
    package init(decoder: Decoder, backend: CPUBackend, dtype: DType) {
        precondition(dtype == .f32 || dtype == .f16 || dtype == .bf16)
        self.decoder = decoder
        self.backend = backend
        self.dtype = dtype
    }

    private enum Source {
        case weight(PackedWeight)
        /// A weight that the checkpoint has as [inputs, outputs].
        case turned(PackedWeight)
        /// Numbers of learned positions.
        case matrix(Matrix)
        /// Numbers, and what the checkpoint takes away from them.
        case vector(Buffer, offset: Float = 0)
        /// Weights, or biases, of all experts in one tensor.
        case stack(StackedWeights)
        case stackedBiases(StackedWeights)
    }

    private var entries: [(name: String, source: Source)] {
        var all: [(String, Source)] = [
            (decoder.description.embeddingName + ".weight", .weight(decoder.embedding))
        ]
        if let positions = decoder.positions {
            all.append((positions.name, .matrix(positions.table)))
        }
        func append(_ norm: Norm) {
            all.append((norm.name + ".weight", .vector(norm.weight, offset: norm.offset)))
            if let bias = norm.bias { all.append((norm.name + ".bias", .vector(bias))) }
        }
        for layer in decoder.layers {
            let stacks = StackedWeights.all(of: layer, decoder.description)
            let stacked = Set(stacks.flatMap { $0.linears.map(\.name) })
            for linear in layer.linears where !stacked.contains(linear.name) {
                all.append(
                    (
                        linear.name + ".weight",
                        decoder.description.storesByInputs
                            ? .turned(linear.weight) : .weight(linear.weight)
                    ))
                if let bias = linear.bias { all.append((linear.name + ".bias", .vector(bias))) }
            }
            for stack in stacks {
                all.append((stack.tensor.weight, .stack(stack)))
                if let bias = stack.tensor.bias { all.append((bias, .stackedBiases(stack))) }
            }
            layer.norms.forEach(append)
            if let sinks = layer.sinks { all.append((sinks.name, .vector(sinks.scores))) }
            all += layer.vectors.map { ($0.name, .vector($0.values)) }
            if case .mixture(let mixture) = layer.feedForward, let numbers = mixture.correction,
                let shape = decoder.description.vectors(layer: layer.index)
                    .first(where: { $0.role == .correction })
            {
                all.append((shape.name, .vector(numbers)))
            }
        }
        append(decoder.finalNorm)
        if !decoder.description.tiedEmbeddings {
            all.append((decoder.head.name + ".weight", .weight(decoder.head.weight)))
        }
        if let bias = decoder.head.bias {
            all.append((decoder.head.name + ".bias", .vector(bias)))
        }
        return all
    }

    /// Writes `model.safetensors` (or shards with an index) into a folder.
    /// - Throws: `FormatError`, `TensorError`, `ModelError` when layers are streamed.
    package func save(to folder: String) throws {
        guard decoder.streams.allSatisfy({ $0 == nil }), decoder.expertStreams.isEmpty else {
            throw ModelError(
                .unsupported,
                "a streamed model is not written again; its own folder has its weights")
        }
        let infos = try entries.map { entry in
            let shape: Shape =
                switch entry.source {
                case .weight(let weight): Shape(weight.outputs, weight.inputs)
                case .turned(let weight): Shape(weight.inputs, weight.outputs)
                case .matrix(let matrix): Shape(matrix.rows, matrix.columns)
                case .vector(let buffer, _): try shape(ofVector: entry.name, buffer)
                case .stack(let stack): stack.weightShape
                case .stackedBiases(let stack): stack.biasShape
                }
            return try TensorInfo(name: entry.name, dtype: dtype, shape: shape)
        }
        let writer = try SafetensorsWriter(
            folder: folder, baseName: "model", tensors: infos, metadata: ["format": "pt"])
        for entry in entries {
            switch entry.source {
            case .weight(let weight): try write(weight, name: entry.name, writer)
            case .turned(let weight): try writeTurned(weight, name: entry.name, writer)
            case .matrix(let matrix): try write(matrix, name: entry.name, writer)
            case .vector(let buffer, let offset):
                var numbers = (0..<buffer.floatCount).map { buffer.floats[$0] - offset }
                try numbers.withUnsafeMutableBufferPointer {
                    guard let base = $0.baseAddress else { return }
                    try write(base, count: $0.count, name: entry.name, writer)
                }
            case .stack(let stack):
                for expert in stack.byExpert {
                    let extents = (inputs: expert.inputs, outputs: expert.outputs)
                    let gather: Gather = { expert.gather($0, into: $1, backend) }
                    if stack.isTransposed {
                        try writeTurned(extents, entry.name, writer, gather: gather)
                    } else {
                        try write(extents, entry.name, writer, gather: gather)
                    }
                }
            case .stackedBiases(let stack):
                for place in stack.linears.indices {
                    var numbers = stack.bias(place)
                    try numbers.withUnsafeMutableBufferPointer {
                        guard let base = $0.baseAddress else { return }
                        try write(base, count: $0.count, name: entry.name, writer)
                    }
                }
            }
        }
        try writer.finish()
    }

    /// Some vectors have several extents, such as the correction of a router that is a matrix of one row.
    private func shape(ofVector name: String, _ buffer: Buffer) throws(TensorError) -> Shape {
        for layer in 0..<decoder.description.layers {
            let vectors = decoder.description.vectors(layer: layer)
            if let vector = vectors.first(where: { $0.name == name }) {
                return try Shape(checking: vector.extents)
            }
        }
        return Shape(buffer.floatCount)
    }

    func write(_ weight: PackedWeight, name: String, _ writer: SafetensorsWriter) throws {
        try write((weight.inputs, weight.outputs), name, writer) {
            backend.gather(weight, rows: $0.map(Int32.init), into: $1)
        }
    }

    private func writeTurned(
        _ weight: PackedWeight, name: String, _ writer: SafetensorsWriter
    ) throws {
        try writeTurned((weight.inputs, weight.outputs), name, writer) {
            backend.gather(weight, rows: $0.map(Int32.init), into: $1)
        }
    }

    /// Copies rows, one an output, into a matrix.
    private typealias Gather = (_ outputs: Range<Int>, _ rows: Matrix) -> Void

    /// Rows at a time, so that no second copy of the tensor is ever held.
    private func write(
        _ extents: (inputs: Int, outputs: Int), _ name: String, _ writer: SafetensorsWriter,
        gather: Gather
    ) throws {
        let chunk = max(1, (1 << 20) / extents.inputs)
        let rows = try Matrix(
            rows: min(chunk, extents.outputs), columns: extents.inputs, ledger: backend.ledger,
            purpose: .workspace)
        for first in stride(from: 0, to: extents.outputs, by: chunk) {
            let range = first..<min(first + chunk, extents.outputs)
            let part = rows.rows(0..<range.count)
            gather(range, part)
            try write(part.pointer, count: part.count, name: name, writer)
        }
    }

    /// Columns at a time, for each of which all rows are looked at in turn.
    private func writeTurned(
        _ extents: (inputs: Int, outputs: Int), _ name: String, _ writer: SafetensorsWriter,
        gather: Gather
    ) throws {
        let (inputs, outputs) = extents
        // Both together are no more than what other weights take at a time.
        let most = max(1, min(1 << 19, inputs * outputs / 2))
        let chunk = max(1, min(inputs, most / outputs))
        let columns = try Matrix(
            rows: chunk, columns: outputs, ledger: backend.ledger, purpose: .workspace)
        let rows = try Matrix(
            rows: min(max(1, most / inputs), outputs), columns: inputs,
            ledger: backend.ledger, purpose: .workspace)
        for first in stride(from: 0, to: inputs, by: chunk) {
            let count = min(chunk, inputs - first)
            for start in stride(from: 0, to: outputs, by: rows.rows) {
                let part = rows.rows(0..<min(rows.rows, outputs - start))
                gather(start..<start + part.rows, part)
                for row in 0..<part.rows {
                    let source = part.pointer + row * inputs + first
                    for column in 0..<count {
                        columns.pointer[column * outputs + start + row] = source[column]
                    }
                }
            }
            try write(columns.pointer, count: count * outputs, name: name, writer)
        }
    }

    /// Rows at a time.
    private func write(_ matrix: Matrix, name: String, _ writer: SafetensorsWriter) throws {
        let chunk = max(1, (1 << 19) / max(matrix.columns, 1))
        for first in stride(from: 0, to: matrix.rows, by: chunk) {
            let part = matrix.rows(first..<min(first + chunk, matrix.rows))
            try write(part.pointer, count: part.count, name: name, writer)
        }
    }

    func write(
        _ values: UnsafeMutablePointer<Float>, count: Int, name: String, _ writer: SafetensorsWriter
    ) throws {
        let converted = try Buffer(
            byteCount: count * dtype.byteWidth, ledger: backend.ledger, purpose: .workspace)
        let type = dtype == .f32 ? EFT_F32 : dtype == .f16 ? EFT_F16 : EFT_BF16
        eft_convert(backend.context, count, values, EFT_F32, converted.base, type)
        try writer.write(name, UnsafeRawBufferPointer(converted.bytes))
    }
}
