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
    /// States that may be kept of what prompts begin with, where layers have linear attention: fewer where they do not fit.
    package var stateSnapshots = 0
    /// Whether sequences may go back by some tokens, where layers have linear attention.
    package var hasStateBackups = false

    /// States requirements.
    package init(maxSequences: Int, maxBatchedTokens: Int, kvType: KVType) {
        self.maxSequences = maxSequences
        self.maxBatchedTokens = maxBatchedTokens
        self.kvType = kvType
    }

    /// States of linear attention that are kept for prompts that begin alike at most.
    private static let mostSnapshots = 16

    /// Keeps states of prompts and answers, where there is room: two for each sequence at once, up to a number.
    package mutating func keepStates() {
        stateSnapshots = min(2 * maxSequences, ServeRequirements.mostSnapshots)
    }

    /// What generation needs with a number of pages.
    func need(length: Int, pages: Int) -> GenerationNeed {
        var need = GenerationNeed(
            contextLength: length, sequences: maxSequences, prefillChunk: maxBatchedTokens,
            kvType: kvType, cachePages: pages,
            logitRows: min(maxSequences, ServeRequirements.logitRows))
        need.stateSnapshots = stateSnapshots
        need.hasStateBackups = hasStateBackups
        return need
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
        var requirements = requirements
        if description.shape.mixer == nil { requirements.stateSnapshots = 0 }
        while true {
            let plan = serve(layouts, adapters, load, requirements)
            let fits = plan.stage.fits(limits) && plan.stage.streaming == nil
            guard !fits, requirements.stateSnapshots > 0 else { return plan }
            requirements.stateSnapshots /= 2
        }
    }

    /// The same with all states that are asked for.
    private func serve(
        _ layouts: DecoderLayouts, _ adapters: AdapterExtents?, _ load: LoadNeed,
        _ requirements: ServeRequirements
    ) -> ServePlan {
        let length = min(
            requirements.maxModelLength ?? description.contextLength, description.contextLength)
        func planned(length: Int, pages: Int) -> ServePlan {
            var need = requirements.need(length: length, pages: pages)
            need.adapters = adapters?.widths ?? AdapterWidths()
            var stage = serving(
                need, layouts: layouts, adapters: adapters, load: load,
                tables: need.tablePages(description) * ServeRequirements.tableBytes)
            stage.detail =
                "\(pages * pageTokens) tokens of cache, \(requirements.maxSequences) at once"
            return ServePlan(need: need, stage: stage)
        }
        func fits(_ plan: ServePlan, streaming: Bool) -> Bool {
            plan.stage.fits(limits) && (streaming || plan.stage.streaming == nil)
        }
        if let pages = pages(requirements, length: length) {
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
    private func pages(_ requirements: ServeRequirements, length: Int) -> Int? {
        if let pages = requirements.cachePages { return pages }
        return requirements.cacheBytes.map { bytes in
            func takes(_ pages: Int) -> Int {
                requirements.need(length: length, pages: pages)
                    .cacheBytes(description, layers: 0..<description.layers)
            }
            // Layers with a window take no more beyond some number of pages: then as many as all sequences can fill.
            let whole = pageCount(tokens: length) * requirements.maxSequences
            let each = max(takes(2 * whole + 1) - takes(2 * whole), 0)
            let most = each > 0 ? max(1, bytes / each) : whole
            return takes(1) > bytes ? 0 : ServePlan.most(1...most) { takes($0) <= bytes }
        }
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
