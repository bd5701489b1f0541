// SPDX-License-Identifier: Apache-2.0
// How many tokens of cache a server can hold beside its weights.
import EftModels
import EftNN
import EftTensor

/// What a server is to hold.
package struct ServeRequirements: Sendable {
    /// Most tokens of a sequence; the model's own context when nil.
    package var maxModelLength: Int?
    /// Whether a context that does not fit may be shortened.
    package var mayShorten = false
    /// Most sequences in a step.
    package var maxSequences: Int
    /// Most tokens in a step.
    package var maxBatchedTokens: Int
    /// How keys and values are held.
    package var kvType: KVType
    /// Bytes of keys and values on all devices together; whatever is left when nil.
    package var cacheBytes: Int?
    /// Pages of the cache; goes before `cacheBytes`.
    package var cachePages: Int?

    /// States requirements.
    package init(maxSequences: Int, maxBatchedTokens: Int, kvType: KVType) {
        self.maxSequences = maxSequences
        self.maxBatchedTokens = maxBatchedTokens
        self.kvType = kvType
    }

    /// Rows of logits that are computed at once: sequences beyond them are served in parts.
    package static let logitRows = 32
    /// Bytes of tables that a page of the cache takes besides keys and values.
    package static let tableBytes = 512
}

/// A server that fits, or the plan of one that does not.
package struct ServePlan: Sendable {
    /// What the engine needs.
    package let need: GenerationNeed
    /// The memory.
    package let stage: StagePlan

    /// Tokens that the cache holds.
    package var cacheTokens: Int { need.pages * pageTokens }
    /// Sequences of the greatest length that fit the cache at once.
    package var concurrency: Double {
        Double(need.pages) / Double(pageCount(tokens: need.contextLength))
    }
}

extension Planner {
    /// Plans a server whose cache takes what the weights leave.
    ///
    /// Layers are streamed only when they do not fit beside the cache of a single sequence.
    package func serve(
        layouts: DecoderLayouts, adapters: AdapterExtents? = nil, load: LoadNeed = LoadNeed(),
        requirements: ServeRequirements
    ) -> ServePlan {
        let length = min(
            requirements.maxModelLength ?? description.contextLength, description.contextLength)
        func planned(length: Int, pages: Int) -> ServePlan {
            var need = GenerationNeed(
                contextLength: length, sequences: requirements.maxSequences,
                prefillChunk: requirements.maxBatchedTokens, kvType: requirements.kvType,
                cachePages: pages,
                logitRows: min(requirements.maxSequences, ServeRequirements.logitRows))
            need.adapters = adapters?.widths ?? AdapterWidths()
            var stage = serving(
                need, layouts: layouts, adapters: adapters, load: load,
                tables: pages * ServeRequirements.tableBytes)
            stage.detail =
                "\(pages * pageTokens) tokens of cache, \(requirements.maxSequences) at once"
            return ServePlan(need: need, stage: stage)
        }
        func fits(_ plan: ServePlan, streaming: Bool) -> Bool {
            plan.stage.fits(limits) && (streaming || plan.stage.streaming == nil)
        }
        if let pages = pages(requirements) {
            return planned(length: min(length, max(pages, 1) * pageTokens), pages: max(pages, 1))
        }
        let least = planned(length: length, pages: pageCount(tokens: length))
        for streaming in [false, true] where fits(least, streaming: streaming) {
            // A streamed base gains more by layers in memory than by more sequences than a few.
            let most = pageCount(tokens: length) * (streaming ? 1 : requirements.maxSequences)
            let pages = ServePlan.most(pageCount(tokens: length)...most) {
                fits(planned(length: length, pages: $0), streaming: streaming)
            }
            return planned(length: length, pages: pages)
        }
        let shorter = shortened(length: length) {
            fits(planned(length: $0, pages: pageCount(tokens: $0)), streaming: true)
        }
        if let shorter, requirements.mayShorten {
            return planned(length: shorter, pages: pageCount(tokens: shorter))
        }
        var stage = least.stage
        if let shorter { stage.remedy = "--max-model-len \(shorter)" }
        return ServePlan(need: least.need, stage: stage)
    }

    /// Pages that were asked for.
    private func pages(_ requirements: ServeRequirements) -> Int? {
        if let pages = requirements.cachePages { return pages }
        let page = PagedCache.byteCount(
            pages: 1, layers: description.pagedLayers(0..<description.layers),
            shape: description.shape,
            kvType: requirements.kvType)
        return requirements.cacheBytes.map { $0 / max(page, 1) }
    }

    /// The longest context below a length that fits; nil when not even a page does.
    private func shortened(length: Int, _ fits: (Int) -> Bool) -> Int? {
        guard length > pageTokens, fits(pageTokens) else { return nil }
        return ServePlan.most(1...length / pageTokens) { fits($0 * pageTokens) } * pageTokens
    }

    private func serving(
        _ need: GenerationNeed, layouts: DecoderLayouts, adapters: AdapterExtents?,
        load: LoadNeed, tables: Int
    ) -> StagePlan {
        var planner = self
        planner.programBytes += tables
        return planner.run(
            name: "serve", layouts: layouts, adapters: adapters, load: load, need: need,
            seekingRemedy: false)
    }
}

extension ServePlan {
    /// The largest number of a range for which a test that holds for the first one, and for none beyond one that fails,
    /// holds.
    fileprivate static func most(_ range: ClosedRange<Int>, _ holds: (Int) -> Bool) -> Int {
        var (low, high) = (range.lowerBound, range.upperBound)
        while low < high {
            let middle = low + (high - low + 1) / 2
            if holds(middle) { low = middle } else { high = middle - 1 }
        }
        return low
    }
}
