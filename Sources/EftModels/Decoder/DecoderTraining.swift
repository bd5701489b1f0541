// SPDX-License-Identifier: Apache-2.0
// The training pass: losses of packed sequences, and gradients by recomputing layer by layer.
import EftNN
import EftTensor

/// What a training pass needs besides weights, adapters, gradients and optimizer state.
package struct TrainingNeed: Sendable, Hashable {
    /// Most rows (tokens) of a micro-batch.
    package var rows: Int
    /// Most pages of 16 tokens that the sequences of a micro-batch take.
    package var pages: Int
    /// Highest rank of an adapter.
    package var adapterRank: Int
    /// Most inputs of a layer whose adapter uses dropout.
    package var droppedInputs: Int
    /// Whether layers are computed again in the backward pass instead of being kept.
    package var checkpointing: Bool

    /// States a need; `sequences` is the most sequences of a micro-batch.
    package init(
        rows: Int, sequences: Int, adapterRank: Int, droppedInputs: Int, checkpointing: Bool
    ) {
        self.rows = rows
        // Each sequence may leave its last page unfilled.
        pages = pageCount(tokens: rows) + sequences
        self.adapterRank = adapterRank
        self.droppedInputs = droppedInputs
        self.checkpointing = checkpointing
    }

    private var workspace: DecoderWorkspaceNeed {
        DecoderWorkspaceNeed(
            rows: rows, logitRows: 0, adapterRank: adapterRank, droppedInputs: droppedInputs,
            backward: true)
    }

    /// Sets of activations on the device of a part.
    func activationSets(_ part: DecoderPart) -> Int {
        part.isEmpty ? 0 : checkpointing ? 1 : part.layers.count
    }

    /// Bytes of activations on the device of a part.
    package func byteCount(_ description: DecoderDescription, part: DecoderPart) -> Int {
        guard !part.isEmpty else { return 0 }
        let shape = description.shape
        let hiddenBytes = rows * shape.hidden * 4
        let (sets, layers) = (activationSets(part), part.layers.count)
        // A set of activations stands in the workspace already. Beside inputs stand the gradient and, with the head,
        // the last layer's value and the norm of it.
        return workspace.byteCount(description, part: part)
            + sets * PassCache.byteCount(pages: pages, shape: shape, backward: true)
            + (sets - 1) * LayerActivations.byteCount(rows: rows, shape: shape, backward: true)
            + LayerGradients.byteCount(rows: rows, shape: shape)
            + (layers + 1 + (part.holdsHead ? 2 : 0)) * hiddenBytes
            + (part.holdsHead
                ? LossHead.byteCount(vocabulary: description.vocabulary, rows: rows) : 0)
    }

    func makeWorkspace(_ decoder: Decoder) throws(TensorError) -> DecoderWorkspace {
        try DecoderWorkspace(workspace, decoder: decoder)
    }
}

/// Computes losses and gradients of micro-batches.
package final class TrainingPass: Sendable {
    private let decoder: Decoder
    private let workspace: DecoderWorkspace
    /// Of each device that holds layers.
    private let places: [TrainingPlace?]
    private let cache: SplitPassCache
    /// The last layer's value, and the norm of it, on the head's device.
    private let last: Matrix
    private let normed: Matrix
    private let lossHead: LossHead

    /// Takes the memory.
    /// - Throws: `TensorError` when it does not fit a ledger.
    package init(decoder: Decoder, need: TrainingNeed) throws(TensorError) {
        let shape = decoder.description.shape
        self.decoder = decoder
        let workspace = try need.makeWorkspace(decoder)
        self.workspace = workspace
        var places: [TrainingPlace?] = []
        for (device, part) in decoder.parts.enumerated() {
            places.append(
                part.isEmpty
                    ? nil
                    : try TrainingPlace(need, part: part, shape: shape, workspace[device]))
        }
        self.places = places
        cache = SplitPassCache(
            places.compactMap { $0 }.flatMap { place in place.part.layers.map { place.cache($0) } })
        let ledger = decoder.devices[decoder.headDevice].ledger
        last = try Matrix(rows: need.rows, columns: shape.hidden, ledger: ledger)
        normed = try Matrix(rows: need.rows, columns: shape.hidden, ledger: ledger)
        lossHead = try LossHead(head: decoder.head, rows: need.rows, ledger: ledger)
    }

    private func place(_ device: Int) -> TrainingPlace {
        guard let place = places[device] else {
            preconditionFailure("device \(device) holds no layers")
        }
        return place
    }

    private func place(ofLayer index: Int) -> TrainingPlace {
        place(decoder.device(ofLayer: index))
    }

    /// The loss of each row, whose label is the token to predict there (negative: no loss).
    ///
    /// With `gradientScale` not 0, adds the gradient of the summed loss times that factor to every trainable
    /// parameter of the decoder.
    package func run(
        _ batch: DecoderBatch, labels: [Int32], gradientScale: Float, dropoutSeed: UInt64? = nil
    ) throws -> [Float] {
        guard labels.allSatisfy({ Int($0) < decoder.description.vocabulary }) else {
            throw ModelError(.invalidInput, "a label is beyond the model's vocabulary")
        }
        try decoder.check(batch, workspace)
        decoder.begin(gradientScale == 0 ? .forward : .forwardAndBackward)
        try forward(batch, dropoutSeed)
        let rows = 0..<batch.count
        let (epsilon, head) = (decoder.description.shape.normEpsilon, place(decoder.headDevice))
        let backend = head.workspace.backend
        let (last, normed, gradient) = (
            last.rows(rows), normed.rows(rows), head.gradient.rows(rows)
        )
        decoder.finalNorm.forward(last, into: normed, epsilon: epsilon, backend)
        // The gradient of the norm's value may stand where layers keep theirs: no layer runs meanwhile.
        let dNormed = head.gradients.normed.rows(rows)
        let losses = try lossHead.losses(
            hidden: normed, labels: labels, gradientScale: gradientScale, gradient: dNormed,
            Pass(
                backend: backend, adapterSegments: batch.adapterSegments,
                adapterScratch: head.workspace.adapterScratch, dropoutSeed: dropoutSeed))
        guard gradientScale != 0 else { return losses }
        gradient.zero()
        decoder.finalNorm.backward(
            last, dy: dNormed, addingTo: gradient, epsilon: epsilon, backend)
        try backward(batch, gradient, dropoutSeed)
        return losses
    }

    private func forward(_ batch: DecoderBatch, _ seed: UInt64?) throws {
        let rows = 0..<batch.count
        let embedded = place(decoder.embeddingDevice)
        decoder.embed(batch, into: embedded.kept(0).rows(rows))
        for (device, part) in decoder.parts.enumerated() where !part.isEmpty {
            let place = place(device)
            place.workspace.fillPositions(batch, decoder.description.rotary)
            for index in part.layers {
                let value =
                    index + 1 == decoder.layers.count
                    ? last.rows(rows) : self.place(ofLayer: index + 1).kept(index + 1).rows(rows)
                // What a layer gives stands on the device of the layer that takes it.
                try decoder.withLayer(index) { layer in
                    try layer.forward(
                        place.kept(index).rows(rows), into: value, state(batch, index, seed))
                }
            }
        }
    }

    private func backward(_ batch: DecoderBatch, _ start: Matrix, _ seed: UInt64?) throws {
        let rows = 0..<batch.count
        var gradient = start
        for index in decoder.layers.indices.reversed() {
            let (place, state) = (place(ofLayer: index), state(batch, index, seed))
            let input = place.kept(index).rows(rows)
            gradient = gradient.moved(to: place.gradient.rows(rows))
            try decoder.withLayer(index) { layer in
                // The last layer's activations still stand from the forward pass, as do those that each have a set.
                if !place.holdsActivations(of: index) { try layer.recompute(input, state) }
                try layer.backward(
                    input, gradient: gradient, gradients: place.gradients, cache: cache[index],
                    state)
            }
        }
        if let embedding = decoder.embeddingParameter {
            decoder.addEmbeddingGradient(gradient, tokens: batch.tokens, to: embedding)
        }
    }

    private func state(_ batch: DecoderBatch, _ layer: Int, _ seed: UInt64?) -> LayerPass {
        let place = place(ofLayer: layer)
        return decoder.layerPass(
            batch, cache: cache, place: place.workspace, activations: place.activations(layer),
            dropoutSeed: seed)
    }
}

/// What a training pass holds on one device.
private final class TrainingPlace: Sendable {
    let part: DecoderPart
    let workspace: DeviceWorkspace
    let gradients: LayerGradients
    /// The gradient of the value of the layer at hand.
    let gradient: Matrix
    private let sets: [LayerActivations]
    private let caches: [PassCache]
    private let inputs: [Matrix]

    init(
        _ need: TrainingNeed, part: DecoderPart, shape: DecoderShape, _ workspace: DeviceWorkspace
    ) throws(TensorError) {
        let ledger = workspace.backend.ledger
        self.part = part
        self.workspace = workspace
        var sets = [workspace.activations]
        var caches: [PassCache] = []
        for index in 0..<need.activationSets(part) {
            if index > 0 {
                sets.append(
                    try LayerActivations(
                        rows: need.rows, shape: shape, backward: true, ledger: ledger))
            }
            caches.append(
                try PassCache(pageCount: need.pages, shape: shape, backward: true, ledger: ledger))
        }
        self.sets = sets
        self.caches = caches
        gradients = try LayerGradients(rows: need.rows, shape: shape, ledger: ledger)
        gradient = try Matrix(rows: need.rows, columns: shape.hidden, ledger: ledger)
        var inputs: [Matrix] = []
        for _ in part.layers {
            inputs.append(try Matrix(rows: need.rows, columns: shape.hidden, ledger: ledger))
        }
        self.inputs = inputs
    }

    private func offset(_ layer: Int) -> Int { layer - part.layers.lowerBound }

    /// The input of a layer.
    func kept(_ layer: Int) -> Matrix { inputs[offset(layer)] }
    func activations(_ layer: Int) -> LayerActivations { sets[min(offset(layer), sets.count - 1)] }
    func cache(_ layer: Int) -> PassCache { caches[min(offset(layer), caches.count - 1)] }

    /// Whether a layer's activations still stand when its backward pass begins.
    func holdsActivations(of layer: Int) -> Bool {
        sets.count > 1 || offset(layer) == part.layers.count - 1
    }
}

extension Decoder {
    /// Adds each row's gradient to its token's row of the embedding, in the panel form of f32 weights.
    func addEmbeddingGradient(_ gradient: Matrix, tokens: [Int32], to parameter: Parameter) {
        let panelFloats = embedding.layout.panelBytes / 4
        let width = gradient.columns
        for (row, token) in tokens.enumerated() {
            let source = gradient.pointer + row * width
            let target = parameter.gradient.floats + Int(token) / 16 * panelFloats + Int(token) % 16
            for column in 0..<width { target[column * 16] += source[column] }
        }
    }
}
