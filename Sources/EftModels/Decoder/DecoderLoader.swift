// SPDX-License-Identifier: Apache-2.0
// Weights from a checkpoint to a decoder, tensor by tensor.
import EftFormats
import EftNN
import EftQuant
import EftTensor

/// How a model's weights are to be held in memory.
package struct LoadOptions: Sendable, Hashable {
    /// The linear layers inside the decoder layers.
    package var linears: WeightTarget
    /// Embedding and head: as stored, or f32 for full training.
    package var ends: WeightTarget

    /// Chooses formats.
    package init(linears: WeightTarget = .asStored, ends: WeightTarget = .asStored) {
        self.linears = linears
        self.ends = ends
    }
}

/// Loads decoders, and states what they will hold.
package struct DecoderLoader {
    /// The folder to load from.
    package let folder: ModelFolder
    /// How weights are held.
    package let options: LoadOptions
    private var checkpoint: any CheckpointReader

    /// Prepares to load.
    /// - Throws: `ModelError` when the folder has no weights.
    package init(folder: ModelFolder, options: LoadOptions = LoadOptions()) throws {
        guard let checkpoint = folder.checkpoint else {
            throw ModelError(.missing, "the folder has no weights", path: folder.path)
        }
        self.folder = folder
        self.options = options
        self.checkpoint = checkpoint
    }

    private var description: DecoderDescription { folder.description }

    private func source(_ linear: DecoderDescription.LinearShape) throws -> LinearSource {
        try LinearSource(
            module: linear.name, checkpoint: checkpoint, inputs: linear.inputs,
            outputs: linear.outputs)
    }

    private func endSource(_ name: String) throws -> LinearSource {
        try LinearSource(
            module: name, checkpoint: checkpoint, inputs: description.shape.hidden,
            outputs: description.vocabulary)
    }

    /// The head may be quantized (EXL2) where the embedding is not; then it stays as stored.
    private func headTarget(_ source: LinearSource) -> WeightTarget {
        source.schemeName == DenseScheme.name ? options.ends : .asStored
    }

    // MARK: Plan

    /// Layouts of all weights, by name; `lm_head` is absent when tied.
    package func layouts() throws -> [(name: String, layout: WeightLayout)] {
        var all: [(String, WeightLayout)] = []
        let name = description.embeddingName
        all.append((name, try endSource(name).layout(as: options.ends)))
        for layer in 0..<description.layers {
            for linear in description.linears(layer: layer) {
                all.append((linear.name, try source(linear).layout(as: options.linears)))
            }
        }
        if !description.tiedEmbeddings {
            let head = try endSource(description.headName)
            all.append((description.headName, try head.layout(as: headTarget(head))))
        }
        return all
    }

    /// Bytes of all weights in memory, norms and biases included.
    package func weightBytes() throws -> Int {
        try layouts().reduce(0) { $0 + $1.layout.byteCount } + description.vectorBytes
    }

    /// Temporary bytes while the neediest tensor is loaded and others are read ahead.
    package func loadScratchBytes() throws -> Int {
        var (most, ahead) = (0, 0)
        for (source, target) in try sources(Array(0..<description.layers), withEnds: true) {
            most = max(most, try source.loadScratchBytes(as: target))
            ahead += source.tensorsInOrder.reduce(0) { $0 + $1.byteCount }
        }
        return most + ReadAheadCheckpoint.scratchBytes(ahead)
    }

    // MARK: Load

    /// Loads everything, but for the weights of streamed layers, which must be in the cache by now.
    /// - Parameters:
    ///   - streaming: which layers are streamed; none when nil.
    ///   - progress: told after each layer how many are done.
    /// - Throws: `FormatError`, `ModelError`, `TensorError`.
    package func load(
        backend: CPUBackend, streaming: StreamedBase? = nil,
        progress: ((_ done: Int, _ total: Int) throws -> Void)? = nil
    ) throws -> Decoder {
        let streamed = Set(streaming?.placement.streamed ?? [])
        let resident = (0..<description.layers).filter { !streamed.contains($0) }
        let ahead = try readingAhead(resident, withEnds: true, ledger: backend.ledger)
        let embedding = try ahead.endSource(description.embeddingName)
            .load(as: options.ends, backend: backend)
        var layers: [DecoderLayer] = []
        for index in 0..<description.layers {
            layers.append(
                try ahead.layer(index, isStreamed: streamed.contains(index), backend: backend))
            try progress?(index + 1, description.layers)
        }
        let headWeight: PackedWeight
        if description.tiedEmbeddings {
            headWeight = embedding
        } else {
            let source = try ahead.endSource(description.headName)
            headWeight = try source.load(as: headTarget(source), backend: backend)
        }
        return Decoder(
            description: description, backend: backend, embedding: embedding, layers: layers,
            finalNorm: try norm(description.finalNormName, backend),
            head: Linear(name: description.headName, ordinal: 0, weight: headWeight, bias: nil),
            stream: try streaming.flatMap { base in
                guard base.placement.isStreaming else { return nil }
                return try LayerStream(base, layers: layers, ledger: backend.ledger)
            })
    }

    /// The same loader with the weights of some layers read ahead, in the order in which they are loaded.
    /// - Parameter withEnds: whether embedding and head are loaded too, before and after the layers.
    func readingAhead(
        _ layers: [Int], withEnds: Bool, ledger: MemoryLedger?
    ) throws -> DecoderLoader {
        let tensors = try sources(layers, withEnds: withEnds).flatMap(\.source.tensorsInOrder)
        var ahead = self
        ahead.checkpoint =
            try ReadAheadCheckpoint(checkpoint, tensors: tensors, ledger: ledger) ?? checkpoint
        return ahead
    }

    /// The matrices of some layers in the order in which they are loaded, and how they are held.
    private func sources(
        _ layers: [Int], withEnds: Bool
    ) throws -> [(source: LinearSource, target: WeightTarget)] {
        var all = try layers.flatMap { try description.linears(layer: $0).map(source) }
            .map { ($0, options.linears) }
        guard withEnds else { return all }
        all.insert((try endSource(description.embeddingName), options.ends), at: 0)
        if !description.tiedEmbeddings {
            let head = try endSource(description.headName)
            all.append((head, headTarget(head)))
        }
        return all
    }

    /// Loads the weight of a linear layer.
    func weight(
        _ linear: DecoderDescription.LinearShape, backend: CPUBackend,
        purpose: MemoryPurpose = .weights
    ) throws -> PackedWeight {
        try source(linear).load(as: options.linears, backend: backend, purpose: purpose)
    }

    private func layer(
        _ index: Int, isStreamed: Bool, backend: CPUBackend
    ) throws -> DecoderLayer {
        func linear(_ role: DecoderDescription.Role) throws -> Linear {
            let shape = description.linear(role, layer: index)
            let weight =
                isStreamed
                ? try PackedWeight(streamed: source(shape).layout(as: options.linears))
                : try weight(shape, backend: backend)
            return Linear(
                name: shape.name, ordinal: description.ordinal(role, layer: index), weight: weight,
                bias: try bias(shape, backend))
        }
        return DecoderLayer(
            index: index, shape: description.shape,
            inputNorm: try norm(description.inputNormName(index), backend),
            middleNorm: try norm(description.middleNormName(index), backend),
            query: try linear(.query), key: try linear(.key), value: try linear(.value),
            output: try linear(.output), gate: try linear(.gate), up: try linear(.up),
            down: try linear(.down))
    }

    private func bias(
        _ shape: DecoderDescription.LinearShape, _ backend: CPUBackend
    ) throws -> Buffer? {
        let name = shape.name + ".bias"
        guard shape.hasBias else {
            guard checkpoint.find(name) == nil else {
                throw ModelError(
                    .mismatch, "the checkpoint holds \(name), of which config.json says nothing",
                    path: folder.path)
            }
            return nil
        }
        return try VectorSource.load(
            name, count: shape.outputs, checkpoint: checkpoint, backend: backend)
    }

    private func norm(_ name: String, _ backend: CPUBackend) throws -> Norm {
        Norm(
            name: name,
            weight: try VectorSource.load(
                name + ".weight", count: description.shape.hidden, checkpoint: checkpoint,
                backend: backend))
    }
}

extension DecoderDescription {
    /// Bytes of norms and biases in f32.
    package var vectorBytes: Int {
        let biases = linears(layer: 0).reduce(0) { $0 + ($1.hasBias ? $1.outputs : 0) }
        return ((2 * layers + 1) * shape.hidden + layers * biases) * 4
    }

    /// A number for each linear layer, for the draws of dropout.
    func ordinal(_ role: Role, layer: Int) -> UInt64 {
        UInt64(layer * Role.allCases.count + (Role.allCases.firstIndex(of: role) ?? 0) + 1)
    }
}
