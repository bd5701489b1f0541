// SPDX-License-Identifier: Apache-2.0
// Weights from a checkpoint to a decoder, tensor by tensor.
import EftFormats
import EftNN
import EftQuant
import EftTensor

/// How a model's weights are to be held in memory.
package struct LoadOptions: Sendable, Hashable {
    /// The linear layers inside the decoder layers that are not trained themselves; embedding and head stay as stored.
    package var linears: WeightTarget
    /// What is trained itself, which is held in f32.
    package var trained: TrainedWeights

    /// Chooses formats.
    package init(linears: WeightTarget = .asStored, trained: TrainedWeights = .none) {
        self.linears = linears
        self.trained = trained
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

    var description: DecoderDescription { folder.description }

    func source(_ linear: DecoderDescription.LinearShape) throws -> LinearSource {
        try LinearSource(
            module: linear.name, checkpoint: checkpoint, inputs: linear.inputs,
            outputs: linear.outputs)
    }

    func endSource(_ name: String) throws -> LinearSource {
        try LinearSource(
            module: name, checkpoint: checkpoint, inputs: description.shape.hidden,
            outputs: name == description.headName ? description.headOutputs : description.vocabulary
        )
    }

    /// Embedding and head stay as stored unless they are trained.
    func endTarget(_ name: String) -> WeightTarget {
        options.trained.contains(name + ".weight") ? .f32 : .asStored
    }

    /// A router is never quantized while loading: it is small, and decides much.
    func target(_ linear: DecoderDescription.LinearShape) -> WeightTarget {
        let own = endTarget(linear.name)
        return linear.role.isRouter || own == .f32 ? own : options.linears
    }

    private func layout(_ linear: DecoderDescription.LinearShape) throws -> WeightLayout {
        let source = try source(linear)
        return try source.layout(as: target(linear))
    }

    // MARK: Plan

    /// Layouts of all weights, by name; `lm_head` is absent when tied.
    package func layouts() throws -> [(name: String, layout: WeightLayout)] {
        var all: [(String, WeightLayout)] = []
        let name = description.embeddingName
        all.append((name, try endSource(name).layout(as: endTarget(name))))
        for layer in 0..<description.layers {
            for linear in description.linears(layer: layer) {
                all.append((linear.name, try layout(linear)))
            }
        }
        if !description.tiedEmbeddings {
            let name = description.headName
            all.append((name, try endSource(name).layout(as: endTarget(name))))
        }
        return all
    }

    // MARK: Load

    /// Loads everything on one device, but for streamed weights, which must be in the cache by now.
    /// - Parameters:
    ///   - streaming: which layers are streamed; none when nil.
    ///   - progress: called after each layer with how many are done.
    /// - Throws: `FormatError`, `ModelError`, `TensorError`.
    package func load(
        backend: CPUBackend, streaming: StreamedBase? = nil,
        progress: ((_ done: Int, _ total: Int) throws -> Void)? = nil
    ) throws -> Decoder {
        try load(
            devices: [backend], parts: [description.wholePart], streaming: streaming,
            progress: progress)
    }

    /// Loads parts of the decoder on devices, but for streamed weights, which must be in the cache by now.
    /// - Parameters:
    ///   - parts: what each device holds; together all layers, in order.
    ///   - streaming: which layers are streamed; none when nil.
    ///   - progress: called after each layer with how many are done.
    /// - Throws: `FormatError`, `ModelError`, `TensorError`.
    package func load(
        devices: [CPUBackend], parts: [DecoderPart], streaming: StreamedBase? = nil,
        progress: ((_ done: Int, _ total: Int) throws -> Void)? = nil
    ) throws -> Decoder {
        // What is temporary while weights change their form would stay beside all that is to come.
        defer { Heap.giveBack() }
        let streamed = streaming?.placement.streamedParts ?? [:]
        var ends = Ends()
        var layers: [DecoderLayer] = []
        for (device, part) in zip(devices, parts) where !part.isEmpty {
            let ahead = try readingAhead(
                layers: Array(part.layers), without: streamed, ends: endNames(part),
                ledger: device.ledger)
            if part.holdsEmbedding {
                ends.embedding = try ahead.end(.embedding, device)
                ends.positions = try positions(device)
            }
            for index in part.layers {
                layers.append(
                    try ahead.layer(index, streamed: streamed[index], backend: device))
                // Gaps that temporary memory leaves between a layer's small weights add up over the layers.
                Heap.giveBack()
                try progress?(layers.count, description.layers)
            }
            guard part.holdsHead else { continue }
            ends.head =
                description.tiedEmbeddings ? ends.embedding : try ahead.end(.head, device)
            ends.norm = try ahead.norm(description.finalNorm, device)
            if description.headHasBias {
                ends.bias = try VectorSource.load(
                    description.headName + ".bias", count: description.headOutputs,
                    checkpoint: checkpoint, backend: device)
            }
        }
        guard let embedding = ends.embedding, let head = ends.head, let norm = ends.norm else {
            preconditionFailure("the parts of a decoder hold its ends")
        }
        return Decoder(
            description: description, devices: devices, parts: parts, embedding: embedding,
            positions: ends.positions, layers: layers, finalNorm: norm,
            head: Linear(
                name: description.headName, ordinal: 0, weight: head, bias: ends.bias),
            streams: try streams(streaming, layers, devices),
            expertStreams: try expertStreams(streaming, layers, devices),
            endsAdapter: folder.endsAdapter)
    }

    /// Embedding, head and the norm before it, while they are loaded.
    private struct Ends {
        var embedding: PackedWeight?
        var positions: LearnedPositions?
        var head: PackedWeight?
        var norm: Norm?
        var bias: Buffer?
    }

    /// An end of the decoder.
    enum End {
        case embedding
        case head
    }

    private func end(_ end: End, _ backend: CPUBackend) throws -> PackedWeight {
        let name = end == .embedding ? description.embeddingName : description.headName
        return try endSource(name).load(as: endTarget(name), backend: backend)
    }

    private func positions(_ backend: CPUBackend) throws -> LearnedPositions? {
        guard let table = description.positions else { return nil }
        let (rows, columns) = (description.positionRows, description.shape.hidden)
        let numbers = try VectorSource.load(
            table.weight, shape: [rows, columns], checkpoint: checkpoint, ledger: backend.ledger)
        return LearnedPositions(
            name: table.weight, table: Matrix(sharing: numbers, rows: rows, columns: columns),
            first: table.first)
    }

    /// The ends that a part loads: a tied head is the embedding.
    func endNames(_ part: DecoderPart) -> [End] {
        (part.holdsEmbedding ? [.embedding] : [])
            + (part.holdsHead && !description.tiedEmbeddings ? [.head] : [])
    }

    private func streams(
        _ base: StreamedBase?, _ layers: [DecoderLayer], _ devices: [CPUBackend]
    ) throws -> [LayerStream?] {
        try devices.indices.map { device in
            guard let base, !base.placement.devices[device].streamedWhole.isEmpty else {
                return nil
            }
            return try LayerStream(
                base, device: device, layers: layers, ledger: devices[device].ledger)
        }
    }

    private func expertStreams(
        _ base: StreamedBase?, _ layers: [DecoderLayer], _ devices: [CPUBackend]
    ) throws -> [ExpertStream] {
        try devices.indices.compactMap { device in
            guard let base, let experts = base.placement.devices[device].experts else { return nil }
            return try ExpertStream(
                base, device: device, experts, layers: layers, ledger: devices[device].ledger)
        }
    }

    /// The same loader with the weights of some layers read ahead, in the order in which they are loaded.
    /// - Parameters:
    ///   - streamed: what of the layers is not loaded.
    ///   - ends: those of embedding and head that are loaded too, before and after the layers.
    func readingAhead(
        layers: [Int], without streamed: [Int: StreamedPart] = [:], ends: [End],
        ledger: MemoryLedger?
    ) throws -> DecoderLoader {
        var sources = try layers.flatMap { layer in
            try description.linears(layer: layer)
                .filter { streamed[layer]?.contains($0) != true }.map(source)
        }
        if ends.contains(.embedding) {
            sources.insert(try endSource(description.embeddingName), at: 0)
        }
        if ends.contains(.head) { sources.append(try endSource(description.headName)) }
        var ahead = self
        ahead.checkpoint =
            try ReadAheadCheckpoint(
                checkpoint, tensors: sources.flatMap(\.tensorsInOrder), ledger: ledger)
            ?? checkpoint
        return ahead
    }

    /// Loads the weight of a linear layer.
    func weight(
        _ linear: DecoderDescription.LinearShape, backend: CPUBackend,
        purpose: MemoryPurpose = .weights
    ) throws -> PackedWeight {
        try source(linear).load(as: target(linear), backend: backend, purpose: purpose)
    }

    private func layer(
        _ index: Int, streamed: StreamedPart?, backend: CPUBackend
    ) throws -> DecoderLayer {
        try description.makeLayer(index) { shape, ordinal in
            let weight =
                streamed?.contains(shape) == true
                ? try PackedWeight(streamed: layout(shape))
                : try weight(shape, backend: backend)
            return Linear(
                name: shape.name, ordinal: ordinal, weight: weight, bias: try bias(shape, backend))
        } norm: {
            try norm($0, backend)
        } vector: {
            try $0.load(from: checkpoint, backend: backend)
        }
    }

    private func bias(
        _ shape: DecoderDescription.LinearShape, _ backend: CPUBackend
    ) throws -> Buffer? {
        let name = shape.name + ".bias"
        guard shape.hasBias else {
            guard try checkpoint.find(name) == nil || isEmptyBias(name) else {
                throw ModelError(
                    .mismatch, "the checkpoint holds \(name), of which config.json says nothing",
                    path: folder.path)
            }
            return nil
        }
        return try VectorSource.load(
            name, count: shape.outputs, checkpoint: checkpoint, backend: backend)
    }

    /// Whether a bias is one of those that AutoGPTQ writes for every layer, whose numbers are all zero.
    private func isEmptyBias(_ name: String) throws -> Bool {
        try checkpoint.quantization?.method == .gptq
            && checkpoint.floats(of: name).allSatisfy { $0 == 0 }
    }

    private func norm(
        _ shape: DecoderDescription.NormShape, _ backend: CPUBackend
    ) throws -> Norm {
        try shape.load(from: checkpoint, backend: backend)
    }
}

extension DecoderDescription.NormShape {
    /// Loads the norm.
    /// - Throws: `FormatError` where weight or bias are missing or have another size, `TensorError`.
    package func load(
        from checkpoint: any CheckpointReader, backend: CPUBackend
    ) throws -> Norm {
        func vector(_ part: String) throws -> Buffer {
            try VectorSource.load(
                name + part, count: count, checkpoint: checkpoint, backend: backend)
        }
        let weight = try vector(".weight")
        if offset != 0 {
            for index in 0..<count { weight.floats[index] += offset }
        }
        return norm(weight: weight, bias: hasBias ? try vector(".bias") : nil)
    }
}

extension DecoderDescription.VectorShape {
    /// Loads the vector.
    /// - Throws: as `VectorSource.load`.
    package func load(
        from checkpoint: any CheckpointReader, backend: CPUBackend
    ) throws -> Buffer {
        try VectorSource.load(
            name, shape: extents, checkpoint: checkpoint, ledger: backend.ledger)
    }
}

extension DecoderDescription {
    /// Bytes of a layer's norms, biases and other vectors in f32; of the layers that have most.
    package var layerVectorBytes: Int {
        largest { layer in
            let norms = norms(layer: layer).reduce(0) { $0 + $1.numbers }
            let others = vectors(layer: layer).reduce(norms) { $0 + $1.count }
            return linears(layer: layer).reduce(others) { $0 + ($1.hasBias ? $1.outputs : 0) }
        } * 4
    }

    /// Bytes of the last norm, and of the head's bias where it has one, in f32.
    package var finalNormBytes: Int { (finalNorm.numbers + (headHasBias ? headOutputs : 0)) * 4 }

    /// Bytes of all norms and biases in f32.
    package var vectorBytes: Int { layers * layerVectorBytes + finalNormBytes }
}
