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
            if let best = found, Pair.reads(best, rows) <= Pair.reads(candidate, rows) { return }
            found = candidate
        }
        consider(modelFirst(rows))
        for part in (1...Pair.parts).reversed() {
            if let found, Pair.reads(found, rows) == 0 { break }
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
    private static func reads(
        _ pair: (model: StagePlan, reference: StagePlan), _ rows: Int
    ) -> Double {
        [pair.model, pair.reference].reduce(0) {
            $0 + ($1.placement?.usualReads(rows: rows) ?? 0)
        }
    }
}

extension StagePlan {
    /// Two stages on the same devices: the second is loaded where the first is, and only then both take what they work with. They
    /// compute in turn, so that the larger scratch of a device serves both.
    fileprivate static func + (one: StagePlan, other: StagePlan) -> StagePlan {
        var sum = one
        sum.disk += other.disk
        sum.placement = nil
        var whole = JointNeed()
        for device in one.devices.indices {
            let need = JointNeed(one, other, device: device)
            var table = one.devices[device] + other.devices[device]
            table[.workspace] += need.peak - table.total
            sum.devices[device] = table
            whole = whole + need
        }
        // Devices are loaded one after the other.
        whole.first -= one.notAtOnce
        whole.second -= other.notAtOnce
        sum.notAtOnce = sum.memory.total - whole.peak
        return sum
    }
}

/// What two stages hold on a device, at three times.
private struct JointNeed {
    /// Most bytes of the first alone.
    var first = 0
    /// Most bytes of the second beside the first's weights.
    var second = 0
    /// Bytes of both while they work.
    var working = 0

    var peak: Int { max(first, second, working) }

    init() {}

    init(_ one: StagePlan, _ other: StagePlan, device: Int) {
        let (mine, others) = (one.devices[device], other.devices[device])
        let loaded = mine.total - mine[.activations] - mine[.workspace]
        first = mine.total
        second = loaded + others.total
        working =
            first - mine[.workspace] + others.total - others[.workspace]
            + max(one.scratch(device), other.scratch(device))
    }

    static func + (one: JointNeed, other: JointNeed) -> JointNeed {
        var sum = one
        sum.first += other.first
        sum.second += other.second
        sum.working += other.working
        return sum
    }
}
