// SPDX-License-Identifier: Apache-2.0
// A plan before the work, and what became of it.
import EftCommandLine
import EftPlanning
import EftTensor

/// A plan shown before the work, and the measured peak beside it afterwards.
struct Budget {
    let plan: StagePlan
    /// Bytes that each device may hold.
    let limits: [Int]
    /// Where layers are streamed from and how many bytes are to be written there first; nil when none are.
    var repack: (folder: String, bytes: Int)?

    /// Lines about the streaming of several decoders, for which `plan` has no placement of one.
    var streamingLines: [String] = []

    /// The accounts of several devices, whose peaks are told afterwards.
    var ledgers: [MemoryLedger] = []

    /// Takes a plan; what the program held at most until now, such as while it read a long text, is part of it.
    init(plan: StagePlan, limits: [Int]) {
        self.plan = plan.atLeast(ProcessMemory.peakResident)
        self.limits = limits
    }

    /// Shows the plan on standard error, or refuses.
    /// - Throws: `BudgetError` when the stage does not fit.
    func announce(quiet: Bool = false) throws {
        let report = PlanReport(stages: [plan], limits: limits)
        guard plan.fits(limits) else {
            let tables =
                plan.devices.count == 1
                ? [plan.memory.rendered] : plan.deviceLines(limits).map { "  " + $0 }
            throw BudgetError(
                description: (["\(plan.name) does not fit \(total):"] + tables + report.advice)
                    .joined(separator: "\n"))
        }
        guard !quiet else { return }
        let output = TerminalOutput.standardError
        output.writeWrapped(
            "plan: \(plan.name): \(formatBytes(plan.memory.total)) of \(total) (\(summary))",
            hanging: 6, .dim)
        for line in plan.deviceLines(limits) {
            output.writeWrapped("plan: \(line)", hanging: 6, .dim)
        }
        for line in streamingLines + [streaming].compactMap(\.self) {
            output.writeWrapped("plan: \(line)", hanging: 6, .dim)
        }
    }

    /// What is streamed from where, in a line; nil when all layers stand in memory.
    var streaming: String? {
        guard let words = plan.streaming, let repack else { return nil }
        let work =
            repack.bytes > 0
            ? "\(formatBytes(repack.bytes)) to be written once to" : "read from"
        return "\(words), \(work) \(repack.folder)"
    }

    private var total: String {
        limits.count == 1 || plan.devices.count == 1
            ? formatBytes(limits.max() ?? .max) : limits.map(formatBytes).joined(separator: " + ")
    }

    private var summary: String {
        MemoryPurpose.allCases.filter { plan.memory[$0] > 0 }
            .map { "\($0.rawValue) \(formatBytes(plan.memory[$0]))" }.joined(separator: ", ")
    }

    /// `planned` and `measured` peak in bytes.
    var peaks: (planned: Int, measured: Int) { (plan.peak, ProcessMemory.peakResident) }

    /// The peaks as a sentence.
    var outcome: String {
        let (planned, measured) = peaks
        let whole = "peak memory \(formatBytes(measured)), planned \(formatBytes(planned))"
        guard ledgers.count > 1 else { return whole }
        let each = ledgers.map { formatBytes($0.peakTotal) }.joined(separator: ", ")
        return whole + "; on the devices \(each)"
    }
}
