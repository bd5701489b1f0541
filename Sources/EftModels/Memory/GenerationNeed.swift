// SPDX-License-Identifier: Apache-2.0
// The memory of generation besides weights, stated before it is taken.
import EftNN
import EftTensor

/// What generation needs besides weights and adapters.
package struct GenerationNeed: Sendable, Hashable {
    /// Most tokens of a sequence, prompt and answer together.
    package var contextLength: Int
    /// Most sequences at once.
    package var sequences: Int
    /// Most prompt tokens read at once.
    package var prefillChunk: Int
    /// Type of keys and values.
    package var kvType: KVType
    /// The widest of the adapters.
    package var adapters: AdapterWidths
    /// Whether an adapter acts on the head.
    package var adaptsHead = false
    /// Pages of the cache; as many as all sequences can fill when nil.
    package var cachePages: Int?
    /// Most rows of logits computed at once; one for each sequence when nil.
    package var logitRows: Int?
    /// Tokens that each sequence may run ahead of those that are certain, besides the rows of a pass.
    package var ahead = 0
    /// States that are kept of what sequences begin with, where layers have linear attention.
    package var stateSnapshots = 0
    /// Whether sequences may go back by some tokens, where layers have linear attention.
    package var hasStateBackups = false

    /// States a need.
    package init(
        contextLength: Int, sequences: Int = 1, prefillChunk: Int = 512, kvType: KVType = .bf16,
        adapters: AdapterWidths = AdapterWidths(), cachePages: Int? = nil, logitRows: Int? = nil
    ) {
        self.contextLength = contextLength
        self.sequences = sequences
        self.prefillChunk = max(prefillChunk, sequences)
        self.kvType = kvType
        self.adapters = adapters
        self.cachePages = cachePages
        self.logitRows = logitRows
    }

    /// Most rows of a batch: no more than all sequences can have.
    package var rows: Int { max(min(prefillChunk, contextLength * sequences), sequences) }
    /// Pages of the cache, for each layer that sees all positions.
    package var pages: Int { cachePages ?? pageCount(tokens: contextLength) * sequences }
    /// Most rows that the head sees at once.
    package var headRows: Int { logitRows ?? sequences }

    /// What sequences ask of layers with a window.
    private var windowDemand: WindowDemand {
        WindowDemand(sequences: sequences, rows: rows, ahead: ahead)
    }

    /// The pages of all layers: those with a window hold what it reaches.
    package func pagePlan(_ description: DecoderDescription) -> PagePlan {
        PagePlan(
            pages: pages,
            kinds: (0..<description.layers).map { layer in
                var kind = description.kind(layer: layer)
                kind.isLinear = description.isLinear(layer)
                return kind
            }, demand: windowDemand)
    }

    /// Pages of all groups of layers of `pagePlan`, for which tables are kept.
    package func tablePages(_ description: DecoderDescription) -> Int {
        guard description.kinds.contains(where: { $0.window != nil }) else { return pages }
        return pagePlan(description).tablePages
    }

    /// The states of layers with linear attention; nil where there are none.
    package func states(_ description: DecoderDescription) -> StateNeed? {
        var need = description.states(sequences: sequences)
        need?.snapshots = stateSnapshots
        need?.hasBackups = hasStateBackups
        return need
    }

    /// Bytes of keys and values in some layers, as `pagePlan` has them: asked for many times while layers are placed.
    package func cacheBytes(_ description: DecoderDescription, layers: Range<Int>) -> Int {
        let pageBytes = kvType.pageBytes(
            kvHeads: description.shape.kvHeads, headDim: description.shape.headDim)
        guard description.kinds.contains(where: { $0.window != nil }) else {
            return pages * pageBytes * description.pagedLayers(layers)
        }
        let (pages, demand) = (pages, windowDemand)
        return layers.reduce(0) { sum, layer in
            guard !description.isLinear(layer) else { return sum }
            let window = description.kind(layer: layer).window
            return sum + pageBytes * (window.map { min(pages, demand.pages(window: $0)) } ?? pages)
        }
    }

    /// The need of the forward pass.
    package var workspace: DecoderWorkspaceNeed {
        var need = DecoderWorkspaceNeed(rows: rows, logitRows: headRows, adapters: adapters)
        need.residency = .onUse
        return need
    }

    /// Bytes by purpose on the device of a part, without scratch memory.
    package func memory(_ description: DecoderDescription, part: DecoderPart) -> MemoryTable {
        MemoryTable([
            .kvCache: cacheBytes(description, layers: part.layers)
                + (states(description)?.byteCount(layers: part.layers) ?? 0),
            .activations: workspace.byteCount(description, part: part),
        ])
    }

    /// Scratch memory on the device of a part for weights of given layouts.
    package func scratch(
        _ layouts: DecoderLayouts, part: DecoderPart, on backend: any Backend
    ) -> Int {
        guard !part.isEmpty else { return 0 }
        var scratch = DecoderScratch(
            layouts, part: part, rows: rows, headRows: headRows, adapters: adapters)
        scratch.adaptsHead = adaptsHead
        return scratch.byteCount(on: backend)
    }
}

extension Decoder {
    /// The cache that generation needs.
    /// - Throws: `TensorError` when it does not fit a ledger.
    package func cache(_ need: GenerationNeed) throws(TensorError) -> PagedCache {
        try PagedCache(
            need.pagePlan(description), ledgers: layerLedgers, shape: description.shape,
            kvType: need.kvType, states: need.states(description))
    }
}
