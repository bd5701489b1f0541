// SPDX-License-Identifier: Apache-2.0
// Two decoders that share the devices: a model and the reference that it is compared with.
import EftModels
import EftTensor

/// A decoder that scores a text beside another one.
package struct ComparedDecoder {
    /// The planner for its model.
    package var planner: Planner
    /// Its weights.
    package var layouts: DecoderLayouts
    /// Adapters on it.
    package var adapters: AdapterExtents?
    /// The steps of loading it.
    package var load: LoadNeed
    /// How its keys and values are held.
    package var kvType: KVType

    /// States a decoder.
    package init(
        planner: Planner, layouts: DecoderLayouts, adapters: AdapterExtents? = nil,
        load: LoadNeed = LoadNeed(), kvType: KVType = .f32
    ) {
        self.planner = planner
        self.layouts = layouts
        self.adapters = adapters
        self.load = load
        self.kvType = kvType
    }

    fileprivate func plan(_ name: String, rows: Int, limits: [Int]) -> StagePlan {
        var planner = planner
        planner.limits = limits
        return planner.stage(
            name,
            planner.task(layouts, adapters: adapters, load: load)
                .evaluation(rows: rows, kvType: kvType),
            "windows of \(rows) tokens")
    }
}

/// What comparing a model with a reference holds.
package struct ComparisonPlan: Sendable, Hashable {
    /// The model's share.
    package let model: StagePlan
    /// The reference's share.
    package let reference: StagePlan
    /// Both together.
    package private(set) var whole: StagePlan

    /// Divides devices between two decoders so that the fewest bytes are streamed.
    /// - Parameters:
    ///   - model: the model; its planner's limits and program stand for both.
    ///   - reference: what it is compared with.
    ///   - rows: tokens of a window.
    package init(
        name: String, model: ComparedDecoder, reference: ComparedDecoder, rows: Int
    ) {
        let pair = Pair(name: name, model: model, reference: reference)
        let found = pair.best(rows: rows)
        // What does not fit is shown as small as it can be.
        (self.model, self.reference) = found ?? pair.least(rows: rows)
        whole = self.model + self.reference
        guard found == nil else { return }
        var smaller = rows
        while whole.remedy == nil, smaller > 64 {
            smaller /= 2
            if pair.best(rows: smaller) != nil { whole.remedy = "--length \(smaller)" }
        }
        if whole.remedy == nil { whole.remedy = model.planner.enough(whole) }
    }
}

/// The search for the division of devices between two decoders.
private struct Pair {
    let name: String
    let model: ComparedDecoder
    let reference: ComparedDecoder

    /// Sixteenths of the devices that the reference is tried with.
    private static let parts = 16

    private var limits: [Int] { model.planner.limits }

    func best(rows: Int) -> (model: StagePlan, reference: StagePlan)? {
        var found: (model: StagePlan, reference: StagePlan)?
        func consider(_ candidate: (model: StagePlan, reference: StagePlan)?) {
            guard let candidate else { return }
            if let best = found, Pair.reads(best) <= Pair.reads(candidate) { return }
            found = candidate
        }
        consider(modelFirst(rows))
        for part in (1...Pair.parts).reversed() {
            if let found, Pair.reads(found) == 0 { break }
            consider(referenceFirst(rows, part: part))
        }
        return found
    }

    /// Each as small as streaming makes it.
    func least(rows: Int) -> (model: StagePlan, reference: StagePlan) {
        let nothing = limits.map { _ in 0 }
        return (
            model.plan(name, rows: rows, limits: nothing),
            reference.plan(name, rows: rows, limits: nothing)
        )
    }

    private func modelFirst(_ rows: Int) -> (model: StagePlan, reference: StagePlan)? {
        let first = model.plan(name, rows: rows, limits: limits)
        guard first.fits(limits) else { return nil }
        let rest = Pair.rest(limits, first)
        let second = reference.plan(name, rows: rows, limits: rest)
        return second.fits(rest) ? (first, second) : nil
    }

    /// The reference within some of the parts of the devices, the model in what it leaves.
    private func referenceFirst(
        _ rows: Int, part: Int
    ) -> (model: StagePlan, reference: StagePlan)? {
        let share = limits.map { $0 == .max ? $0 : $0 / Pair.parts * part }
        let first = reference.plan(name, rows: rows, limits: share)
        guard first.fits(share) else { return nil }
        let rest = Pair.rest(limits, first)
        let second = model.plan(name, rows: rows, limits: rest)
        return second.fits(rest) ? (second, first) : nil
    }

    private static func rest(_ limits: [Int], _ plan: StagePlan) -> [Int] {
        zip(limits, plan.devices).map { $0 == .max ? $0 : max(0, $0 - $1.total) }
    }

    /// Bytes that a window reads from disk.
    private static func reads(_ pair: (model: StagePlan, reference: StagePlan)) -> Int {
        [pair.model, pair.reference].reduce(0) { $0 + ($1.placement?.forwardReads ?? 0) }
    }
}

extension StagePlan {
    /// Two stages that stand on the same devices at the same time, the second of which is loaded when the first is.
    fileprivate static func + (one: StagePlan, other: StagePlan) -> StagePlan {
        var sum = one
        sum.devices = zip(one.devices, other.devices).map { $0 + $1 }
        sum.notAtOnce += other.notAtOnce + min(one.passing, other.peak)
        sum.disk += other.disk
        sum.placement = nil
        return sum
    }
}
