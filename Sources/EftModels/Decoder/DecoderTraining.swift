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

    /// Sets of activations beyond the first.
    private func extraSets(_ description: DecoderDescription) -> Int {
        checkpointing ? 0 : description.layers - 1
    }

    /// Bytes of activations.
    package func byteCount(_ description: DecoderDescription) -> Int {
        let shape = description.shape
        let hiddenBytes = rows * shape.hidden * 4
        let set =
            LayerActivations.byteCount(rows: rows, shape: shape, backward: true)
            + PassCache.byteCount(pages: pages, shape: shape, backward: true)
        return workspace.byteCount(description)
            + PassCache.byteCount(pages: pages, shape: shape, backward: true)
            + extraSets(description) * set
            + LayerGradients.byteCount(rows: rows, shape: shape)
            + (description.layers + 3) * hiddenBytes
            + LossHead.byteCount(vocabulary: description.vocabulary, rows: rows)
    }

    func makeWorkspace(
        _ description: DecoderDescription, backend: any Backend
    ) throws(TensorError) -> DecoderWorkspace {
        try DecoderWorkspace(workspace, description: description, backend: backend)
    }
}

/// Computes losses and gradients of micro-batches.
package final class TrainingPass: Sendable {
    private let decoder: Decoder
    private let workspace: DecoderWorkspace
    private let activations: [LayerActivations]
    private let caches: [PassCache]
    private let gradients: LayerGradients
    /// Inputs of all layers, and the last layer's value.
    private let kept: [Matrix]
    private let normed: Matrix
    private let gradient: Matrix
    private let lossHead: LossHead

    /// Takes the memory.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(decoder: Decoder, need: TrainingNeed) throws(TensorError) {
        let (description, backend) = (decoder.description, decoder.backend)
        let (shape, ledger) = (description.shape, backend.ledger)
        self.decoder = decoder
        workspace = try need.makeWorkspace(description, backend: backend)
        var activations = [workspace.activations]
        var caches: [PassCache] = []
        for index in 0..<(need.checkpointing ? 1 : description.layers) {
            if index > 0 {
                activations.append(
                    try LayerActivations(
                        rows: need.rows, shape: shape, backward: true, ledger: ledger))
            }
            caches.append(
                try PassCache(pageCount: need.pages, shape: shape, backward: true, ledger: ledger))
        }
        self.activations = activations
        self.caches = caches
        gradients = try LayerGradients(rows: need.rows, shape: shape, ledger: ledger)
        var kept: [Matrix] = []
        for _ in 0...description.layers {
            kept.append(try Matrix(rows: need.rows, columns: shape.hidden, ledger: ledger))
        }
        self.kept = kept
        normed = try Matrix(rows: need.rows, columns: shape.hidden, ledger: ledger)
        gradient = try Matrix(rows: need.rows, columns: shape.hidden, ledger: ledger)
        lossHead = try LossHead(head: decoder.head, rows: need.rows, ledger: ledger)
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
        let rows = 0..<batch.count
        guard batch.count <= workspace.rows else {
            throw ModelError(
                .invalidInput,
                "a batch of \(batch.count) rows, the workspace holds \(workspace.rows)")
        }
        try decoder.embed(batch, into: kept[0].rows(rows), workspace)
        decoder.begin(gradientScale == 0 ? .forward : .forwardAndBackward)
        for index in decoder.layers.indices {
            try decoder.withLayer(index) { layer in
                try layer.forward(
                    kept[index].rows(rows), into: kept[index + 1].rows(rows),
                    state(batch, layer: index, dropoutSeed))
            }
        }
        let (epsilon, backend) = (decoder.description.shape.normEpsilon, decoder.backend)
        let last = kept[decoder.layers.count].rows(rows)
        let (normed, gradient) = (normed.rows(rows), gradient.rows(rows))
        decoder.finalNorm.forward(last, into: normed, epsilon: epsilon, backend)
        // The gradient of the norm's value may stand where layers keep theirs: no layer runs meanwhile.
        let dNormed = gradients.normed.rows(rows)
        let losses = try lossHead.losses(
            hidden: normed, labels: labels, gradientScale: gradientScale, gradient: dNormed,
            state(batch, layer: 0, dropoutSeed).pass)
        guard gradientScale != 0 else { return losses }
        gradient.zero()
        decoder.finalNorm.backward(
            last, dy: dNormed, addingTo: gradient, epsilon: epsilon, backend)
        try backward(batch, gradient, dropoutSeed)
        return losses
    }

    private func backward(_ batch: DecoderBatch, _ gradient: Matrix, _ seed: UInt64?) throws {
        let rows = 0..<batch.count
        for index in decoder.layers.indices.reversed() {
            let state = state(batch, layer: index, seed)
            let input = kept[index].rows(rows)
            try decoder.withLayer(index) { layer in
                // The last layer's activations still stand from the forward pass.
                if activations.count == 1, index < decoder.layers.count - 1 {
                    try layer.recompute(input, state)
                }
                try layer.backward(
                    input, gradient: gradient, gradients: gradients,
                    cache: caches[min(index, caches.count - 1)], state)
            }
        }
        if let embedding = decoder.embeddingParameter {
            decoder.addEmbeddingGradient(gradient, tokens: batch.tokens, to: embedding)
        }
    }

    private func state(_ batch: DecoderBatch, layer: Int, _ seed: UInt64?) -> LayerPass {
        decoder.layerPass(
            batch, cache: caches[min(layer, caches.count - 1)], workspace: workspace,
            activations: activations[min(layer, activations.count - 1)], dropoutSeed: seed)
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
