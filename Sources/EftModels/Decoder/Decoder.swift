// SPDX-License-Identifier: Apache-2.0
// The one decoder: training, prefill and decoding are the same forward pass over ragged batches.
import EftNN
import EftTensor

/// A decoder-only language model, with the adapters that were loaded on top.
///
/// Its layers stand on one device or on several, in memory or passing through the window of a stream; passes go by
/// `withLayer` and see no difference.
/// Changed only while it is put together (adapters, gradients), hence unchecked.
package final class Decoder: @unchecked Sendable {
    /// What it is made of.
    package let description: DecoderDescription
    /// The devices that it stands on.
    package let devices: [any Backend]
    /// What each device holds.
    package let parts: [DecoderPart]
    /// The embedding, [V][C] as a weight of C inputs and V outputs.
    package let embedding: PackedWeight
    /// What is added to the embeddings for each position; nil where positions do not change them.
    package let positions: LearnedPositions?
    /// Layers in order; the weights of streamed ones can be used inside `withLayer` only.
    package let layers: [DecoderLayer]
    /// What streams whole layers of each device; nil where none are.
    package let streams: [LayerStream?]
    /// What streams experts alone, of the devices where they are.
    package let expertStreams: [ExpertStream]
    /// The norm before the head.
    package let finalNorm: Norm
    /// The head; its weight is the embedding when they are tied.
    package let head: Linear
    /// The adapter whose embedding or head these are; nil when they are the base's.
    package let endsAdapter: String?
    /// The embedding's trainable view when it is trained itself.
    package internal(set) var embeddingParameter: Parameter?
    /// Rows of the embedding that are trained alone.
    package internal(set) var embeddingRows: TokenRows?
    /// What rounds rows of the embedding in quantization-aware training.
    package internal(set) var embeddingQuantizer: FakeQuantizer?
    /// Adapters of the embedding by their slot.
    package var embeddingAdapters: [Int: EmbeddingLoRA] = [:]
    /// Names of the loaded adapters by slot; nil for slots that are free again.
    package internal(set) var adapterNames: [String?] = []

    /// Puts a decoder together on one device.
    package convenience init(
        description: DecoderDescription, backend: any Backend, embedding: PackedWeight,
        positions: LearnedPositions? = nil, layers: [DecoderLayer], finalNorm: Norm, head: Linear
    ) {
        self.init(
            description: description, devices: [backend], parts: [description.wholePart],
            embedding: embedding, positions: positions, layers: layers, finalNorm: finalNorm,
            head: head, streams: [nil])
    }

    /// Puts a decoder together whose parts stand on devices in order.
    package init(
        description: DecoderDescription, devices: [any Backend], parts: [DecoderPart],
        embedding: PackedWeight, positions: LearnedPositions? = nil, layers: [DecoderLayer],
        finalNorm: Norm, head: Linear, streams: [LayerStream?], expertStreams: [ExpertStream] = [],
        endsAdapter: String? = nil
    ) {
        precondition((positions != nil) == (description.positions != nil), "as described")
        precondition(devices.count == parts.count && devices.count == streams.count)
        precondition(parts.reduce(0) { $0 + $1.layers.count } == layers.count)
        self.description = description
        self.devices = devices
        self.parts = parts
        self.embedding = embedding
        self.positions = positions
        self.layers = layers
        self.finalNorm = finalNorm
        self.head = head
        self.streams = streams
        self.expertStreams = expertStreams
        self.endsAdapter = endsAdapter
    }

    /// All linear layers inside the decoder layers.
    package var linears: [Linear] { layers.flatMap(\.linears) }

    /// The widest of its adapters, and of layers that round their inputs.
    package var adapterWidths: AdapterWidths {
        var widths = AdapterWidths()
        for linear in linears + [head] {
            if linear.fakeQuantizer?.roundsInputs == true {
                widths = widths | AdapterWidths(changedInputs: linear.weight.inputs)
            }
            for adapter in linear.adapters.values {
                widths =
                    widths
                    | AdapterWidths(
                        rank: adapter.rank,
                        changedInputs: adapter.dropout > 0 ? linear.weight.inputs : 0,
                        scaledOutputs: adapter.magnitude == nil ? 0 : linear.weight.outputs)
            }
        }
        let embeddingRank = embeddingAdapters.values.map(\.rank).max() ?? 0
        return widths | AdapterWidths(rank: embeddingRank)
    }

    /// The slot that the next adapter gets.
    package var freeAdapterSlot: Int {
        adapterNames.firstIndex { $0 == nil } ?? adapterNames.count
    }

    /// Notes that a slot holds an adapter.
    func nameAdapter(_ slot: Int, _ name: String) {
        if slot == adapterNames.count { adapterNames.append(nil) }
        adapterNames[slot] = name
    }

    /// Takes an adapter off all layers and gives its memory back; must not happen during a pass.
    package func removeAdapter(_ slot: Int) {
        guard adapterNames.indices.contains(slot) else { return }
        for linear in linears + [head] { linear.adapters[slot] = nil }
        embeddingAdapters[slot] = nil
        adapterNames[slot] = nil
    }

    /// Computes the hidden states of a batch, before the last norm, into the workspace of the head's device.
    ///
    /// Keys and values go to the cache. Returns a view that the next call overwrites.
    /// - Parameter kept: the rows whose states somebody will look at, in ascending order; the others hold anything
    ///   afterwards. All rows when nil.
    /// - Throws: `ModelError` for token ids beyond the vocabulary or a batch larger than the workspace, `FormatError`
    ///   when a streamed layer cannot be read.
    package func forward(
        _ batch: DecoderBatch, keeping kept: [Int]? = nil, cache: any KVCache,
        workspace: DecoderWorkspace
    ) throws -> Matrix {
        let kept = kept?.count == batch.count ? nil : kept
        var walk = try DecoderWalk(self, batch, cache: cache, workspace: workspace)
        while !walk.isDone {
            try walk.step(keeping: walk.next == layers.count - 1 ? kept : nil)
        }
        if let kept { walk.hidden.unpack(kept) }
        return walk.atHead()
    }

    /// Computes the last norm's output `[rows.count][C]` of chosen rows of hidden states into the workspace.
    /// - Throws: `ModelError` for more rows than the workspace has for logits.
    package func states(
        of hidden: Matrix, rows: [Int], workspace: DecoderWorkspace
    ) throws -> Matrix {
        guard rows.count <= workspace.logits.rows else {
            throw ModelError(
                .invalidInput,
                "\(rows.count) rows of logits asked for, the workspace holds \(workspace.logits.rows)"
            )
        }
        let selected = workspace.selected.rows(0..<rows.count)
        selected.pack(rows, of: hidden)
        finalNorm.forward(
            selected, into: selected, devices[headDevice])
        return selected
    }

    /// Computes logits `[rows.count][V]` of chosen rows of hidden states into the workspace.
    /// - Throws: `ModelError` for more rows than the workspace holds.
    package func logits(
        of hidden: Matrix, rows: [Int], batch: DecoderBatch, workspace: DecoderWorkspace
    ) throws -> Matrix {
        let selected = try states(of: hidden, rows: rows, workspace: workspace)
        let logits = workspace.logits.rows(0..<rows.count)
        // Each chosen row keeps the adapters of its row in the batch.
        let segments = rows.enumerated().flatMap { target, source in
            batch.adapterSegments.filter { $0.rows.contains(source) }
                .map { AdapterSegment(rows: target..<target + 1, slots: $0.slots) }
        }
        let pass = Pass(
            backend: devices[headDevice], adapterSegments: segments,
            adapterScratch: workspace[headDevice].adapterScratch)
        try head.forward(selected, into: logits, pass)
        description.headTransform.forward(logits, pass.backend)
        return logits
    }

    // MARK: Shared by the passes

    /// - Throws: `ModelError` for a batch that the workspace or the vocabulary does not hold.
    func check(_ batch: DecoderBatch, _ workspace: DecoderWorkspace) throws(ModelError) {
        guard batch.count <= workspace.rows else {
            throw ModelError(
                .invalidInput,
                "a batch of \(batch.count) rows, the workspace holds \(workspace.rows)")
        }
        if let bad = batch.tokens.first(where: { $0 < 0 || Int($0) >= description.vocabulary }) {
            throw ModelError(
                .invalidInput,
                "token id \(bad) is beyond the model's vocabulary of \(description.vocabulary); "
                    + "tokenizer and model do not belong together")
        }
        for run in batch.runs {
            try description.checkPositions(
                run.firstPosition + run.rows.count, what: "a sequence")
        }
    }

    func embed(
        _ batch: DecoderBatch, into hidden: Matrix, _ workspace: DecoderWorkspace
    ) throws(TensorError) {
        let device = devices[embeddingDevice]
        device.gather(embeddingQuantizer?.weight ?? embedding, rows: batch.tokens, into: hidden)
        for segment in embeddingAdapters.isEmpty ? [] : batch.adapterSegments {
            for slot in segment.slots {
                try embeddingAdapters[slot]?.forward(
                    batch.tokens[segment.rows], into: hidden.rows(segment.rows),
                    scratch: workspace[embeddingDevice].adapterScratch)
            }
        }
        let scale = description.embeddingScale
        if scale != 1 { device.scale(hidden, by: scale) }
        positions?.add(to: hidden, batch)
    }

    /// A pass of a batch through layers of the device of a workspace.
    func layerPass(
        _ batch: DecoderBatch, cache: any KVCache, place: DeviceWorkspace,
        activations: LayerActivations? = nil, dropoutSeed: UInt64? = nil
    ) -> LayerPass {
        let rows = 0..<batch.count
        return LayerPass(
            batch: batch,
            pass: Pass(
                backend: place.backend, adapterSegments: batch.adapterSegments,
                adapterScratch: place.adapterScratch, dropoutSeed: dropoutSeed),
            activations: activations ?? place.activations, cache: cache,
            rotations: place.rotations.map { $0.rows(rows) })
    }
}
