// SPDX-License-Identifier: Apache-2.0
// Devices as the command line gives them: how many, and what each may hold.
import EftCommandLine
import EftPlanning
import EftTensor

/// What each device may hold.
struct DeviceBudget {
    /// Bytes of each device.
    let limits: [Int]
    /// Most bytes of weights for each device, when `--gpu-split` lists them.
    let weightLimits: [Int]?

    static let split = OptionSpecification(
        "-gs", "--gpu-split", kind: .value("SPLIT"),
        help:
            "how layers are divided over the devices of --memory: auto fills the first ones first, a list such "
            + "as 20,24 gives the most GiB of weights for each",
        defaultText: "auto")
    static let utilization = OptionSpecification(
        "--gpu-memory-utilization", "--device-memory-utilization", kind: .value("SHARE"),
        help: "the share of each device that may be held; of the machine's memory without --memory",
        defaultText: "1")

    /// The options of verbs that hold a decoder.
    static let options = [CommonOptions.memory, split, utilization]

    /// Reads the options.
    /// - Throws: `UsageError` for lists that do not go together.
    init(_ arguments: ParsedArguments) throws {
        let share =
            try arguments.declares("gpu-memory-utilization")
            ? arguments.double("gpu-memory-utilization", in: 0.01...1) : nil
        func part(_ bytes: Int) -> Int {
            guard let share, bytes != .max else { return bytes }
            return Int(exactly: (Double(bytes) * share).rounded(.down)) ?? bytes
        }
        if let sizes = try arguments.memorySizes("memory") {
            guard sizes.count <= 64 else {
                throw arguments.error(
                    "memory", "names \(sizes.count) devices; at most 64 can be held")
            }
            limits = sizes.map { part($0.bytes) }
        } else if share != nil {
            limits = [part(ProcessMemory.machineBytes)]
        } else {
            limits = [ProcessMemory.defaultLimit]
        }
        weightLimits = try DeviceBudget.split(arguments, devices: limits.count)
    }

    /// One device without options of its own.
    init(limit: Int) {
        limits = [limit]
        weightLimits = nil
    }

    private static func split(_ arguments: ParsedArguments, devices: Int) throws -> [Int]? {
        guard arguments.declares("gpu-split"), let text = arguments.string("gpu-split"),
            text != "auto"
        else { return nil }
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        let sizes = try parts.map { part in
            // A bare number is GiB, as ExLlamaV2 has it.
            guard let size = MemorySize.parse(Double(part) == nil ? String(part) : part + "GiB")
            else {
                throw arguments.error(
                    "gpu-split",
                    "takes auto, or sizes such as 20,24 in GiB; found '\(text.prefix(60))'"
                )
            }
            return size.bytes
        }
        guard sizes.count == devices else {
            throw arguments.error(
                "gpu-split",
                "divides the model in \(sizes.count), but there are \(devices) devices; give --memory one size for "
                    + "each, such as --memory 24GiB,24GiB")
        }
        return sizes
    }

    /// The largest device, for work that one device does.
    var largest: Int { limits.max() ?? .max }

    /// Devices over one pool of workers; the first one's ledger leaves room for the program itself.
    /// - Parameter precision: of activations; what `--precision` says when nil.
    func backends(
        _ arguments: ParsedArguments, programBytes: Int, precision: ActivationPrecision? = nil
    ) throws -> [CPUBackend] {
        try CPUBackend.devices(limits: limits, programBytes: programBytes) {
            try CommonOptions.backend(arguments, ledger: $0, precision: precision)
        }
    }
}
