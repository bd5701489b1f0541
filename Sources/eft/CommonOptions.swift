// SPDX-License-Identifier: Apache-2.0
// Options that most verbs share.
import EftCommandLine
import EftFormats
import EftModels
import EftPlanning
import EftTensor

enum CommonOptions {
    static let memory = OptionSpecification(
        "--memory", kind: .value("SIZE"),
        help:
            "the most memory to hold, such as 24GiB; what cannot be made to fit is refused before any work",
        defaultText: "the machine's memory less a margin")
    static let threads = OptionSpecification(
        "--threads", kind: .value("N"), help: "workers", defaultText: "all processors")
    static let cacheFolder = OptionSpecification(
        "--cache-dir", kind: .value("DIR"),
        help:
            "where layers that do not fit --memory are kept in the form in which they are streamed",
        defaultText: "$XDG_CACHE_HOME/eft or ~/.cache/eft", completion: .folder)
    static let precision = OptionSpecification(
        "--precision", kind: .value("WORD"),
        help: "activations in products with bf16 and quantized weights: bf16 is fastest where the "
            + "machine has bf16 dot products, f32 is exact", defaultText: "f32",
        choices: ActivationPrecision.allCases.map(\.rawValue))
    static let json = OptionSpecification(
        "--json", help: "one JSON object on standard output instead of text")
    static let model = OptionSpecification(
        "-m", "--model", kind: .value("DIR"),
        help: "the model's folder: 16-bit, bitsandbytes NF4 or EXL2", isRequired: true,
        completion: .folder)
    static let adapter = OptionSpecification(
        "--adapter", kind: .repeated("DIR"), help: "a PEFT adapter on top; several add up",
        completion: .folder)
    static let fourBits = OptionSpecification(
        "--load-in-4bit",
        help: "hold a 16-bit model's layers in NF4 with double quantization, as QLoRA training does"
    )
    static let context = OptionSpecification(
        "--max-seq-len", "-l", kind: .value("N"), help: "tokens of context",
        defaultText: "prompt and answer")
    static let kvType = OptionSpecification(
        "--kv-cache-dtype", kind: .value("TYPE"), help: "type of keys and values in the cache",
        defaultText: "bf16", choices: ["bf16", "f16", "f32"])

    /// The memory limit: what was asked for, or the machine's.
    static func limit(_ arguments: ParsedArguments) throws -> Int {
        guard let sizes = try arguments.memorySizes("memory") else {
            return ProcessMemory.defaultLimit
        }
        guard sizes.count == 1 else {
            throw arguments.error("memory", "takes one size; several devices are not supported yet")
        }
        return sizes[0].bytes
    }

    /// The device, with a ledger that leaves room for the program itself.
    static func backend(_ arguments: ParsedArguments, limit: Int) throws -> CPUBackend {
        let program = ProcessMemory.resident
        let room = limit == .max ? limit : max(0, limit - program)
        // Verbs that only convert have no choice of precision: they compute in f32.
        let word = arguments.declares("precision") ? arguments.string("precision") : nil
        return try CPUBackend(
            ledger: MemoryLedger(limit: room),
            threads: arguments.int("threads", in: 1...1024),
            precision: word.flatMap(ActivationPrecision.init) ?? .f32)
    }

    /// The type of keys and values in the cache.
    static func cacheType(_ arguments: ParsedArguments) -> DType {
        switch arguments.string("kv-cache-dtype", default: "bf16") {
        case "f16": .f16
        case "f32": .f32
        default: .bf16
        }
    }
}

/// A plan shown before the work, and the measured peak beside it afterwards.
struct Budget {
    let plan: StagePlan
    let limit: Int
    /// Where layers are streamed from and how many bytes are to be written there first; nil when none are.
    var repack: (folder: String, bytes: Int)?

    /// Shows the plan on standard error, or refuses.
    /// - Throws: `BudgetError` when the stage does not fit.
    func announce(quiet: Bool = false) throws {
        let report = PlanReport(stages: [plan], limit: limit)
        guard plan.fits(limit) else {
            throw BudgetError(
                description: ([
                    "\(plan.name) does not fit \(formatBytes(limit)):", plan.memory.rendered,
                ]
                    + report.advice).joined(separator: "\n"))
        }
        guard !quiet else { return }
        TerminalOutput.standardError.writeLine(
            "plan: \(plan.name): \(formatBytes(plan.memory.total)) of \(formatBytes(limit)) (\(summary))"
        )
        if let streaming { TerminalOutput.standardError.writeLine("plan: \(streaming)") }
    }

    /// What is streamed from where, in a line; nil when all layers stand in memory.
    var streaming: String? {
        guard let words = plan.streaming, let repack else { return nil }
        let work =
            repack.bytes > 0
            ? "\(formatBytes(repack.bytes)) to be written once to" : "read from"
        return "\(words), \(work) \(repack.folder)"
    }

    private var summary: String {
        MemoryPurpose.allCases.filter { plan.memory[$0] > 0 }
            .map { "\($0.rawValue) \(formatBytes(plan.memory[$0]))" }.joined(separator: ", ")
    }

    /// `planned` and `measured` peak in bytes.
    var peaks: (planned: Int, measured: Int) { (plan.memory.total, ProcessMemory.peakResident) }

    /// The peaks as a sentence.
    var outcome: String {
        let (planned, measured) = peaks
        return "peak memory \(formatBytes(measured)), planned \(formatBytes(planned))"
    }
}
