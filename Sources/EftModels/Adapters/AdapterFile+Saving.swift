// SPDX-License-Identifier: Apache-2.0
// Writing PEFT adapter folders.
import EftFormats
import EftNN
import EftTensor

extension AdapterFile {
    /// Embedding and head that are saved with an adapter.
    package struct Ends: Sendable {
        /// Whether the embedding is saved.
        package var embedding: Bool
        /// Whether the head is saved.
        package var head: Bool
        /// The device that converts them.
        package var backend: CPUBackend
        /// The type in which they are written.
        package var dtype: DType

        /// Chooses.
        package init(embedding: Bool, head: Bool, backend: CPUBackend, dtype: DType) {
            self.embedding = embedding
            self.head = head
            self.backend = backend
            self.dtype = dtype
        }

        fileprivate func weights(_ decoder: Decoder) -> [(name: String, weight: PackedWeight)] {
            let description = decoder.description
            return (embedding ? [(description.embeddingName, decoder.embedding)] : [])
                + (head ? [(description.headName, decoder.head.weight)] : [])
        }
    }

    /// Writes the adapter of a slot.
    /// - Parameters:
    ///   - start: the slot of an adapter whose product is taken away, as PiSSA begins: then one of the ranks of both is written,
    ///     which has both in it.
    ///   - startTimes: how many times the adapter's rank that one has.
    /// - Throws: `FormatError` when the folder cannot be written.
    package static func save(
        _ decoder: Decoder, slot: Int, start: Int? = nil, startTimes: Int = 1,
        config: AdapterConfig,
        ends: Ends? = nil, to folder: String
    ) throws {
        try FileSystem.createFolder(folder)
        let stacked = StackedAdapters(config.targetParameters, decoder.description)
        var parts = try self.parts(stacked, decoder, slot: slot)
        for linear in decoder.linears + [decoder.head] where !stacked.contains(linear.name) {
            guard let adapter = linear.adapters[slot] else { continue }
            let taken = start.flatMap { linear.adapters[$0] }
            parts += try self.parts(adapter, without: taken, path: prefix + linear.name)
        }
        if let adapter = decoder.embeddingAdapters[slot] {
            let names = embeddingNames(decoder.description)
            parts += [try Part(names[0], adapter.a), try Part(names[1], adapter.b)]
        }
        parts += try decoder.trainedRows.map { try Part($0.parameter.name, $0.matrix) }
        if let ends {
            let saver = DecoderSaver(decoder: decoder, backend: ends.backend, dtype: ends.dtype)
            for (name, weight) in ends.weights(decoder) {
                let info = try TensorInfo(
                    name: prefix + name + ".weight", dtype: ends.dtype,
                    shape: Shape(weight.outputs, weight.inputs))
                parts.append(
                    Part(info: info) { try saver.write(weight, name: info.name, $0) })
            }
            if ends.head, let bias = decoder.head.bias {
                let info = try TensorInfo(
                    name: prefix + decoder.head.name + ".bias", dtype: ends.dtype,
                    shape: Shape(bias.floatCount))
                parts.append(
                    Part(info: info) {
                        try saver.write(bias.floats, count: bias.floatCount, name: info.name, $0)
                    })
            }
        }
        // The settings wait on the disk until the weights are whole, so that a full disk leaves the older pair.
        let settings = try OutputFile(path: FileSystem.join(folder, "adapter_config.json"))
        let saved = start == nil ? config : config.widened(by: 1 + startTimes)
        try settings.write(Array(saved.json.utf8))
        try settings.seal()
        let writer = try SafetensorsWriter(
            folder: folder, baseName: "adapter_model", tensors: parts.map(\.info),
            metadata: ["format": "pt"])
        for part in parts { try part.write(writer) }
        try writer.finish()
        try settings.publish()
    }

    /// The tensors of stacked adapters.
    private static func parts(
        _ stacked: StackedAdapters, _ decoder: Decoder, slot: Int
    ) throws -> [Part] {
        guard !stacked.isEmpty else { return [] }
        let adapters = Dictionary(
            decoder.linears.compactMap { linear in
                linear.adapters[slot].map { (linear.name, $0) }
            }, uniquingKeysWith: { first, _ in first })
        return try stacked.products.flatMap { layer in
            try layer.flatMap { product in
                let own = product.parts.compactMap { part in
                    adapters[part.linear.name].map { (part, $0) }
                }
                guard own.count == product.parts.count else { return [Part]() }
                return try self.parts(product, own, hasOther: layer.count > 1)
            }
        }
    }

    /// A with the ranks of all experts, and B, of whose rows each rank has the numbers of all experts.
    private static func parts(
        _ product: StackedAdapter, _ own: [(part: StackedAdapter.Part, adapter: LoRA)],
        hasOther: Bool
    ) throws -> [Part] {
        guard let rank = own.first?.adapter.rank else { return [] }
        let names = product.names(hasOther: hasOther)
        let (nameA, nameB) = (prefix + names.a, prefix + names.b)
        let width = rank * product.experts
        let a = try TensorInfo(name: nameA, dtype: .f32, shape: Shape(width, product.inputs))
        let b = try TensorInfo(name: nameB, dtype: .f32, shape: Shape(product.outputs, width))
        return [
            Part(info: a) { writer in
                for (part, adapter) in own where !part.sharesA {
                    try writer.write(nameA, bytes(adapter.a))
                }
            },
            Part(info: b) { writer in
                var rows = [[(expert: Int, adapter: LoRA, output: Int)]](
                    repeating: [], count: product.outputs)
                for (part, adapter) in own {
                    for output in 0..<part.linear.outputs {
                        rows[part.row(ofOutput: output)].append((part.expert, adapter, output))
                    }
                }
                var numbers = [Float](repeating: 0, count: width)
                for row in rows {
                    for (expert, adapter, output) in row {
                        for index in 0..<rank {
                            numbers[index * product.experts + expert] =
                                adapter.b.pointer[output * rank + index]
                        }
                    }
                    try numbers.withUnsafeBytes { try writer.write(nameB, $0) }
                }
            },
        ]
    }

    /// A tensor and what writes it.
    private struct Part {
        let info: TensorInfo
        let write: (SafetensorsWriter) throws -> Void

        init(info: TensorInfo, write: @escaping (SafetensorsWriter) throws -> Void) {
            self.info = info
            self.write = write
        }

        /// A matrix as it stands in memory.
        init(_ name: String, _ matrix: Matrix) throws {
            self.init(
                info: try TensorInfo(
                    name: name, dtype: .f32, shape: Shape(matrix.rows, matrix.columns))
            ) { try $0.write(name, AdapterFile.bytes(matrix)) }
        }
    }

    private static func bytes(_ matrix: Matrix) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: matrix.pointer, count: matrix.count * 4)
    }

    /// The tensors of a linear layer's adapter; with one whose product is taken away, the rows of both A, and the columns of B
    /// beside those of the other's B with the sign of its scale.
    private static func parts(
        _ adapter: LoRA, without taken: LoRA?, path: String
    ) throws -> [Part] {
        guard let taken else {
            let lengths = try adapter.magnitude.map { magnitude in
                let name = path + Magnitude.suffix
                let values = Matrix(
                    sharing: magnitude.values, rows: 1, columns: magnitude.values.floatCount)
                return Part(
                    info: try TensorInfo(name: name, dtype: .f32, shape: Shape(values.columns))
                ) { try $0.write(name, bytes(values)) }
            }
            return [try Part(path + suffixes.a, adapter.a), try Part(path + suffixes.b, adapter.b)]
                + (lengths.map { [$0] } ?? [])
        }
        let (left, right) = (adapter.b, taken.b)
        let (nameA, nameB) = (path + suffixes.a, path + suffixes.b)
        let rank = left.columns + right.columns
        let a = try TensorInfo(name: nameA, dtype: .f32, shape: Shape(rank, adapter.a.columns))
        let b = try TensorInfo(name: nameB, dtype: .f32, shape: Shape(left.rows, rank))
        return [
            Part(info: a) { writer in
                for matrix in [adapter.a, taken.a] { try writer.write(nameA, bytes(matrix)) }
            },
            Part(info: b) { writer in
                for first in stride(from: 0, to: left.rows, by: 256) {
                    var rows: [Float] = []
                    for row in first..<min(first + 256, left.rows) {
                        rows += left.rows(row..<row + 1).array
                        rows += right.rows(row..<row + 1).array.map { -$0 }
                    }
                    try rows.withUnsafeBytes { try writer.write(nameB, $0) }
                }
            },
        ]
    }
}
