// SPDX-License-Identifier: Apache-2.0
// What `serve` is asked for on the command line.
import EftCommandLine
import EftGeneration
import EftModels
import EftPlanning
import EftServer
import EftTensor

/// The options of `serve` beyond those that other verbs have, mostly under vLLM's names.
struct ServeOptions {
    /// An adapter that is served from the start.
    struct NamedAdapter {
        let name: String
        let folder: String
    }

    let adapters: [NamedAdapter]
    let names: [String]
    let address: ServerAddress
    let tls: ServerOptions.Secrets?
    /// Names under which the server answers, beside its own.
    let allowedHosts: [String]
    /// Seconds that requests have to finish when the server stops.
    let grace: Int
    let adapterFolder: String?
    let maxAdapters: Int
    let maxRank: Int
    private let arguments: ParsedArguments

    static let all = [
        OptionSpecification(
            "--host", kind: .value("ADDRESS"), help: "where to listen; 0.0.0.0 for everybody",
            defaultText: "127.0.0.1"),
        OptionSpecification(
            "--port", kind: .value("N"), help: "where to listen; 0 takes a free one",
            defaultText: "8000"),
        OptionSpecification(
            "--uds", kind: .value("PATH"), help: "a socket of this machine instead of a port",
            completion: .file),
        OptionSpecification(
            "--api-key", kind: .repeated("KEY"),
            help: "what requests must show; also from the environment's EFT_API_KEY",
            takesMany: true),
        OptionSpecification(
            "--served-model-name", kind: .repeated("NAME"),
            help: "what requests call the model", defaultText: "the folder as given",
            takesMany: true),
        OptionSpecification(
            "--max-model-len", kind: .value("N"),
            help: "most tokens of a request, prompt and answer; auto takes what fits",
            defaultText: "the model's context"),
        EngineOptions.maxSequences,
        EngineOptions.maxBatchedTokens(default: 512),
        OptionSpecification(
            "--long-prefill-token-threshold", kind: .value("N"),
            help: "most tokens of one prompt in a step", defaultText: "no bound"),
        OptionSpecification(
            "--kv-cache-memory-bytes", kind: .value("SIZE"),
            help: "keys and values", defaultText: "what --memory leaves"),
        EngineOptions.blocks(default: "as many as fit"),
        EngineOptions.prefixCaching,
        OptionSpecification(
            "--kv-cache-idle-time", kind: .value("SECONDS"),
            help:
                "how long keys and values that no request uses stay in memory for the next one that begins "
                + "alike", defaultText: "300"),
        OptionSpecification(
            "--scheduling-policy", kind: .value("WORD"),
            help: "which waiting request is taken first: the oldest, or the lowest \"priority\"",
            defaultText: "fcfs", choices: SchedulingPolicy.allCases.map(\.rawValue)),
        OptionSpecification(
            "--max-num-queued-reqs", kind: .value("N"),
            help: "requests that may wait; further ones get 503", defaultText: "1024"),
        OptionSpecification(
            "--max-num-queued-tokens", kind: .value("N"),
            help: "tokens that may wait to be read; further ones get 503",
            defaultText: "no bound"),
        OptionSpecification(
            "--max-logprobs", kind: .value("N"), help: "most log-probabilities a token; -1 for all",
            defaultText: "20"),
        OptionSpecification(
            "--request-timeout", kind: .value("SECONDS"),
            help: "after which a request is ended with what it has", defaultText: "no bound"),
        OptionSpecification(
            "--generation-config", kind: .value("WORD"),
            help:
                "whose settings hold when a request has none: the model's author's (auto), OpenAI's (vllm), or "
                + "those of a folder's generation_config.json", defaultText: "auto"),
        OptionSpecification(
            "--chat-template", kind: .value("FILE"),
            help: "a Jinja template instead of the model's own", completion: .file),
        OptionSpecification(
            "--trust-request-chat-template", help: "render templates that requests bring"),
        OptionSpecification(
            "--tool-call-parser", kind: .value("FORMAT"),
            help: "how the model writes calls of tools", defaultText: "what its template shows",
            choices: ToolCallFormatRegistry.all.map { $0.name } + ["none"]),
        OptionSpecification(
            "--reasoning-parser", kind: .value("FORMAT"),
            help: "how the model marks its thoughts, to be told apart from its answer",
            choices: ReasoningFormat.all.map(\.name)),
        OptionSpecification(
            "--speculative-model", kind: .value("DIR"),
            help:
                "a smaller model of the same tokenizer that drafts tokens, or ngram to draft from the text "
                + "itself; results stay the same", completion: .folder),
        OptionSpecification(
            "--num-speculative-tokens", kind: .value("N"), help: "tokens drafted in a step",
            defaultText: "4"),
        OptionSpecification(
            "--lora-dir", kind: .value("DIR"),
            help: "let requests load and unload adapters from below this folder",
            completion: .folder),
        OptionSpecification(
            "--max-loras", kind: .value("N"), help: "most adapters at once",
            defaultText: "those given, or 4 with --lora-dir"),
        OptionSpecification(
            "--max-lora-rank", kind: .value("N"),
            help: "highest rank of an adapter that is loaded later", defaultText: "16"),
        OptionSpecification(
            "--ssl-certfile", kind: .value("FILE"), help: "a PEM certificate, for https",
            completion: .file),
        OptionSpecification(
            "--ssl-keyfile", kind: .value("FILE"), help: "its PEM key", completion: .file),
        OptionSpecification(
            "--allowed-origins", kind: .repeated("ORIGIN"),
            help: "web pages whose scripts may use the server; * for all", takesMany: true),
        OptionSpecification(
            "--allowed-hosts", kind: .repeated("NAME"),
            help:
                "further host names under which the server answers without a key, with commas between them; "
                + "* for all"),
        OptionSpecification(
            "--open-metrics", help: "let everybody read /metrics, also when there are keys"),
        OptionSpecification(
            "--max-body-size", kind: .value("SIZE"), help: "largest request",
            defaultText: "16MiB"),
        OptionSpecification(
            "--access-log", kind: .value("FILE"),
            help: "a line of JSON for each request; - for standard error", completion: .file),
        OptionSpecification(
            "--quiet", help: "no line on the terminal for each request"),
        OptionSpecification(
            "--shutdown-grace", "--shutdown-timeout", kind: .value("SECONDS"),
            help: "how long requests under way may go on when the server stops",
            defaultText: "30"),
    ]

    /// As `CommonOptions.kvType`, with vLLM's names beside.
    static let kvType = OptionSpecification(
        "--kv-cache-dtype", kind: .value("TYPE"), help: CommonOptions.kvType.help,
        defaultText: CommonOptions.kvType.defaultText,
        choices: CommonOptions.kvType.choices
            + VLLMArguments.cacheTypes.map(\.name).filter { KVType(rawValue: $0) == nil })

    init(_ arguments: ParsedArguments) throws {
        self.arguments = arguments
        adapters = try arguments.strings("adapter").map { text in
            guard let split = text.firstIndex(of: "="), split != text.startIndex else {
                throw arguments.error(
                    "adapter", "takes NAME=DIR, such as law=./law; found '\(text.prefix(80))'")
            }
            return NamedAdapter(
                name: String(text[..<split]),
                folder: try arguments.adapter(at: String(text[text.index(after: split)...])))
        }
        let given = arguments.strings("served-model-name")
        names = given.isEmpty ? [try arguments.required("model")] : given
        if let path = arguments.string("uds") {
            address = .unix(path: path)
        } else {
            let port = try arguments.int("port", default: 8000, in: 0...65535)
            address = .tcp(
                host: arguments.string("host", default: "127.0.0.1"),
                port: UInt16(truncatingIfNeeded: port))
        }
        tls = try ServeOptions.secrets(arguments)
        allowedHosts = arguments.strings("allowed-hosts").flatMap {
            $0.split { $0 == "," || $0 == " " }.map(String.init)
        }
        if let bad = allowedHosts.first(where: { !AllowedHosts.isHost($0) }) {
            throw arguments.error(
                "allowed-hosts",
                "takes host names such as chat.example, or *; found '\(bad.prefix(80))'")
        }
        grace = try arguments.int("shutdown-grace", default: 30, in: 0...86400)
        adapterFolder = arguments.string("lora-dir")
        maxAdapters = max(
            adapters.count,
            try arguments.int(
                "max-loras", default: adapterFolder == nil ? adapters.count : 4, in: 0...1024))
        maxRank = try arguments.int("max-lora-rank", default: 16, in: 1...4096)
    }

    private static func secrets(_ arguments: ParsedArguments) throws -> ServerOptions.Secrets? {
        let files = (arguments.string("ssl-certfile"), arguments.string("ssl-keyfile"))
        guard files.0 != nil || files.1 != nil else { return nil }
        guard let certificate = files.0, let key = files.1 else {
            throw arguments.error(
                "ssl-certfile", "and --ssl-keyfile are needed both, or neither")
        }
        return ServerOptions.Secrets(
            certificate: try TextFile.contents(certificate), key: try TextFile.contents(key))
    }

    /// What adapters take that may be loaded while the server runs.
    func reservedAdapters(_ description: DecoderDescription) -> AdapterExtents? {
        guard adapterFolder != nil else { return nil }
        let one = AdapterExtents(description, rank: maxRank)
        return (adapters.count..<maxAdapters).reduce(AdapterExtents(layers: description.layers)) {
            sum, _ in sum + one
        }
    }

    private var sequences: Int {
        get throws { try arguments.int("max-num-seqs", default: 64, in: 1...4096) }
    }

    /// Whether the context is as long as fits.
    private var isAutomatic: Bool {
        ["auto", "-1"].contains(arguments.string("max-model-len"))
    }

    /// Most tokens of a request, as asked for.
    private var maxModelLength: Int? {
        get throws {
            try isAutomatic ? nil : arguments.int("max-model-len", in: 1...(1 << 24))
        }
    }

    /// The draft model, when one is asked for.
    func draft(_ model: LoadedModel) throws -> DraftedModel? {
        guard arguments.isGiven("speculative-model") else { return nil }
        if draftsFromText { return nil }
        let description = model.folder.description
        return try DraftedModel(
            arguments.model("speculative-model"), model, sequences: sequences,
            kvType: CommonOptions.cacheType(arguments, description),
            length: min(maxModelLength ?? .max, description.contextLength), tokens: draftTokens)
    }

    /// Most tokens that are drafted in a step for each sequence.
    private var draftTokens: Int {
        get throws { try arguments.int("num-speculative-tokens", default: 4, in: 1...32) }
    }

    /// Whether drafts come from the sequences themselves.
    var draftsFromText: Bool { arguments.string("speculative-model") == DraftedModel.ngram }

    /// What of the options does not hold for a model in the memory that there is; nil where all do.
    func note(_ model: DecoderDescription, _ plan: ServePlan) -> String? {
        guard model.shape.mixer != nil, sharesPrefixes, plan.need.stateSnapshots == 0
        else { return nil }
        return
            "layers of this model keep a state for each request, and there is no room for further ones; prompts that "
            + "begin alike are read again each time (no prefix caching)"
    }

    private var sharesPrefixes: Bool { arguments.flag("enable-prefix-caching", default: true) }

    /// The cache and everything around it.
    /// - Parameter draft: what stands beside the model.
    func plan(_ model: LoadedModel, _ draft: DraftedModel?) throws -> ServePlan {
        let description = model.folder.description
        let sequences = try sequences
        var requirements = ServeRequirements(
            maxSequences: sequences,
            maxBatchedTokens: max(
                sequences,
                try arguments.int("max-num-batched-tokens", default: 512, in: 1...(1 << 20))),
            kvType: try CommonOptions.cacheType(arguments, description))
        requirements.mayShorten = isAutomatic
        requirements.maxModelLength = try maxModelLength
        if let asked = requirements.maxModelLength, asked > description.contextLength {
            throw arguments.error(
                "max-model-len",
                "is \(asked), the model was made for \(description.contextLength) tokens")
        }
        requirements.cacheBytes = try arguments.memorySize("kv-cache-memory-bytes")?.bytes
        requirements.cachePages = try arguments.int("num-gpu-blocks-override", in: 1...(1 << 30))
        if sharesPrefixes { requirements.keepStates() }
        requirements.hasStateBackups = arguments.isGiven("speculative-model")
        let beside = ServedProgram.bytes(model.tokenizer) + (draft?.byteCount ?? 0)
        return model.planner(reserving: beside).serve(
            layouts: model.layouts, adapters: model.adapterExtents,
            load: try model.loader.loadNeed(), requirements: requirements)
    }

    /// The engine's bounds.
    func configuration(_ plan: ServePlan, _ model: LoadedModel) throws -> EngineConfiguration {
        var configuration = EngineConfiguration(
            maxModelLength: plan.need.contextLength, maxSequences: plan.need.sequences,
            maxBatchedTokens: plan.need.rows)
        configuration.longPrefillThreshold = try arguments.int(
            "long-prefill-token-threshold", default: 0, in: 0...(1 << 24))
        configuration.prefixCaching = sharesPrefixes
        if let seconds = try arguments.double("kv-cache-idle-time", in: 0...1e7) {
            configuration.idlePageTime = .seconds(seconds)
        }
        if arguments.isGiven("speculative-model") {
            configuration.draftTokens = try draftTokens
        }
        configuration.policy =
            arguments.string("scheduling-policy").flatMap(SchedulingPolicy.init) ?? .fcfs
        configuration.maxQueuedRequests = try arguments.int(
            "max-num-queued-reqs", default: 1024, in: 0...(1 << 30))
        configuration.maxQueuedTokens = try arguments.int(
            "max-num-queued-tokens", in: 1...(1 << 40))
        return configuration
    }
}
