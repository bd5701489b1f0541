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
            "the most memory to hold, such as 24GiB; what cannot be made to fit is refused before any work. "
            + "A list such as 6GiB,6GiB stands for several devices",
        defaultText: "the machine's memory less a margin")
    static let threads = OptionSpecification(
        "--threads", kind: .value("N"), help: "workers", defaultText: "all processors")
    static let cacheFolder = OptionSpecification(
        "--cache-dir", kind: .value("DIR"),
        help:
            "where layers that do not fit --memory are kept in the form in which they are streamed",
        defaultText: "$XDG_CACHE_HOME/eft or ~/.cache/eft", completion: .folder)
    static let precision = precision(default: ActivationPrecision.inference.rawValue)
    static let servingPrecision = precision(default: ActivationPrecision.serving.rawValue)
    static func precision(default usual: String) -> OptionSpecification {
        OptionSpecification(
            "--precision", kind: .value("WORD"),
            help:
                "activations in products: f32 is exact; int16 holds them for EXL2 weights as 16-bit "
                + "integers with a scale for each token and group (nearer to f32 than bf16) and is f32 "
                + "elsewhere; int8 does so with 8 bits, at more error (up to twice as fast for many tokens "
                + "at once where the machine has VNNI); bf16 is faster where the machine has fast bf16 dot "
                + "products",
            defaultText: usual, choices: ActivationPrecision.allCases.map(\.rawValue))
    }
    static let json = OptionSpecification(
        "--json", help: "one JSON object on standard output instead of text")
    static let model = OptionSpecification(
        "-m", "--model", kind: .value("DIR"),
        help:
            "the model's folder or GGUF file, or its name: below the configured model folders, or on the hub "
            + "(OWNER/NAME, OWNER/NAME:Q4_K_M)", isRequired: true,
        completion: .folder)
    static let adapter = OptionSpecification(
        "--adapter", kind: .repeated("DIR"),
        help: "a PEFT adapter on top, by its folder or its name on the hub; several add up",
        completion: .folder)
    static let fourBits = OptionSpecification(
        "--load-in-4bit", kind: .invertibleFlag,
        help:
            "hold a 16-bit model's layers in NF4 with double quantization, as QLoRA training does",
        defaultText: "as the adapter was trained, where that is known; else no")
    static let eightBits = OptionSpecification(
        "--load-in-8bit", kind: .invertibleFlag,
        help: "hold a 16-bit model's layers in 8 bits, as LLM.int8 holds them",
        defaultText: "as the adapter was trained, where that is known; else no")
    /// How the layers of a 16-bit model are held.
    static let form = [fourBits, eightBits]
    static let assume = OptionSpecification(
        "--assume", kind: .value("TYPE"),
        help:
            "read a model whose model_type is unknown as one of this type; its weights must have the names of "
            + "that type, and no others", choices: AssumedArchitecture.types)
    static let context = OptionSpecification(
        "--max-seq-len", "-l", kind: .value("N"), help: "tokens of context",
        defaultText: "prompt and answer")
    static let fit = OptionSpecification(
        "--fit",
        help:
            "choose what fits --memory without streaming: the widest weights, keys and values, the longest context"
    )
    static let kvType = OptionSpecification(
        "--kv-cache-dtype", kind: .value("TYPE"),
        help:
            "keys and values in the cache: 16-bit numbers, f32, or rotated codes of 8 bits (q8), 8 and "
            + "4 (q6), 4 (q4)",
        defaultText: "bf16", choices: KVType.allCases.map(\.rawValue))

    /// Progress on standard error; none beside a JSON object.
    static func progress(_ arguments: ParsedArguments) -> ProgressReporter {
        let isJSON = arguments.declares("json") && arguments.flag("json")
        return ProgressReporter(output: isJSON ? .discarded : .standardError)
    }

    /// The memory limit of work that one device does: what was asked for, or the machine's.
    static func limit(_ arguments: ParsedArguments) throws -> Int {
        try DeviceBudget(arguments).largest
    }

    /// A device, with a ledger that leaves room for the program itself.
    static func backend(
        _ arguments: ParsedArguments, limit: Int, precision: ActivationPrecision? = nil
    ) throws -> CPUBackend {
        let room = limit == .max ? limit : max(0, limit - ProcessMemory.resident)
        return try backend(arguments, ledger: MemoryLedger(limit: room), precision: precision)
    }

    /// Workers: as many as asked for, or one for each processor.
    static func threadCount(_ arguments: ParsedArguments) throws -> Int {
        try arguments.int("threads", in: 1...1024) ?? ProcessMemory.processors
    }

    /// A device with a given ledger.
    static func backend(
        _ arguments: ParsedArguments, ledger: MemoryLedger, precision: ActivationPrecision? = nil
    ) throws -> CPUBackend {
        // Verbs that only convert have no choice of precision: they compute in f32.
        let usual = arguments.declared("precision").map { $0.defaultText ?? "" }
        let chosen = usual.flatMap {
            ActivationPrecision(rawValue: arguments.string("precision", default: $0))
        }
        return try CPUBackend(
            ledger: ledger, threads: arguments.int("threads", in: 1...1024),
            precision: precision ?? chosen ?? .f32)
    }

    /// The form of keys and values in the cache.
    /// - Throws: `UsageError` when the model's heads cannot be held so.
    static func cacheType(
        _ arguments: ParsedArguments, _ model: DecoderDescription
    ) throws -> KVType {
        let type = arguments.string("kv-cache-dtype").flatMap(KVType.init) ?? .bf16
        guard type.holds(headDim: model.shape.headDim) else {
            throw arguments.error(
                "kv-cache-dtype",
                "\(type.rawValue) takes heads of 32, 64, ... 256 numbers, the model's have "
                    + "\(model.shape.headDim); take bf16")
        }
        return type
    }
}

extension ParsedArguments {
    /// What the command line says about how the base is held; nil when it says nothing.
    /// - Throws: `UsageError` for two forms at once.
    var baseForm: BaseForm? {
        get throws(UsageError) {
            let forms = [("load-in-4bit", BaseForm.nf4), ("load-in-8bit", .int8)]
                .filter { declares($0.0) && isGiven($0.0) }
            let wanted = forms.filter { flag($0.0) }
            guard wanted.count < 2 else {
                throw error("load-in-8bit", "does not go with --load-in-4bit")
            }
            return wanted.first?.1 ?? (forms.isEmpty ? nil : .stored)
        }
    }
}
