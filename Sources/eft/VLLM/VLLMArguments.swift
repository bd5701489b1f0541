// SPDX-License-Identifier: Apache-2.0
// Command lines of `vllm serve`, turned into those of `eft serve`.
import EftCommandLine
import EftConfig
import EftFormats
import EftHub
import EftModels
import EftNN
import EftServer
import EftTensor

/// What a command line says in the words of `eft serve`, and what there is to tell about it.
struct VLLMArguments {
    /// The arguments, with all that has a meaning under `serve`'s own options.
    private(set) var arguments: ParsedArguments
    /// Sentences about options that are taken in another way than they say.
    private(set) var notes: [String] = []
    /// Options whose value changes nothing here, with the reason.
    private var unused: [(name: String, reason: String)] = []

    /// Turns arguments.
    /// - Throws: `UsageError` for values that cannot be had here, `ConfigError` for JSON that cannot be read.
    init(_ given: ParsedArguments) throws {
        arguments = given
        try readFile()
        try arguments.takeArgument("MODEL", as: "model")
        try readRevision()
        try readNumbers()
        try readCacheType()
        try readWeights()
        try readDevices()
        try readDrafts()
        try readLists()
        try refuse()
        if let notice = IneffectiveOption.notice(
            IneffectiveOption.vllm, arguments, others: unused)
        {
            notes.append(notice)
        }
    }

    // MARK: Options of vLLM that mean something here

    /// Shown in the help.
    static let shownOptions = [
        OptionSpecification(
            "--revision", kind: .value("REVISION"),
            help: "a branch, tag or commit, of a model that goes by its name on the hub"),
        OptionSpecification(
            "--tokenizer", kind: .value("DIR"), help: "a folder with another tokenizer",
            defaultText: "the model's own", completion: .folder),
        OptionSpecification(
            "--seed", kind: .value("S"), help: "the seed of requests that name none",
            defaultText: "another one for each request"),
        OptionSpecification(
            "--dtype", kind: .value("TYPE"),
            help: "float32 computes in f32; weights are held as they are stored",
            defaultText: "auto",
            choices: ["auto", "half", "float16", "bfloat16", "float", "float32"]),
        OptionSpecification(
            "-q", "--quantization", kind: .value("METHOD"),
            help:
                "what the model is stored in, or bitsandbytes to hold a 16-bit model's layers in NF4",
            defaultText: "as stored"),
        OptionSpecification(
            "--load-format", kind: .value("FORMAT"),
            help: "which files weights are read from; bitsandbytes holds layers in NF4",
            defaultText: "auto",
            choices: ["auto", "hf", "safetensors", "pt", "bitsandbytes"]),
        OptionSpecification(
            "-tp", "--tensor-parallel-size", kind: .value("N"),
            help: "devices: as many as --memory lists sizes", defaultText: "1"),
        OptionSpecification(
            "-pp", "--pipeline-parallel-size", kind: .value("N"),
            help: "as --tensor-parallel-size; both multiply", defaultText: "1"),
        OptionSpecification(
            "--cpu-offload-gb", kind: .value("GIB"),
            help: "memory on top of each size of --memory"),
        OptionSpecification(
            "--rope-scaling", kind: .value("JSON"),
            help:
                "scaling of rotary embeddings instead of config.json's, such as "
                + "'{\"rope_type\": \"yarn\", \"factor\": 4}'; the context grows by the factor"),
        OptionSpecification(
            "--rope-theta", kind: .value("THETA"),
            help: "base of rotary embeddings instead of config.json's"),
        OptionSpecification(
            "--hf-overrides", kind: .value("JSON"), help: "keys of config.json with other values"),
        OptionSpecification(
            "--override-generation-config", kind: .value("JSON"),
            help: "keys of generation_config.json with other values"),
        OptionSpecification(
            "--default-chat-template-kwargs", kind: .value("JSON"),
            help:
                "values for the chat template when a request brings none of that name, such as "
                + "'{\"enable_thinking\": false}'"),
        OptionSpecification(
            "--exclude-tools-when-tool-choice-none", kind: .invertibleFlag,
            help: "with tool_choice none, the chat template sees no tools"),
        OptionSpecification(
            "--enable-force-include-usage", kind: .invertibleFlag,
            help: "every stream ends with its use of tokens"),
        OptionSpecification(
            "--return-tokens-as-token-ids", kind: .invertibleFlag,
            help: "log-probabilities name tokens as token_id:N"),
        OptionSpecification(
            "--config", kind: .value("FILE"),
            help: "a YAML file of these options; the command line goes before it",
            completion: .file),
    ]

    /// Other words of vLLM for options that are shown, and options with one permitted value.
    static let hiddenOptions =
        IneffectiveOption.vllm.map(\.specification) + [
            OptionSpecification(
                "--speculative-config", "-sc", kind: .value("JSON"), help: "as --speculative-model"),
            OptionSpecification(
                "--spec-model", kind: .value("DIR"), help: "as --speculative-model"),
            OptionSpecification("--spec-method", kind: .value("WORD"), help: "ngram"),
            OptionSpecification(
                "--spec-tokens", kind: .value("N"), help: "as --num-speculative-tokens"),
            OptionSpecification("--enable-lora", kind: .invertibleFlag, help: "as --lora-modules"),
            OptionSpecification("--disable-uvicorn-access-log", help: "as --quiet"),
            OptionSpecification("--response-role", kind: .value("ROLE"), help: "assistant"),
            OptionSpecification("--ssl-cert-reqs", kind: .value("N"), help: "0"),
            OptionSpecification("--logprobs-mode", kind: .value("WORD"), help: "raw_logprobs"),
            OptionSpecification(
                "--chat-template-content-format", kind: .value("WORD"), help: "auto"),
        ] + refused.map { OptionSpecification("--\($0.name)", kind: $0.kind, help: $0.reason) }

    // MARK: A file of options

    /// Takes what the file of `--config` says and the command line does not.
    private mutating func readFile() throws {
        guard let path = arguments.string("config") else { return }
        let file = ConfigCursor(
            try YAMLParser.parse(ConfigFile.contents(path), file: path), file: path)
        for (key, value) in try file.entries() {
            let name = key.replacing("_", with: "-")
            guard let option = arguments.declared(name), option.key != "config" else {
                throw value.error(.badValue, "is no option of serve")
            }
            guard !arguments.isGiven(name) else { continue }
            if name == "model", arguments.argument("MODEL") != nil { continue }
            switch (option.kind, value.node.value) {
            case (.flag, .bool(let isOn)), (.invertibleFlag, .bool(let isOn)):
                arguments.turn(name, on: isOn)
            case (.flag, _), (.invertibleFlag, _): _ = try value.bool()
            case (.repeated, .array):
                arguments.replace(name, withAll: try value.elements().map(VLLMArguments.text))
            case (.value, _), (.repeated, _):
                let text = try VLLMArguments.text(value)
                guard option.choices.isEmpty || option.choices.contains(text) else {
                    throw value.error(
                        .badValue, "takes one of \(option.choices.joined(separator: ", "))")
                }
                arguments.replace(name, with: text)
            }
        }
    }

    /// A value as it would stand on a command line.
    private static func text(_ value: ConfigCursor) throws -> String {
        switch value.node.value {
        case .string(let text): text
        case .integer(let number): String(number)
        case .real(let number): String(number)
        case .bool(let isOn): String(isOn)
        case .object: JSONWriter.text(value.node, layout: .minimal)
        case .null, .array: throw value.error(.wrongType, "expected one value")
        }
    }

    // MARK: Numbers

    /// vLLM takes numbers such as 32k (thousands) and 32K (of 1024).
    private mutating func readNumbers() throws {
        for name in [
            "max-model-len", "max-num-batched-tokens", "max-num-seqs", "max-num-queued-tokens",
        ] {
            guard let text = arguments.string(name), let unit = text.last,
                let scale = VLLMArguments.units[unit]
            else { continue }
            guard let value = Double(text.dropLast()), value.isFinite, value >= 0,
                let number = Int(exactly: (value * Double(scale)).rounded(.down))
            else {
                throw arguments.error(
                    name, "takes a number such as 8192 or 8k; found '\(excerpt(text))'")
            }
            arguments.replace(name, with: String(number))
        }
    }

    private static let units: [Character: Int] = [
        "k": 1000, "K": 1 << 10, "m": 1_000_000, "M": 1 << 20, "g": 1_000_000_000, "G": 1 << 30,
    ]

    // MARK: Keys and values

    /// vLLM's names of types beside `serve`'s own.
    static let cacheTypes: [(name: String, type: KVType?)] = [
        ("auto", nil), ("bfloat16", .bf16), ("half", .f16), ("float16", .f16), ("float32", .f32),
        ("fp8", .q8), ("fp8_e4m3", .q8), ("fp8_e5m2", .q8), ("int8_per_token_head", .q8),
        ("int4_per_token_head", .q4),
    ]

    private mutating func readCacheType() throws {
        guard let text = arguments.string("kv-cache-dtype"),
            let known = VLLMArguments.cacheTypes.first(where: { $0.name == text })
        else { return }
        arguments.replace("kv-cache-dtype", with: known.type?.rawValue)
        if let type = known.type, ![.bf16, .f16, .f32].contains(type) {
            notes.append(
                "--kv-cache-dtype \(text): keys and values are held as \(type.rawValue), rotated codes with "
                    + "a scale for each head and token")
        }
    }

    // MARK: Weights

    private mutating func readWeights() throws {
        switch arguments.string("dtype", default: "auto") {
        case "auto": break
        case "float", "float32":
            if !arguments.isGiven("precision") { arguments.replace("precision", with: "f32") }
        case let type: unused.append(("--dtype \(type)", "weights are held as they are stored"))
        }
        if arguments.string("load-format") == "bitsandbytes" {
            arguments.turn("load-in-4bit", on: true)
        }
        guard let method = arguments.string("quantization"), method != "None" else { return }
        switch method {
        case "bitsandbytes": arguments.turn("load-in-4bit", on: true)
        case _ where QuantizationOption.isForm(method): break
        default:
            throw arguments.error(
                "quantization",
                "knows \(QuantizationOption.names); for \(excerpt(method)), quantize the 16-bit model with "
                    + "'eft quantize', or give bitsandbytes to hold it in NF4")
        }
    }

    // MARK: Devices

    private mutating func readDevices() throws {
        let devices =
            try arguments.int("tensor-parallel-size", default: 1, in: 1...64)
            * arguments.int("pipeline-parallel-size", default: 1, in: 1...64)
        let name =
            arguments.isGiven("tensor-parallel-size")
            ? "tensor-parallel-size" : "pipeline-parallel-size"
        let sizes = try arguments.memorySizes("memory")
        if devices > 1 {
            if let sizes, sizes.count > 1 {
                guard sizes.count == devices else {
                    throw arguments.error(
                        name, "asks for \(devices) devices, --memory lists \(sizes.count)")
                }
            } else {
                let list = Array(repeating: "24GiB", count: min(devices, 4))
                unused.append(
                    (
                        "--\(name)",
                        "one device holds the model; a list such as --memory "
                            + "\(list.joined(separator: ",")) divides it"
                    ))
            }
        }
        guard let more = try arguments.double("cpu-offload-gb", in: 0...1e6), more > 0 else {
            return
        }
        guard let sizes else {
            unused.append(("--cpu-offload-gb", "without --memory all memory is main memory"))
            return
        }
        let bytes = Int(exactly: (more * Double(1 << 30)).rounded(.down)) ?? 0
        let grown = try sizes.map { size in
            let (sum, overflow) = size.bytes.addingReportingOverflow(bytes)
            guard !overflow else { throw arguments.error("cpu-offload-gb", "is too large") }
            return String(sum)
        }
        arguments.replace("memory", with: grown.joined(separator: ","))
    }

    // MARK: Drafts

    private mutating func readDrafts() throws {
        if let text = arguments.string("speculative-config") {
            let config = try json("speculative-config", text)
            let method = try config.optional("method")?.string()
            let model = try config.optional("model")?.string()
            try take(draft: model, method: method, "speculative-config")
            if let count = try config.optional("num_speculative_tokens")?.int(in: 1...32) {
                arguments.replace("num-speculative-tokens", with: String(count))
            }
        }
        if arguments.isGiven("spec-model") || arguments.isGiven("spec-method") {
            try take(
                draft: arguments.string("spec-model"), method: arguments.string("spec-method"),
                "spec-method")
        }
        if let count = arguments.string("spec-tokens") {
            arguments.replace("num-speculative-tokens", with: count)
        }
        if arguments.string("speculative-model") == "[ngram]" {
            arguments.replace("speculative-model", with: DraftedModel.ngram)
        }
    }

    private mutating func take(draft model: String?, method: String?, _ name: String) throws {
        switch (method, model) {
        case ("ngram"?, _), ("ngram_gpu"?, _), (nil, "ngram"?), (nil, "[ngram]"?):
            arguments.replace("speculative-model", with: DraftedModel.ngram)
        case (nil, let model?), ("draft_model"?, let model?):
            arguments.replace("speculative-model", with: model)
        default:
            throw arguments.error(
                name,
                "takes the method ngram, or draft_model with a \"model\"; found "
                    + "'\(excerpt(method ?? "nothing"))'")
        }
    }

    /// A revision is part of the model's name here; the server's name for the model stays without it.
    private mutating func readRevision() throws {
        guard let revision = arguments.string("revision") else { return }
        let model = try arguments.required("model")
        guard let name = HubName(model), !FileSystem.exists(model) else {
            unused.append(("--revision", "a folder has no revisions"))
            return
        }
        guard let dated = name.at(revision) else {
            throw arguments.error(
                "revision", "takes one branch, tag or commit; found '\(excerpt(revision))'")
        }
        arguments.replace("model", with: dated.description)
        if arguments.strings("served-model-name").isEmpty {
            arguments.replace("served-model-name", withAll: [model])
        }
    }

    // MARK: Lists

    private mutating func readLists() throws {
        let origins = try arguments.strings("allowed-origins").flatMap { text in
            text.hasPrefix("[") ? try json("allowed-origins", text).strings() : [text]
        }
        arguments.replace("allowed-origins", withAll: origins)
        let adapters = try arguments.strings("adapter").flatMap { text -> [String] in
            guard text.hasPrefix("{") || text.hasPrefix("[") else { return [text] }
            let node = try json("adapter", text)
            let modules = text.hasPrefix("[") ? try node.elements() : [node]
            return try modules.map {
                "\(try $0.required("name").string())=\(try $0.required("path").string())"
            }
        }
        arguments.replace("adapter", withAll: adapters)
        if arguments.isGiven("enable-lora"), !arguments.flag("enable-lora"), !adapters.isEmpty {
            throw arguments.error("enable-lora", "is off, but adapters are given")
        }
        if arguments.flag("disable-uvicorn-access-log") { arguments.turn("quiet", on: true) }
    }

    private func json(_ name: String, _ text: String) throws -> ConfigCursor {
        do {
            return ConfigCursor(
                try JSONParser.parse(text), file: "--\(name)")
        } catch {
            throw arguments.error(name, "takes JSON: \(error.message)")
        }
    }

    // MARK: What cannot be had

    /// Options that would change answers or who may use the server, of which only one value is had.
    private static let permitted: [(name: String, values: [String], reason: String)] = [
        ("response-role", ["assistant"], "answers are the assistant's"),
        ("ssl-cert-reqs", ["0"], "clients are known by keys (--api-key), not by certificates"),
        ("logprobs-mode", ["raw_logprobs"], "log-probabilities are those before sampling settings"),
        (
            "chat-template-content-format", ["auto", "string"],
            "templates get the text of a message as one string"
        ),
    ]

    /// Options that would change answers or who may use the server, and cannot be had, each with the reason.
    private static let refused: [(name: String, kind: OptionSpecification.Kind, reason: String)] = [
        ("middleware", .repeated("CLASS"), "no Python code is run"),
        ("logits-processors", .repeated("CLASS"), "no Python code is run"),
        ("io-processor-plugin", .value("NAME"), "no Python code is run"),
        ("model-class-overrides", .value("JSON"), "no Python code is run"),
        (
            "hf-config-path", .value("DIR"),
            "config.json is read from the model's folder; --hf-overrides changes keys of it"
        ),
        (
            "quantization-config", .value("JSON"),
            "the model's files say how they are quantized; --load-in-4bit holds 16-bit layers in NF4"
        ),
        ("skip-tokenizer-init", .flag, "requests and answers are text"),
        ("tokens-only", .flag, "requests and answers are text"),
        ("omni", .flag, "text is all that is generated"),
        ("grpc-port", .value("N"), "the server speaks HTTP"),
        (
            "sse-keep-alive-interval", .value("SECONDS"),
            "streams hold what the model says and no comments"
        ),
        ("ssl-ca-certs", .value("FILE"), "clients are known by keys (--api-key)"),
        ("ssl-ciphers", .value("NAMES"), "the TLS library's own list of ciphers holds"),
        (
            "reasoning-config", .value("JSON"),
            "thoughts have no budget of their own; --max-tokens of a request bounds them"
        ),
        (
            "reasoning-effort-map", .value("JSON"),
            "the effort of a request goes to the chat template as it is"
        ),
        ("watermark-config", .value("JSON"), "answers carry no watermark"),
    ]

    private func refuse() throws {
        for (name, _, reason) in VLLMArguments.refused where arguments.isGiven(name) {
            throw arguments.error(name, "is not available: \(reason)")
        }
        for (name, values, reason) in VLLMArguments.permitted {
            guard let value = arguments.string(name), !values.contains(value) else { continue }
            throw arguments.error(
                name, "takes \(values.joined(separator: " or ")) only: \(reason)")
        }
    }

    // MARK: Answers

    /// What answers are when a request says nothing.
    /// - Throws: `ConfigError` for JSON that is no object.
    static func answerDefaults(_ arguments: ParsedArguments) throws -> AnswerDefaults {
        var answers = AnswerDefaults()
        answers.includesUsage = arguments.flag("enable-force-include-usage")
        answers.tokensAsIDs = arguments.flag("return-tokens-as-token-ids")
        answers.hidesUncallableTools = arguments.flag("exclude-tools-when-tool-choice-none")
        if let node = try object("default-chat-template-kwargs", arguments) {
            answers.templateArguments = node
        }
        return answers
    }

    /// The JSON object that an option gives; nil when it is not given.
    static func object(
        _ name: String, _ arguments: ParsedArguments
    ) throws -> ConfigObject? {
        guard let text = arguments.string(name) else { return nil }
        let file = "--\(name)"
        return try ConfigCursor(JSONParser.parse(text, file: file), file: file).object()
    }

    // MARK: config.json

    /// What takes the place of keys of `config.json`.
    /// - Throws: `UsageError`, `ConfigError`.
    static func overrides(_ arguments: ParsedArguments) throws -> ConfigOverrides {
        var overrides = ConfigOverrides()
        guard arguments.declares("hf-overrides") else { return overrides }
        if let object = try object("hf-overrides", arguments) { overrides.values = object }
        if let theta = try arguments.double("rope-theta", in: 1.000001...1e30) {
            overrides.values["rope_theta"] = ConfigNode(theta)
        }
        overrides.ropeScaling = try object("rope-scaling", arguments).map { ConfigNode($0) }
        return overrides
    }
}
