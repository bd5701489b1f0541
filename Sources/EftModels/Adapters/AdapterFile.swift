// SPDX-License-Identifier: Apache-2.0
// PEFT adapter folders: adapter_config.json and adapter_model.safetensors; llama.cpp's files are read as such.
import EftConfig
import EftFormats
import EftNN
import EftTensor

/// Reads and writes LoRA adapters as PEFT does.
///
/// | tensor | shape |
/// |---|---|
/// | `base_model.model.<path>.lora_A.weight` | [r, in] |
/// | `base_model.model.<path>.lora_B.weight` | [out, r] |
/// | `base_model.model.<path>.lora_magnitude_vector` | [out], with DoRA; older files have `.weight` behind it |
/// | `base_model.model.<path>.lora_embedding_A` | [r, V], of an embedding |
/// | `base_model.model.<path>.lora_embedding_B` | [C, r] |
/// | `base_model.model.<path>.token_adapter.trainable_tokens_delta` | [tokens, C], rows that are trained alone |
/// | `base_model.model.<path>.weight` | [V, C], of an embedding or head that is saved whole |
package enum AdapterFile {
    /// What stands before the path of a module in the names of tensors.
    package static let prefix = "base_model.model."

    /// Loads an adapter into a decoder, and returns its slot.
    /// - Throws: `ModelError` (`mismatch`) when it does not fit the decoder.
    package static func load(_ folder: String, into decoder: Decoder) throws -> Int {
        let config = try AdapterConfig.read(folder: folder)
        if config.scores != decoder.description.scores?.kind {
            guard config.scores == nil else {
                throw ScoreHead.refusal("the adapter", path: folder)
            }
            throw ModelError(
                .mismatch, "the adapter was trained on a language model, and the base scores",
                path: folder)
        }
        let stacked = StackedAdapters(config.targetParameters, decoder.description)
        let checkpoint = try open(folder, stacked, decoder.description)
        var unused = Set(checkpoint.tensors.map(\.name))
        let slot = decoder.freeAdapterSlot
        var loaded: [(Linear, LoRA)] = []
        var owners: [String: LoRA] = [:]
        for (linear, ledger) in decoder.placedLinears {
            let path = prefix + linear.name
            let names = (a: path + ".lora_A.weight", b: path + ".lora_B.weight")
            guard checkpoint.find(names.a) != nil || checkpoint.find(names.b) != nil else {
                continue
            }
            let (rank, scale) = stacked.settings(linear.name, in: config)
            try check(checkpoint, names.a, [rank, linear.weight.inputs])
            try check(checkpoint, names.b, [linear.weight.outputs, rank])
            let adapter = try LoRA(
                inputs: linear.weight.inputs, outputs: linear.weight.outputs, rank: rank,
                scale: Float(scale), dropout: Float(config.dropout),
                hasMagnitude: config.usesDora,
                sharingAOf: stacked.owner(ofAOf: linear.name).flatMap { owners[$0] }, ledger: ledger
            )
            if stacked.contains(linear.name) { owners[linear.name] = adapter }
            try read(checkpoint, names.a, into: adapter.a.buffer)
            try read(checkpoint, names.b, into: adapter.b.buffer)
            unused.subtract([names.a, names.b])
            if let magnitude = adapter.magnitude {
                let name = try magnitudeName(of: linear.name, in: checkpoint, decoder.description)
                try check(checkpoint, name, [linear.weight.outputs])
                try read(checkpoint, name, into: magnitude.values)
                unused.remove(name)
            }
            loaded.append((linear, adapter))
        }
        let embedding = try loadEmbedding(config, checkpoint, decoder)
        if embedding != nil { unused.subtract(embeddingNames(decoder.description)) }
        if let ends = try SavedEnds(
            adapter: folder, in: checkpoint, base: decoder.description)
        {
            guard decoder.endsAdapter.map(FileSystem.absolute) == FileSystem.absolute(folder) else {
                throw ModelError(
                    .unsupported,
                    "the adapter brings an embedding or head of its own, with which the model must be loaded; "
                        + "start with this adapter and no other",
                    path: folder)
            }
            unused.subtract(ends.names)
        }
        guard let stranger = unused.min() else {
            guard !loaded.isEmpty || embedding != nil else {
                throw ModelError(.missing, "the adapter holds no tensor", path: folder)
            }
            decoder.embeddingAdapters[slot] = embedding
            for (linear, adapter) in loaded { linear.adapters[slot] = adapter }
            decoder.nameAdapter(slot, folder)
            return slot
        }
        throw ModelError(
            .mismatch, "the adapter's tensor '\(stranger)' has no place in this base model",
            path: folder)
    }

    /// Opens the tensors of an adapter, those of stacked ones as parts of their own.
    /// - Throws: `FormatError`, and `ModelError` when they do not fit the model.
    package static func open(
        _ folder: String, _ stacked: StackedAdapters, _ base: DecoderDescription
    ) throws -> any CheckpointReader {
        let checkpoint = try CheckpointFolder.open(
            folder, kind: .adapter, headDim: base.shape.headDim)
        if !base.takesStackedAdapters,
            let tensor = checkpoint.tensors.first(where: { base.isStackedAdapter($0.name) })
        {
            throw ModelError(
                .unsupported,
                "the adapter's tensor '\(excerpt(tensor.name))' acts on all experts together (target_parameters), which is "
                    + "not supported for \(base.architecture); take an adapter of other linear layers",
                path: folder)
        }
        guard !stacked.isEmpty else { return checkpoint }
        return try StackedAdapterCheckpoint(checkpoint, stacked.products)
    }

    /// The names of A and B of the embedding.
    package static func embeddingNames(_ description: DecoderDescription) -> [String] {
        let path = prefix + description.embeddingName
        return [path + EmbeddingLoRA.suffixes.a, path + EmbeddingLoRA.suffixes.b]
    }

    /// The adapter of the embedding; nil when there is none.
    /// - Throws: `ModelError` when it does not fit the decoder.
    private static func loadEmbedding(
        _ config: AdapterConfig, _ checkpoint: any CheckpointReader, _ decoder: Decoder
    ) throws -> EmbeddingLoRA? {
        let description = decoder.description
        let names = embeddingNames(description)
        guard names.contains(where: { checkpoint.find($0) != nil }) else { return nil }
        try requirePlainEmbedding(config, checkpoint)
        let (rank, scale) = config.settings(for: description.embeddingName)
        let (vocabulary, hidden) = (description.vocabulary, description.shape.hidden)
        try check(checkpoint, names[0], [rank, vocabulary])
        try check(checkpoint, names[1], [hidden, rank])
        let adapter = try EmbeddingLoRA(
            vocabulary: vocabulary, hidden: hidden, rank: rank, scale: Float(scale),
            ledger: decoder.devices[decoder.embeddingDevice].ledger)
        try read(checkpoint, names[0], into: adapter.a.buffer)
        try read(checkpoint, names[1], into: adapter.b.buffer)
        return adapter
    }

    /// - Throws: `ModelError` (`unsupported`) for DoRA on an embedding.
    package static func requirePlainEmbedding(
        _ config: AdapterConfig, _ checkpoint: any CheckpointReader
    ) throws(ModelError) {
        guard config.usesDora else { return }
        throw ModelError(
            .unsupported, "the adapter uses DoRA on the embedding, which is not supported",
            path: checkpoint.path)
    }

    /// The name of the tensor that holds the lengths of a module's rows.
    /// - Throws: `ModelError` when there is none, and for a head.
    package static func magnitudeName(
        of module: String, in checkpoint: any CheckpointReader, _ description: DecoderDescription
    ) throws(ModelError) -> String {
        let name = prefix + module + Magnitude.suffix
        guard module != description.headName else {
            throw ModelError(
                .unsupported, "the adapter uses DoRA on \(module), which is not supported",
                path: checkpoint.path)
        }
        guard let found = [name, name + ".weight"].first(where: { checkpoint.find($0) != nil })
        else {
            throw ModelError(
                .missing, "the adapter uses DoRA and has no tensor '\(name)'; it is incomplete",
                path: checkpoint.path)
        }
        return found
    }

    /// Highest rank of an adapter, and the bytes that it takes in memory.
    ///
    /// What has no place in the model counts for the head; loading refuses it. An embedding or head of its own counts
    /// among the weights of the model.
    /// - Throws: `FormatError`, and `ModelError` for extents that no adapter has.
    package static func extents(
        _ folder: String, description: DecoderDescription
    ) throws -> AdapterExtents {
        let config = try AdapterConfig.read(folder: folder)
        let stacked = StackedAdapters(config.targetParameters, description)
        let checkpoint = try open(folder, stacked, description)
        var (places, magnitudes): ([String: Int], [String: Int]) = ([:], [:])
        var shared: Set<String> = []
        for layer in 0..<description.layers {
            for linear in description.linears(layer: layer) {
                let path = prefix + linear.name
                places[path] = layer
                if stacked.owner(ofAOf: linear.name) != nil { shared.insert(path + suffixes.a) }
                magnitudes[path + Magnitude.suffix] = layer
                magnitudes[path + Magnitude.suffix + ".weight"] = layer
            }
        }
        var extents = AdapterExtents(layers: description.layers)
        let embeddingNames = embeddingNames(description)
        var count = 0
        let ends = try SavedEnds(adapter: folder, in: checkpoint, base: description)?.names ?? []
        for tensor in checkpoint.tensors
        where !ends.contains(tensor.name) && !shared.contains(tensor.name) {
            let (sum, overflow) = count.addingReportingOverflow(tensor.shape.count)
            count = sum
            if tensor.name.hasSuffix(".lora_A.weight") || tensor.name == embeddingNames[0],
                let rows = tensor.shape.dims.first
            {
                extents.widths.rank = max(extents.widths.rank, rows)
            }
            guard !overflow, count <= 1 << 48, extents.rank <= AdapterConfig.highestRank else {
                throw ModelError(
                    .mismatch,
                    "the adapter's tensor '\(tensor.name)' has shape \(tensor.shape), more than an "
                        + "adapter can have; the file is damaged", path: checkpoint.path)
            }
            if embeddingNames.contains(tensor.name) {
                extents.addEmbedding(bytes: tensor.shape.count * 4)
                continue
            }
            if tensor.name.contains(Magnitude.suffix) {
                extents.addMagnitude(layer: magnitudes[tensor.name], outputs: tensor.shape.count)
                continue
            }
            // Without `.lora_A.weight` or `.lora_B.weight`.
            if let layer = places[String(tensor.name.dropLast(14))] {
                extents.layers[layer] += tensor.shape.count * 4
            } else {
                extents.head += tensor.shape.count * 4
            }
        }
        return extents
    }

    private static func check(
        _ checkpoint: any CheckpointReader, _ name: String, _ expected: [Int]
    ) throws {
        let shape = try checkpoint.tensor(name).shape
        guard shape.dims == expected else {
            throw ModelError(
                .mismatch,
                "the adapter's tensor '\(name)' has shape \(shape), its configuration and the base model "
                    + "ask for \(expected); it was made for another base or rank",
                path: checkpoint.path)
        }
    }

    private static func read(
        _ checkpoint: any CheckpointReader, _ name: String, into buffer: Buffer
    ) throws {
        let target = UnsafeMutableBufferPointer(start: buffer.floats, count: buffer.floatCount)
        try checkpoint.readFloats(name, elements: 0..<target.count, into: target)
        guard target.allSatisfy(\.isFinite) else {
            throw ModelError(
                .mismatch, "the adapter's tensor '\(name)' holds NaN or infinite numbers",
                path: checkpoint.path)
        }
    }

    /// What stands behind the path of a module.
    package static let suffixes = (a: ".lora_A.weight", b: ".lora_B.weight")

    /// Reads what `save` wrote of an adapter whose product was taken away, beside one of some rank. A file of a shorter run may hold
    /// a lower rank than the adapter has: the rest is zero.
    /// - Parameter trained: the rank of the adapter that stands before it in the file.
    /// - Throws: `ModelError` (`mismatch`) when the file holds another adapter.
    package static func readStart(
        _ checkpoint: any CheckpointReader, module: String, trained: Int, into adapter: LoRA
    ) throws {
        let (path, rank) = (prefix + module, adapter.rank)
        let (inputs, outputs) = (adapter.a.columns, adapter.b.rows)
        let stored = checkpoint.find(path + suffixes.a)?.shape.dims.first ?? 0
        let own = max(0, min(stored - trained, rank))
        let all = trained + own
        try check(checkpoint, path + suffixes.a, [all, inputs])
        try check(checkpoint, path + suffixes.b, [outputs, all])
        adapter.a.pointer.update(repeating: 0, count: adapter.a.count)
        adapter.b.pointer.update(repeating: 0, count: adapter.b.count)
        let a = UnsafeMutableBufferPointer(start: adapter.a.pointer, count: own * inputs)
        try checkpoint.readFloats(
            path + suffixes.a, elements: trained * inputs..<all * inputs, into: a)
        for row in 0..<outputs {
            let target = UnsafeMutableBufferPointer(
                start: adapter.b.pointer + row * rank, count: own)
            let first = row * all + trained
            try checkpoint.readFloats(
                path + suffixes.b, elements: first..<first + own, into: target)
            for index in 0..<own { target[index] = -target[index] }
        }
    }
}
