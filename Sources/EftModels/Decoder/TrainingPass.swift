// SPDX-License-Identifier: Apache-2.0
// The training pass: losses of packed sequences, and gradients by recomputing layer by layer.
import EftNN
import EftTensor

/// A micro-batch of a pass.
package struct TrainingRows: Sendable {
    /// Its tokens.
    package let batch: DecoderBatch
    /// For each row the token to predict there; negative where there is no loss.
    package let labels: [Int32]
    /// Seeds the dropout masks; nil for none.
    package let dropoutSeed: UInt64?
    /// How much noise is added to the embeddings where gradients are wanted (NEFTune); 0 for none.
    package let embeddingNoise: Float
    /// The share of what is wanted that all tokens have in equal parts.
    package let labelSmoothing: Float
    /// What logits are divided by.
    package let temperature: Float

    /// Puts a micro-batch together.
    package init(
        _ batch: DecoderBatch, labels: [Int32], dropoutSeed: UInt64? = nil,
        embeddingNoise: Float = 0, labelSmoothing: Float = 0, temperature: Float = 1
    ) {
        self.batch = batch
        self.labels = labels
        self.dropoutSeed = dropoutSeed
        self.embeddingNoise = embeddingNoise
        self.labelSmoothing = labelSmoothing
        self.temperature = temperature
    }

    /// Adds uniform noise to the embeddings `[rows][C]`, whose norm is the same for sequences of all lengths
    /// (Jain et al. 2023): each number within alpha / sqrt(L C), L being the tokens of the sequence.
    fileprivate func addNoise(to hidden: Matrix) {
        guard embeddingNoise > 0 else { return }
        var generator = SplitMix64(seed: (dropoutSeed ?? 0) ^ 0x6E65_6674_756E_6531)
        for run in batch.runs {
            let count = run.rows.count
            let most = embeddingNoise / Float(max(count * hidden.columns, 1)).squareRoot()
            for index in run.rows.lowerBound * hidden.columns..<run.rows.upperBound * hidden.columns
            {
                let uniform = Float(generator.next() >> 40) / Float(1 << 23) - 1
                hidden.pointer[index] += most * uniform
            }
        }
    }
}

/// The losses of a micro-batch's rows.
package struct RowLosses: Sendable {
    /// The loss of each row.
    package var plain: [Float]
    /// The loss of each row if its logits were twice as large; empty when not asked for.
    package var sharper: [Float] = []
}

/// Computes losses and gradients of micro-batches, one or several in one pass over the weights.
package final class TrainingPass: Sendable {
    private let decoder: Decoder
    private let workspace: DecoderWorkspace
    /// Of each device that holds layers.
    private let places: [TrainingPlace?]
    private let cache: SplitPassCache
    /// The norm of the last layer's value, on the head's device.
    private let normed: Matrix
    private let lossHead: LossHead
    /// Micro-batches that one pass over the weights serves.
    package let joined: Int

    /// Takes the memory.
    /// - Parameter spillFolder: where kept inputs go that do not stay in memory; the working folder when nil.
    /// - Throws: `TensorError` when it does not fit a ledger, `FormatError` (`io`) when the disk has no room for kept
    ///   inputs.
    package init(decoder: Decoder, need: TrainingNeed, spillFolder: String? = nil) throws {
        let shape = decoder.description.shape
        self.decoder = decoder
        joined = need.joined
        let workspace = try DecoderWorkspace(need.workspace, decoder: decoder)
        self.workspace = workspace
        let places = try decoder.parts.enumerated().map { device, part in
            part.isEmpty
                ? nil
                : try TrainingPlace(
                    need, part: part, shape: shape, workspace[device], spillFolder: spillFolder)
        }
        self.places = places
        cache = SplitPassCache(
            places.compactMap { $0 }.flatMap { place in place.part.layers.map { place.cache($0) } })
        let ledger = decoder.devices[decoder.headDevice].ledger
        normed = try Matrix(rows: need.rows, columns: shape.hidden, ledger: ledger)
        lossHead = try LossHead(
            head: decoder.head, transform: decoder.description.headTransform, rows: need.rows,
            backward: true, ledger: ledger)
    }

    /// Whether the model without its adapters changes too.
    package var changesBase: Bool { decoder.trainsBase }

    private func place(_ device: Int) -> TrainingPlace {
        guard let place = places[device] else {
            preconditionFailure("device \(device) holds no layers")
        }
        return place
    }

    private func place(ofLayer index: Int) -> TrainingPlace {
        place(decoder.device(ofLayer: index))
    }

    /// The loss of each row of a single micro-batch; see the other form.
    package func run(
        _ batch: DecoderBatch, labels: [Int32], gradientScale: Float, dropoutSeed: UInt64? = nil
    ) throws -> [Float] {
        let rows = TrainingRows(batch, labels: labels, dropoutSeed: dropoutSeed)
        return try run([rows], gradientScale: gradientScale)[0]
    }

    /// The loss of each row of at most `joined` micro-batches, in one pass over the weights.
    ///
    /// With `gradientScale` not 0, adds the gradient of the summed loss times that factor to every trainable
    /// parameter of the decoder. The numbers are those of one micro-batch after the other, to the bit.
    package func run(_ micros: [TrainingRows], gradientScale: Float) throws -> [[Float]] {
        try check(micros)
        decoder.begin(gradientScale == 0 ? .forward : .forwardAndBackward)
        let isTraining = gradientScale != 0
        try forward(micros, keeping: isTraining)
        var losses: [[Float]] = []
        for (index, micro) in micros.enumerated() {
            losses.append(try score(micro, index, gradientScale))
        }
        if isTraining { try backward(micros) }
        return losses
    }

    /// The losses of a micro-batch's rows.
    /// - Parameter sharper: whether to compute those of larger logits too.
    package func losses(_ micro: TrainingRows, sharper: Bool) throws -> RowLosses {
        try check([micro])
        decoder.begin(.forward)
        try forward([micro], keeping: false)
        return try losses(micro, scoring(micro, 0), sharper: sharper)
    }

    private func losses(
        _ micro: TrainingRows, _ place: Scoring, sharper: Bool
    ) throws -> RowLosses {
        let plain = try lossHead.losses(
            hidden: place.normed, labels: micro.labels, gradientScale: 0, gradient: nil, place.pass)
        guard sharper else { return RowLosses(plain: plain) }
        return RowLosses(
            plain: plain,
            sharper: try lossHead.sharperLosses(
                hidden: place.normed, labels: micro.labels, place.pass))
    }

    /// Adds the gradient of the sum of rows' losses, each times a scale that depends on all of them, to every trainable
    /// parameter of the decoder.
    /// - Parameters:
    ///   - sharper: whether to compute the losses of larger logits too.
    ///   - scaling: receives the losses of all rows, and gives the scales.
    /// - Throws: what `scaling` throws, before anything was added.
    package func run(
        _ micro: TrainingRows, sharper: Bool = false,
        scaling: (_ losses: RowLosses) throws -> [Float]
    ) throws {
        try check([micro])
        decoder.begin(.forwardAndBackward)
        try forward([micro], keeping: true)
        let place = scoring(micro, 0)
        let losses = try losses(micro, place, sharper: sharper)
        try lossHead.gradient(
            hidden: place.normed, labels: micro.labels, scales: scaling(losses),
            into: place.gradient, place.pass)
        carryBehindHead(place, 0)
        try backward([micro])
    }

    /// What the head gives for some rows of a micro-batch: `[rows.count][V]`, or as many scores each.
    package func values(_ micro: TrainingRows, rows: [Int]) throws -> [Float] {
        try check([micro])
        decoder.begin(.forward)
        try forward([micro], keeping: false)
        let place = scoring(micro, 0)
        return try lossHead.values(hidden: place.normed, rows: rows, place.pass)
    }

    /// Adds the gradient of a function of what the head gives for some rows to every trainable parameter of the decoder.
    /// - Parameter slopes: receives these values `[rows.count][V]`, and gives the function's change with each.
    /// - Throws: what `slopes` throws, before anything was added.
    package func run(
        _ micro: TrainingRows, rows: [Int], slopes: (_ values: [Float]) throws -> [Float]
    ) throws {
        try check([micro])
        decoder.begin(.forwardAndBackward)
        try forward([micro], keeping: true)
        let place = scoring(micro, 0)
        let values = try lossHead.values(hidden: place.normed, rows: rows, place.pass)
        try lossHead.gradient(
            hidden: place.normed, rows: rows, slopes: slopes(values), into: place.gradient,
            place.pass)
        carryBehindHead(place, 0)
        try backward([micro])
    }

    private func check(_ micros: [TrainingRows]) throws {
        precondition(!micros.isEmpty && micros.count <= joined, "more micro-batches than planned")
        for micro in micros {
            guard micro.temperature == 1 || decoder.description.headTransform.cap == nil else {
                throw ModelError(
                    .unsupported,
                    "this model caps its logits, and its losses are computed at temperature 1 only")
            }
            guard micro.labels.allSatisfy({ Int($0) < decoder.description.headOutputs }) else {
                throw ModelError(.invalidInput, "a label is beyond what the model's head gives")
            }
            try decoder.check(micro.batch, workspace)
        }
    }

    private func forward(_ micros: [TrainingRows], keeping: Bool) throws {
        for (index, micro) in micros.enumerated() {
            let place = place(decoder.embeddingDevice)
            let hidden = place.hidden(index, rows: micro.batch.count)
            try decoder.embed(micro.batch, into: hidden, workspace)
            if keeping { micro.addNoise(to: hidden) }
        }
        for (device, part) in decoder.parts.enumerated() where !part.isEmpty {
            let place = place(device)
            place.inputs.begin()
            for layer in part.layers {
                try decoder.withLayer(layer) { body in
                    for (index, micro) in micros.enumerated() {
                        let hidden = hidden(index, micro, layer)
                        if keeping {
                            try place.inputs.keep(hidden, layer: layer, micro: index)
                        }
                        try body.forward(hidden, into: hidden, state(micros, index, layer))
                    }
                }
            }
        }
    }

    /// The rows of a micro-batch on the device of a layer, brought there from the layer before.
    private func hidden(_ index: Int, _ micro: TrainingRows, _ layer: Int) -> Matrix {
        let rows = micro.batch.count
        let here = place(ofLayer: layer).hidden(index, rows: rows)
        guard layer > 0 else { return here }
        return place(ofLayer: layer - 1).hidden(index, rows: rows).moved(to: here)
    }

    /// Losses of a micro-batch behind all layers, and the gradient of the last layer's value.
    private func score(
        _ micro: TrainingRows, _ index: Int, _ gradientScale: Float
    ) throws -> [Float] {
        let place = scoring(micro, index)
        let losses = try lossHead.losses(
            hidden: place.normed, labels: micro.labels, gradientScale: gradientScale,
            smoothing: micro.labelSmoothing, gradient: place.gradient, place.pass)
        if gradientScale != 0 { carryBehindHead(place, index) }
        return losses
    }

    /// What the head sees of a micro-batch, and where its gradient goes.
    private struct Scoring {
        let last: Matrix
        let normed: Matrix
        let gradient: Matrix
        let pass: Pass
        let temperature: Float
    }

    /// Norms the value of the last layer.
    private func scoring(_ micro: TrainingRows, _ index: Int) -> Scoring {
        let rows = micro.batch.count
        let head = place(decoder.headDevice)
        let backend = head.workspace.backend
        let behind = place(ofLayer: decoder.layers.count - 1)
        let last = behind.hidden(index, rows: rows).moved(to: head.hidden(index, rows: rows))
        let normed = normed.rows(0..<rows)
        decoder.finalNorm.forward(last, into: normed, backend)
        // The head is linear: this divides its logits.
        if micro.temperature != 1 { backend.scale(normed, by: 1 / micro.temperature) }
        return Scoring(
            last: last, normed: normed,
            // The gradient of the norm's value may stand where layers keep theirs: no layer runs meanwhile.
            gradient: head.gradients.normed.rows(0..<rows),
            pass: Pass(
                backend: backend, adapterSegments: micro.batch.adapterSegments,
                adapterScratch: head.workspace.adapterScratch, dropoutSeed: micro.dropoutSeed),
            temperature: micro.temperature)
    }

    /// From the gradient of the norm's value to that of the last layer's.
    private func carryBehindHead(_ scoring: Scoring, _ index: Int) {
        let gradient = place(decoder.headDevice).gradient(index, rows: scoring.last.rows)
        if scoring.temperature != 1 {
            scoring.pass.backend.scale(scoring.gradient, by: 1 / scoring.temperature)
        }
        decoder.finalNorm.backward(
            scoring.last, dy: scoring.gradient, into: gradient, accumulate: false,
            scoring.pass.backend)
    }

    private func backward(_ micros: [TrainingRows]) throws {
        for case let place? in places { place.inputs.beginReading(micros: micros.count) }
        var device = decoder.headDevice
        for layer in decoder.layers.indices.reversed() {
            let (place, above) = (place(ofLayer: layer), self.place(device))
            device = decoder.device(ofLayer: layer)
            try decoder.withLayer(layer) { body in
                for (index, micro) in micros.enumerated() {
                    let rows = micro.batch.count
                    let input = try place.inputs.input(layer: layer, micro: index, rows: rows)
                    let gradient = above.gradient(index, rows: rows)
                        .moved(to: place.gradient(index, rows: rows))
                    let state = state(micros, index, layer)
                    if !place.holdsActivations(of: layer, isOnly: micros.count == 1) {
                        try body.recompute(input, state)
                    }
                    try body.backward(
                        input, gradient: gradient, gradients: place.gradients,
                        cache: cache[layer], state)
                }
            }
        }
        let (embedding, rows) = (decoder.embeddingParameter, decoder.embeddingRows)
        let trainsAdapter = decoder.embeddingAdapters.values.contains { !$0.trained.isEmpty }
        let positions = decoder.positions?.parameter == nil ? nil : decoder.positions
        guard embedding != nil || rows != nil || trainsAdapter || positions != nil else { return }
        for (index, micro) in micros.enumerated() {
            let place = place(device)
            let gradient = place.gradient(index, rows: micro.batch.count)
            positions?.addGradient(gradient, micro.batch)
            let scale = decoder.description.embeddingScale
            if scale != 1 { place.workspace.backend.scale(gradient, by: scale) }
            if let embedding {
                decoder.excuseEmbedding(gradient, tokens: micro.batch.tokens)
                decoder.addEmbeddingGradient(gradient, tokens: micro.batch.tokens, to: embedding)
            }
            rows?.addGradient(gradient, tokens: micro.batch.tokens)
            for segment in micro.batch.adapterSegments {
                for slot in segment.slots {
                    try decoder.embeddingAdapters[slot]?.backward(
                        micro.batch.tokens[segment.rows], dy: gradient.rows(segment.rows),
                        scratch: place.workspace.adapterScratch)
                }
            }
        }
    }

    private func state(_ micros: [TrainingRows], _ index: Int, _ layer: Int) -> LayerPass {
        let (micro, place) = (micros[index], place(ofLayer: layer))
        // Positions of the only micro-batch stand from the first layer on.
        if micros.count > 1 || layer == place.part.layers.lowerBound {
            place.workspace.fillPositions(micro.batch, decoder.description.rotaries)
        }
        return decoder.layerPass(
            micro.batch, cache: cache, place: place.workspace,
            activations: place.activations(layer), dropoutSeed: micro.dropoutSeed)
    }
}

/// What a training pass holds on one device.
private final class TrainingPlace: Sendable {
    let part: DecoderPart
    let workspace: DeviceWorkspace
    let gradients: LayerGradients
    let inputs: KeptInputs
    private let sets: [LayerActivations]
    private let caches: [PassCache]
    private let hiddens: [Matrix]
    private let gradientRows: [Matrix]

    init(
        _ need: TrainingNeed, part: DecoderPart, shape: DecoderShape, _ workspace: DeviceWorkspace,
        spillFolder: String?
    ) throws {
        let ledger = workspace.backend.ledger
        self.part = part
        self.workspace = workspace
        let count = need.activationSets(part)
        sets =
            try [workspace.activations]
            + (1..<count).map { _ in
                try LayerActivations(rows: need.rows, shape: shape, backward: true, ledger: ledger)
            }
        caches = try (0..<count).map { _ in
            try PassCache(pageCount: need.pages, shape: shape, backward: true, ledger: ledger)
        }
        gradients = try LayerGradients(rows: need.rows, shape: shape, ledger: ledger)
        func matrix() throws(TensorError) -> Matrix {
            try Matrix(rows: need.rows, columns: shape.hidden, ledger: ledger)
        }
        hiddens = try [workspace.hidden] + (1..<need.joined).map { _ in try matrix() }
        gradientRows = try (0..<need.joined).map { _ in try matrix() }
        inputs = try KeptInputs(
            need, part: part, hidden: shape.hidden, folder: spillFolder, ledger: ledger)
    }

    private func offset(_ layer: Int) -> Int { layer - part.layers.lowerBound }

    /// The value of the current layer for a micro-batch.
    func hidden(_ micro: Int, rows: Int) -> Matrix { hiddens[micro].rows(0..<rows) }
    /// The gradient of that value.
    func gradient(_ micro: Int, rows: Int) -> Matrix { gradientRows[micro].rows(0..<rows) }
    func activations(_ layer: Int) -> LayerActivations { sets[min(offset(layer), sets.count - 1)] }
    func cache(_ layer: Int) -> PassCache { caches[min(offset(layer), caches.count - 1)] }

    /// Whether a layer's activations still stand when its backward pass begins: those of a set of its own, and those of
    /// the last layer when no other micro-batch came after.
    func holdsActivations(of layer: Int, isOnly: Bool) -> Bool {
        sets.count > 1 || (isOnly && offset(layer) == part.layers.count - 1)
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
