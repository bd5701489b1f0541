// SPDX-License-Identifier: Apache-2.0
// The widest weights, the widest keys and values and the longest context that fit.
import EftModels
import EftNN
import EftQuant
import EftTensor

/// A way to hold a model's weights.
package struct FitCandidate: Sendable {
    /// What it is called in messages, such as `weights as stored`.
    package let name: String
    /// Its layouts.
    package let layouts: DecoderLayouts
    /// The steps of loading.
    package let load: LoadNeed

    /// Names a way.
    package init(name: String, layouts: DecoderLayouts, load: LoadNeed = LoadNeed()) {
        self.name = name
        self.layouts = layouts
        self.load = load
    }
}

/// What was found to fit.
package struct Fit: Sendable {
    /// The place of the weights' form among the candidates.
    package let candidate: Int
    /// What generation needs.
    package let need: GenerationNeed
}

/// What a run is to hold at least, and what it may choose.
package struct FitRequirements: Sendable, Hashable {
    /// Tokens that the context must hold.
    package var least: Int
    /// Tokens that it need not pass.
    package var most: Int
    /// Types of keys and values to choose from, the widest first.
    package var kvTypes: [KVType]
    /// Sequences at once.
    package var sequences: Int
    /// States that are kept of what conversations begin with, where layers have linear attention.
    package var stateSnapshots = 0

    /// A context that is long enough: a longer one is not worth narrower keys and values.
    package static let enough = 8192

    /// States requirements.
    package init(least: Int, most: Int, kvTypes: [KVType], sequences: Int = 1) {
        self.least = least
        self.most = max(least, most)
        self.kvTypes = kvTypes
        self.sequences = sequences
    }

    /// All types that hold heads of a model, the widest first.
    package static func kvTypes(headDim: Int) -> [KVType] {
        [.bf16, .q8, .q6, .q4].filter { $0.holds(headDim: headDim) }
    }
}

extension Planner {
    /// The first of the candidates of which all layers fit in memory together with the context that is required.
    ///
    /// Keys and values are held in the widest type with which the context is long enough (`FitRequirements.enough`, or as long as
    /// it may be), or else in the one that makes it longest.
    /// - Returns: nil when none fits without streaming.
    package func fit(
        _ candidates: [FitCandidate], adapters: AdapterExtents? = nil, requirements: FitRequirements
    ) -> Fit? {
        let goal = min(requirements.most, max(requirements.least, FitRequirements.enough))
        for (index, candidate) in candidates.enumerated() {
            var best: GenerationNeed?
            for kvType in requirements.kvTypes {
                guard
                    let need = longest(candidate, adapters, requirements, kvType),
                    need.contextLength > best?.contextLength ?? 0
                else { continue }
                best = need
                if need.contextLength >= goal { break }
            }
            if let best { return Fit(candidate: index, need: best) }
        }
        return nil
    }

    /// The longest context within the requirements for one type of keys and values.
    private func longest(
        _ candidate: FitCandidate, _ adapters: AdapterExtents?, _ requirements: FitRequirements,
        _ kvType: KVType
    ) -> GenerationNeed? {
        func need(_ context: Int) -> GenerationNeed {
            var need = GenerationNeed(
                contextLength: context, sequences: requirements.sequences, kvType: kvType)
            need.stateSnapshots = requirements.stateSnapshots
            return need
        }
        func fits(_ context: Int) -> Bool {
            var planner = self
            planner.programBytes +=
                need(context).tablePages(description) * ServeRequirements.tableBytes
            let plan = planner.run(
                name: "", layouts: candidate.layouts, adapters: adapters, load: candidate.load,
                need: need(context), seekingRemedy: false)
            return plan.fits(limits) && plan.streaming == nil
        }
        guard fits(requirements.least) else { return nil }
        var (low, high) = (requirements.least, requirements.most)
        while low < high {
            let middle = low + (high - low + 1) / 2
            if fits(middle) { low = middle } else { high = middle - 1 }
        }
        return need(low)
    }

    /// The widest mean width of EXL2, in hundredths of a bit, at which a run fits as required.
    /// - Parameter quantizesEmbedding: whether the embedding has the head's width.
    package func widestEXL2(
        requirements: FitRequirements, quantizesEmbedding: Bool = false
    ) -> (bits: Double, need: GenerationNeed)? {
        func fit(_ hundredths: Int) -> (bits: Double, need: GenerationNeed)? {
            let bits = Double(hundredths) / 100
            let format = PlannedFormat.exl2(
                bits: bits, headBits: Planner.headBits(bits),
                quantizesEmbedding: quantizesEmbedding)
            guard let layouts = try? DecoderLayouts(description, format: format) else { return nil }
            let candidate = FitCandidate(name: "\(bits) bits", layouts: layouts)
            return self.fit([candidate], requirements: requirements).map { (bits, $0.need) }
        }
        // The narrowest mixes hold scales and tables beside their 2 bits.
        var (low, high) = (215, 800)
        guard var best = fit(low) else { return nil }
        while low < high {
            let middle = low + (high - low + 1) / 2
            if let found = fit(middle) { (best, low) = (found, middle) } else { high = middle - 1 }
        }
        return best
    }

    /// The width of a head beside layers of a width.
    package static func headBits(_ bits: Double) -> Int { bits >= 8 ? 8 : 6 }
}
