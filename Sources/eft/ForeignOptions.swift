// SPDX-License-Identifier: Apache-2.0
// Options of ExLlamaV2 and llama.cpp that mean something of ours, or nothing here.
import EftCommandLine
import EftModels
import EftTensor

/// Options that users of other programs bring along.
enum ForeignOptions {
    /// ExLlamaV2's words for the cache's type, each a flag.
    private static let cacheTypes: [(name: String, type: KVType)] = [
        ("-cq4", .q4), ("-cq6", .q6), ("-cq8", .q8), ("-c8", .q8),
    ]
    /// What has no effect here, and why.
    private static let ineffective: [(names: [String], takesValue: Bool, reason: String)] = [
        (["-nwu", "--no-warmup"], false, "there is no warm-up"),
        (
            ["-ngl", "--n-gpu-layers", "--gpu-layers"], true,
            "layers are placed by --memory and --gpu-split"
        ),
        (["-fa", "--flash-attn"], false, "attention never holds a whole matrix of scores"),
        (["-lm", "--low-mem"], false, "memory is bounded by --memory"),
        (["-nfa", "--no-flash-attn"], false, "there is one way to compute attention"),
        (["--mlock"], false, "weights stand in memory of their own"),
        (["--no-mmap"], false, "weights are read, not mapped"),
    ]

    static let cacheOptions = cacheTypes.map { flag, type in
        OptionSpecification(flag, help: "keys and values as --kv-cache-dtype \(type.rawValue)")
    }

    static let ineffectiveOptions = ineffective.map { names, takesValue, reason in
        OptionSpecification(
            names: names, kind: takesValue ? .value("X") : .flag, help: "no effect: \(reason)")
    }

    /// The form of keys and values in the cache.
    /// - Throws: `UsageError` for words that contradict each other or that the model's heads do not allow.
    static func cacheType(
        _ arguments: ParsedArguments, _ model: DecoderDescription
    ) throws -> KVType {
        let given = cacheTypes.filter { arguments.declares(bare($0.name)) }
            .filter { arguments.flag(bare($0.name)) }
        guard let first = given.first else { return try CommonOptions.cacheType(arguments, model) }
        let other = given.first { $0.type != first.type }?.name
        guard other == nil, arguments.string("kv-cache-dtype") == nil else {
            throw UsageError(
                "\(first.name) and \(other ?? "--kv-cache-dtype") both say how keys and values are held; give one",
                command: arguments.command.name)
        }
        guard first.type.holds(headDim: model.shape.headDim) else {
            throw UsageError(
                "\(first.name) takes heads of 32, 64, ... 256 numbers, the model's have "
                    + "\(model.shape.headDim); leave it out",
                command: arguments.command.name)
        }
        return first.type
    }

    /// Whether the command line says how keys and values are held.
    static func namesCacheType(_ arguments: ParsedArguments) -> Bool {
        arguments.string("kv-cache-dtype") != nil
            || cacheTypes.contains {
                arguments.declares(bare($0.name)) && arguments.flag(bare($0.name))
            }
    }

    /// Says once what was given and has no effect.
    static func announce(_ arguments: ParsedArguments) {
        for (names, _, reason) in ineffective {
            let name = bare(names.first { $0.hasPrefix("--") } ?? names[0])
            guard arguments.declares(name), arguments.isGiven(name) else { continue }
            TerminalOutput.standardError.writeLine(
                "note: \(names[0]) has no effect here: \(reason)")
        }
    }

    private static func bare(_ name: String) -> String { String(name.drop { $0 == "-" }) }
}
