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
    /// Pages of the cache.
    package var pages: Int { cachePages ?? pageCount(tokens: contextLength) * sequences }
    /// Most rows that the head sees at once.
    package var headRows: Int { logitRows ?? sequences }

    /// The need of the forward pass.
    package var workspace: DecoderWorkspaceNeed {
        var need = DecoderWorkspaceNeed(rows: rows, logitRows: headRows, adapters: adapters)
        need.residency = .onUse
        return need
    }

    /// Bytes by purpose on the device of a part, without scratch memory.
    package func memory(_ description: DecoderDescription, part: DecoderPart) -> MemoryTable {
        MemoryTable([
            .kvCache: PagedCache.byteCount(
                pages: pages, layers: description.pagedLayers(part.layers),
                shape: description.shape, kvType: kvType)
                + (description.states(sequences: sequences)?.byteCount(layers: part.layers) ?? 0),
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
            pageCount: need.pages, ledgers: layerLedgers, shape: description.shape,
            kvType: need.kvType, states: description.states(sequences: need.sequences))
    }
}
