// SPDX-License-Identifier: Apache-2.0
// A loaded model behind a server.
import EftCommandLine
import EftConfig
import EftFormats
import EftGeneration
import EftModels
import EftPlanning
import EftServer
import EftTensor
import EftTokenizers

#if canImport(Glibc)
    import Glibc
#endif

/// Puts a server together.
struct ServedProgram {
    let arguments: ParsedArguments
    let options: ServeOptions
    let model: LoadedModel

    /// What a server takes besides its ledger's memory: tables of tokens for constraints, compiled constraints, buffers
    /// of connections.
    static func bytes(_ tokenizer: Tokenizer) -> Int {
        tokenizer.idBound * 96 + constraintBytes + 16 << 20
    }

    /// After so long a step is taken for dead: a streamed model of 70 billion weights reads 512 tokens in minutes.
    private static let longestStep = Duration.seconds(1800)
    /// The most bytes of compiled constraints that are kept.
    private static let constraintBytes = 32 << 20

    /// The model with its engine.
    func served(
        _ decoder: Decoder, _ draft: DraftedModel?, _ plan: ServePlan,
        _ registry: MetricsRegistry
    ) throws -> ServedModel {
        let configuration = try options.configuration(plan, model)
        let core = try EngineCore(
            decoder: decoder, need: plan.need, configuration: configuration)
        if options.draftsFromText { try core.useNGramDrafts() }
        try draft?.attach(to: core, sharing: model.devices[0])
        var limits = ConstraintLimits()
        limits.cacheBytes = 8 << 20
        let (tokenizer, size) = (model.tokenizer, model.folder.description.vocabulary)
        let templates = try model.templates(arguments)
        let metrics = EngineMetrics(
            registry, modelName: options.names.first ?? "",
            maximumLength: configuration.maxModelLength)
        metrics.publishCacheConfiguration([
            ("block_size", String(pageTokens)), ("num_gpu_blocks", String(plan.need.pages)),
            ("cache_dtype", plan.need.kvType.rawValue),
            ("enable_prefix_caching", configuration.prefixCaching ? "True" : "False"),
            ("kv_cache_size_tokens", String(plan.cacheTokens)),
        ])
        let served = try ServedModel(
            core: core, tokenizer: model.tokenizer, templates: templates,
            constraints: ConstraintCache(
                limits: limits, maximumBytes: ServedProgram.constraintBytes
            ) { () throws(ConstraintError) in try ConstraintVocabulary(tokenizer, size: size) },
            options: try modelOptions(templates),
            metrics: metrics)
        for adapter in options.adapters {
            try served.adapters.load(adapter.name, path: adapter.folder)
        }
        return served
    }

    private func modelOptions(_ templates: ChatTemplates?) throws -> ServedModelOptions {
        var served = ServedModelOptions(
            names: options.names, root: try arguments.required("model"),
            created: UnixTime.seconds)
        let generation = try generationConfig()
        served.defaults = SamplingDefaults(generationConfig: generation)
        served.defaults.seed = try arguments.int("seed").map { UInt64(bitPattern: Int64($0)) }
        served.ollamaDefaults = .ollama(generation)
        served.ollamaDefaults.seed = served.defaults.seed
        served.answers = try VLLMArguments.answerDefaults(arguments)
        served.facts = ModelFacts(model.folder)
        served.limits.logprobs = try arguments.int("max-logprobs", default: 20, in: -1...1_000_000)
        served.timeout = try arguments.double("request-timeout", in: 0.001...1e7).map {
            .seconds($0)
        }
        served.toolCalls =
            arguments.string("tool-call-parser").map {
                ToolCallFormatRegistry.format(named: $0)
            } ?? templates.flatMap { ToolCallFormatRegistry.format(ofTemplate: $0.source) }
        served.reasoning = arguments.string("reasoning-parser").flatMap {
            ReasoningFormat.format(named: $0)
        }
        served.adapterFolder = options.adapterFolder
        served.maxAdapters = options.maxAdapters
        served.trustsRequestTemplates = arguments.flag("trust-request-chat-template")
        return served
    }

    /// The generation_config.json that holds, with what the command line puts over it; empty for OpenAI's settings.
    private func generationConfig() throws -> ConfigNode {
        var object = ConfigObject()
        let source = arguments.string("generation-config", default: "auto")
        if source != "vllm" {
            let path = (source == "auto" ? model.folder.path : source) + "/generation_config.json"
            if source != "auto" || FileSystem.exists(path) {
                let node = try JSONParser.parse(FileSystem.read(path), file: path)
                object = try ConfigCursor(node, file: path).object()
            }
        }
        let over = try VLLMArguments.object("override-generation-config", arguments)
        for entry in over?.entries ?? [] { object[entry.key] = entry.node }
        return ConfigNode(object)
    }

    /// The server on its socket.
    func server(
        _ served: ServedModel, _ plan: ServePlan, _ registry: MetricsRegistry
    ) throws -> HTTPServer {
        ProcessMetrics.register(registry)
        var context = ServerContext(
            version: CommandRegistry.program.version, registry: registry)
        context.model = served
        context.isHealthy = { served.isHealthy(longestStep: ServedProgram.longestStep) }
        context.load = { served.load }
        context.needsKey = !keys.isEmpty
        context.memory = MemoryPurpose.allCases.map { ($0.rawValue, plan.stage.memory[$0]) }
            .filter { $0.1 > 0 }
        context.memoryLimit = memoryLimit(plan)
        context.metricsAccess = arguments.flag("open-metrics") ? .open : .keyed
        var rules = ApplicationOptions()
        rules.keys = APIKeys(keys)
        rules.origins = AllowedOrigins(arguments.strings("allowed-origins"))
        rules.hosts = AllowedHosts(
            options.address, added: options.allowedHosts, hasKeys: !keys.isEmpty)
        rules.sendsRequestID = true
        if let size = try arguments.memorySize("max-body-size") { rules.bodyLimit = size.bytes }
        let application = Application(
            routes: RouteRegistry.routes(context), options: rules,
            metrics: HTTPMetrics(registry), log: try log(), terminalLog: try terminalLog())
        var listening = ServerOptions()
        listening.address = options.address
        listening.secrets = options.tls
        return try HTTPServer(application, listening)
    }

    /// Bytes that the devices in use may hold together; nil for no bound.
    private func memoryLimit(_ plan: ServePlan) -> Int? {
        let limits = model.budget.limits
        let used = plan.stage.devices.count > 1 ? limits : [limits.max() ?? .max]
        guard used.allSatisfy({ $0 < .max / used.count }) else { return nil }
        return used.reduce(0, +)
    }

    private func log() throws -> AccessLog? {
        try arguments.string("access-log").map {
            try AccessLog($0 == "-" ? .standardError : .file($0))
        }
    }

    /// Lines for people on standard error; nil with `--quiet`, or where lines of JSON go there.
    private func terminalLog() throws -> AccessLog? {
        guard !arguments.flag("quiet"), arguments.string("access-log") != "-" else { return nil }
        return try AccessLog(.standardError, format: .text)
    }

    private var keys: [String] {
        var keys = arguments.strings("api-key")
        if let key = getenv("EFT_API_KEY") { keys.append(String(cString: key)) }
        return keys.filter { !$0.isEmpty }
    }
}

/// Small files of text that options name.
enum TextFile {
    /// - Throws: `ConfigError` for files that cannot be read.
    static func contents(_ path: String) throws -> String {
        String(decoding: try ConfigFile.contents(path), as: UTF8.self)
    }
}
