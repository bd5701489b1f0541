// SPDX-License-Identifier: Apache-2.0
// From a calibrated machine and a described model to seconds: generation and training.
import EftModels
import EftNN
import EftTensor

/// Estimates how long work with a model takes on a machine; nothing is measured or read here.
///
/// A product of one row costs its weights' bytes by the rate that was measured for their form; one of many rows the
/// larger of that and its operations by theirs. Streamed layers are read while others compute, so that the slower of
/// the two counts; of experts that are streamed alone, those count that rows choose evenly beside those in memory. The estimates leave out start-up, loading, sampling and tokenizing.
package struct Estimator: Sendable {
    /// The machine.
    package let calibration: Calibration
    /// The model.
    package let description: DecoderDescription
    /// In what precision activations enter products.
    package var precision: ActivationPrecision
    /// The disk from which streamed layers are read: `Calibration.disk(of:)` of the folder of the panel cache. Without
    /// it there is no estimate for a placement that streams.
    package var streamingDisk: Calibration.DiskRates?

    /// Prepares to estimate.
    package init(
        calibration: Calibration, description: DecoderDescription,
        precision: ActivationPrecision = .inference, streamingDisk: Calibration.DiskRates? = nil
    ) {
        self.calibration = calibration
        self.description = description
        self.precision = precision
        self.streamingDisk = streamingDisk
    }

    private var shape: DecoderShape { description.shape }

    // MARK: Generation

    /// Reading a prompt: all layers for all tokens, the head for the last one.
    /// - Parameters:
    ///   - chunk: most tokens that are read at once; each chunk is a pass over the weights.
    ///   - placement: which layers are streamed; none when nil.
    /// - Returns: nil when layers are streamed from a disk of unknown speed.
    package func prefill(
        tokens: Int, chunk: Int = 512, layouts: DecoderLayouts, placement: WeightPlacement? = nil
    ) -> StageEstimate? {
        precondition(tokens > 0 && chunk > 0, "an empty prompt")
        var cost = product(layouts.head, rows: 1)
        var (first, disk) = (0, 0.0)
        while first < tokens {
            let rows = min(chunk, tokens - first)
            cost += layers(layouts, rows: rows)
            cost += attention(rows: rows, firstPosition: first)
            guard let seconds = streaming(placement, .forward, rows: rows) else { return nil }
            disk += seconds
            first += rows
        }
        return estimate(cost, tokens: tokens, disk: disk, placement)
    }

    /// One step of decoding: a token for each of `sequences` sequences that hold `context` tokens each.
    /// - Parameter kvType: how keys and values are held.
    /// - Returns: nil when layers are streamed from a disk of unknown speed.
    package func decodeStep(
        sequences: Int = 1, context: Int, kvType: KVType = .bf16, layouts: DecoderLayouts,
        placement: WeightPlacement? = nil
    ) -> StageEstimate? {
        precondition(sequences > 0 && context >= 0, "an empty step")
        var cost = layers(layouts, rows: sequences) + product(layouts.head, rows: sequences)
        let pages = (0..<description.layers).filter { !description.isLinear($0) }
            .reduce(0) { sum, layer in
                let window = description.kind(layer: layer).window ?? context
                return sum + pageCount(tokens: min(context, window)) * sequences
            }
        let cache = PagedCache.byteCount(pages: pages, layers: 1, shape: shape, kvType: kvType)
        // A state is read and written.
        let states = description.states(sequences: sequences)?.byteCount(
            layers: 0..<description.layers)
        cost.memory += Double(2 * (states ?? 0)) / calibration.limits.readBandwidth
        cost.memory += Double(cache) / calibration.limits.readBandwidth
        return streaming(placement, .forward, rows: sequences).map {
            estimate(cost, tokens: sequences, disk: $0, placement)
        }
    }

    // MARK: Training

    /// What is done with a micro-batch.
    package struct TrainingBatch: Sendable, Hashable {
        /// Sequences of the micro-batch.
        package var sequences: Int
        /// Tokens of each.
        package var length: Int
        /// Rank of adapters on all linear layers; 0 for full training.
        package var rank: Int
        /// Whether layers are computed again in the backward pass.
        package var checkpointing: Bool
        /// Micro-batches that one pass over the weights serves.
        package var joined: Int

        /// Makes a micro-batch.
        package init(
            sequences: Int, length: Int, rank: Int, checkpointing: Bool, joined: Int = 1
        ) {
            self.sequences = sequences
            self.length = length
            self.rank = rank
            self.checkpointing = checkpointing
            self.joined = joined
        }
    }

    /// A pass for one micro-batch, or for as many as are joined: forward, the layers again when checkpointing, and
    /// backward; without the optimizer's step.
    /// - Returns: nil when layers are streamed from a disk of unknown speed.
    package func trainingBatch(
        _ batch: TrainingBatch, layouts: DecoderLayouts, placement: WeightPlacement? = nil
    ) -> StageEstimate? {
        let rows = batch.sequences * batch.length
        precondition(rows > 0 && batch.rank >= 0, "an empty micro-batch")
        let attention = attention(rows: batch.length, firstPosition: 0) * Double(batch.sequences)
        var cost = layers(layouts, rows: rows) + attention
        if batch.checkpointing, description.layers > 1 {
            // The last layer is not computed again, and of none the last product.
            let share = Double(description.layers - 1) / Double(description.layers)
            cost += (layers(layouts, rows: rows, without: .down) + attention) * share
        }
        for (layout, _, isExpert) in linears(layouts) {
            let (seen, share) = isExpert ? expertRows(rows) : (rows, 1)
            let trained =
                batch.rank > 0
                ? adapter(layout, rows: seen, batch) : weightGradient(layout, rows: seen)
            cost += (product(layout, rows: seen, backward: true) + trained) * share
        }
        cost += elementwise(rows: rows) * 2
        cost += attentionBackward(batch)
        cost += loss(layouts.head, rows: rows, isFull: batch.rank == 0)
        return streaming(placement, .forwardAndBackward, rows: rows).map {
            (cost * Double(batch.joined)).estimate(tokens: rows * batch.joined, disk: $0)
        }
    }

    /// A step of the optimizer: value, gradient and two moments of each trainable number are read, all but the gradient
    /// written, and gradients set to zero.
    package func optimizerStep(trainable: Int) -> StageEstimate {
        let bytes = Double(trainable) * 4 * 8
        return ComputeCost(memory: bytes / calibration.limits.readBandwidth).estimate()
    }

    private func adapter(
        _ layout: WeightLayout, rows: Int, _ batch: TrainingBatch
    ) -> ComputeCost {
        let (k, n) = (Double(layout.inputs), Double(layout.outputs))
        // There: x A' and h B'; back: the hidden values again, and the gradients of hidden values, A, B and x.
        let forward = (batch.checkpointing ? 2 : 1) * (k + n)
        let perRank = forward + 3 * k + 2 * n
        return dense(operations: 2 * Double(rows) * Double(batch.rank) * perRank)
    }

    private func weightGradient(_ layout: WeightLayout, rows: Int) -> ComputeCost {
        var cost = dense(
            operations: 2 * Double(rows) * Double(layout.inputs) * Double(layout.outputs))
        // Read and written again.
        cost.memory += 2 * Double(layout.byteCount) / calibration.limits.readBandwidth
        return cost
    }

    private func attentionBackward(_ batch: TrainingBatch) -> ComputeCost {
        let operations =
            shape.attentionOperations(rows: batch.length, firstPosition: 0)
            * AttentionCost.backwardFactor
        let paged = description.pagedLayers(0..<description.layers)
        // The states are computed twice again, and there are gradients of what each step read and wrote.
        let linear = 4 * linearOperations(rows: batch.length)
        return ComputeCost(
            arithmetic: (operations * Double(paged) + linear) * Double(batch.sequences)
                / calibration.attention.backward)
    }

    /// Logits, their losses and gradients, a few rows at a time.
    private func loss(_ head: WeightLayout, rows: Int, isFull: Bool) -> ComputeCost {
        let chunk = LossHead.chunkRows(vocabulary: description.vocabulary, rows: rows)
        let both = product(head, rows: chunk) + product(head, rows: chunk, backward: true)
        var cost = both * (Double(rows) / Double(chunk))
        cost.memory +=
            Double(rows) * Double(description.vocabulary) * 4 * 4
            / calibration.limits.readBandwidth
        if isFull { cost += weightGradient(head, rows: rows) }
        return cost
    }

    // MARK: Parts

    /// All layers for `rows` tokens, without attention.
    func layers(
        _ layouts: DecoderLayouts, rows: Int, without role: DecoderDescription.Role? = nil
    ) -> ComputeCost {
        var cost = elementwise(rows: rows)
        // Layers are much alike, so equal products are counted by their number; in order of appearance, so that sums are
        // the same each time.
        var (kinds, counts): ([Product], [Product: Int]) = ([], [:])
        for (layout, own, isExpert) in linears(layouts) where own != role {
            let kind = Product(layout: layout, isExpert: isExpert)
            if counts[kind] == nil { kinds.append(kind) }
            counts[kind, default: 0] += 1
        }
        for kind in kinds {
            let (seen, share) = kind.isExpert ? expertRows(rows) : (rows, 1)
            cost += product(kind.layout, rows: seen) * (Double(counts[kind] ?? 0) * share)
        }
        return cost
    }

    private struct Product: Hashable {
        let layout: WeightLayout
        let isExpert: Bool
    }

    /// All linear layers, what they do, and whether only some rows go through them.
    private func linears(
        _ layouts: DecoderLayouts
    ) -> [(layout: WeightLayout, role: DecoderDescription.Role, isExpert: Bool)] {
        let kinds = description.distinctLayers.map { kind in
            (
                description.shape(layer: kind.layer),
                description.linears(layer: kind.layer).map(\.role)
            )
        }
        return layouts.layers.enumerated().flatMap { layer, linears in
            let shape = description.shape(layer: layer)
            let roles = kinds.first { $0.0 == shape }?.1 ?? []
            return zip(linears, roles).map { layout, role in
                let isInside = [.gate, .up, .gateUp, .down].contains(role)
                return (layout, role, shape.mixture != nil && isInside)
            }
        }
    }

    /// Rows that an expert sees when it is chosen, and the share of experts that are, when rows choose evenly.
    private func expertRows(_ rows: Int) -> (rows: Int, share: Double) {
        guard let mixture = shape.mixture else { return (rows, 1) }
        let chosen = min(mixture.experts, rows * mixture.expertsPerRow)
        return (
            max(1, rows * mixture.expertsPerRow / chosen),
            Double(chosen) / Double(mixture.experts)
        )
    }

    /// Norms, rotary embedding, activation and sums of all layers: the numbers that are moved through memory, and what
    /// handing out operations takes.
    private func elementwise(rows: Int) -> ComputeCost {
        let numbers =
            10 * shape.hidden + 3 * (shape.queryWidth + 2 * shape.keyWidth) + 6 * shape.intermediate
        let bytes = 4 * Double(numbers) * Double(rows)
        let seconds =
            bytes / calibration.limits.readBandwidth
            + Estimator.operations * calibration.operationSeconds
        return ComputeCost(memory: seconds * Double(description.layers))
    }

    /// Operations of a layer that are handed to all workers: seven products, and as many others.
    private static let operations = 14.0

    func attention(rows: Int, firstPosition: Int) -> ComputeCost {
        let operations = (0..<description.layers).filter { !description.isLinear($0) }
            .reduce(0) { sum, layer in
                sum
                    + shape.attentionOperations(
                        rows: rows, firstPosition: firstPosition,
                        window: description.kind(layer: layer).window)
            }
        return ComputeCost(
            arithmetic: (operations + linearOperations(rows: rows))
                / calibration.attention.forward)
    }

    /// Operations on the states of linear attention or of state-space layers in all layers, at the rate of attention: each number of a state is
    /// multiplied four times and added to three sums a row.
    private func linearOperations(rows: Int) -> Double {
        guard let rule = shape.mixer?.rule else { return 0 }
        let states = Double(rule.valueHeads * rule.keyDim * rule.valueDim)
        let layers = description.layers - description.pagedLayers(0..<description.layers)
        return 7 * states * Double(rows * layers)
    }

    func dense(operations: Double) -> ComputeCost {
        let rate = calibration.rates(.f32).operations(.f32, backward: false)
        return ComputeCost(arithmetic: operations / rate)
    }

    private func product(
        _ layout: WeightLayout, rows: Int, backward: Bool = false
    ) -> ComputeCost {
        calibration.product(layout, rows: rows, precision, backward: backward)
    }

    /// Which experts are read is known only once the layer's attention has been computed: their reading adds to the computation
    /// where whole layers' goes on beside it.
    private func estimate(
        _ cost: ComputeCost, tokens: Int, disk: Double, _ placement: WeightPlacement?
    ) -> StageEstimate {
        guard placement.map({ $0.expertCount > 0 }) ?? false else {
            return cost.estimate(tokens: tokens, disk: disk)
        }
        let seconds = cost.seconds + disk
        return StageEstimate(
            seconds: seconds, tokensPerSecond: Double(tokens) / seconds,
            limit: disk > cost.seconds ? .disk : cost.estimate().limit)
    }

    /// Seconds of reading what is streamed in a pass of so many rows; 0 when all is in memory, nil when the disk is not known.
    func streaming(_ placement: WeightPlacement?, _ walk: LayerWalk, rows: Int) -> Double? {
        guard let placement, placement.isStreaming else { return 0 }
        guard let streamingDisk else { return nil }
        let bytes =
            walk == .forward ? placement.usualReads(rows: rows) : Double(placement.trainingReads)
        return bytes / streamingDisk.read
    }
}
