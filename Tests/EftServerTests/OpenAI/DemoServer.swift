// SPDX-License-Identifier: Apache-2.0
// A served model that tests share.
import EftConfig
import EftFormats
import EftGeneration
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import EftTokenizers

@testable import EftServer

#if canImport(Glibc)
    import Glibc
#endif

/// The demo's model behind the routes.
final class DemoServer: Sendable {
    let model: ServedModel
    let registry: MetricsRegistry
    /// Where adapters are; beside it lies one that must not be reached.
    let folder: TemporaryFolder
    let context: ServerContext

    /// One for all tests that do not count what it does.
    private static let common = Result { try DemoServer() }
    static func shared() throws -> DemoServer { try common.get() }

    init() throws {
        let path = FileSystem.join(Fixtures.packageRoot, "Examples/demo/model")
        let opened = try ModelFolder.open(path)
        let decoder = try DecoderLoader(folder: opened).load(backend: CPUBackend(threads: 2))
        let tokenizer = try Tokenizer.load(folder: path)
        folder = try TemporaryFolder()
        try DemoAdapter.write(folder.file("adapters/first"), seed: 1)
        try DemoAdapter.write(folder.file("adapters/second"), seed: 2)
        try DemoAdapter.write(folder.file("outside"), seed: 3)
        symlink(folder.file("outside"), folder.file("adapters/link"))
        var options = ServedModelOptions(names: ["demo", "alias"], root: path, created: 1)
        options.facts = ModelFacts(opened)
        options.adapterFolder = folder.file("adapters")
        options.maxAdapters = 8
        options.toolCalls = HermesToolCalls()
        options.reasoning = ReasoningFormat.format(named: "qwen3")
        registry = MetricsRegistry()
        let configuration = EngineConfiguration(
            maxModelLength: 512, maxSequences: 8, maxBatchedTokens: 128)
        let need = GenerationNeed(
            contextLength: 512, sequences: 8, prefillChunk: 128, kvType: .f32,
            adapters: AdapterWidths(rank: 4),
            cachePages: 256, logitRows: 8)
        model = try ServedModel(
            core: EngineCore(decoder: decoder, need: need, configuration: configuration),
            tokenizer: tokenizer,
            templates: ChatTemplates.single(DemoServer.template, folder: path),
            constraints: ConstraintCache(
                try ConstraintVocabulary(tokenizer, size: opened.description.vocabulary)),
            options: options,
            metrics: EngineMetrics(registry, modelName: "demo", maximumLength: 512))
        var context = ServerContext(version: "1.2.3", registry: registry)
        context.model = model
        self.context = context
    }

    private static let template = """
        {%- for message in messages %}{{ message.role + ': ' + message.content + '\\n' }}{% endfor -%}
        {%- if add_generation_prompt %}{{ 'assistant:' }}{% endif -%}
        """

    var routes: [any Route] { RouteRegistry.routes(context) }

    func server(_ transport: Transport = .router) throws -> TestServer {
        try TestServer(transport, routes: routes)
    }

    /// Sends a body to a route.
    func post(_ path: String, _ body: ConfigNode) throws -> TestResponse {
        try post(
            path, text: String(decoding: JSONWriter.bytes(body, layout: .minimal), as: UTF8.self))
    }

    /// Sends a body as it stands to a route.
    func post(_ path: String, text: String) throws -> TestResponse {
        try server().send(TestRequest("POST", path, body: text))
    }

    /// The answer to a request that must succeed.
    func answer(_ path: String, _ body: ConfigNode) throws -> ConfigNode? {
        let response = try post(path, body)
        guard response.status == 200 else {
            throw SocketError("\(response.status): \(response.text)")
        }
        return response.json
    }

    /// The answer to a request for completions, greedy unless the body says otherwise.
    func complete(_ changes: ConfigObject = [:]) throws -> ConfigNode? {
        var body: ConfigObject = [
            "prompt": ConfigNode(DemoServer.prompt), "temperature": 0, "max_tokens": 8,
        ]
        for entry in changes.entries { body[entry.key] = entry.node }
        return try answer("/v1/completions", ConfigNode(body))
    }

    /// The events of a stream, without the last line's `[DONE]`, which must be there.
    func events(_ path: String, _ body: ConfigObject) throws -> [ConfigNode?] {
        var body = body
        body["stream"] = true
        let response = try post(path, ConfigNode(body))
        guard response.status == 200,
            response.fields["Content-Type"]?.hasPrefix("text/event-stream") == true
        else {
            throw SocketError("\(response.status): \(response.text)")
        }
        var lines = response.text.split(separator: "\n").map(String.init)
        guard lines.popLast() == "data: [DONE]" else { throw SocketError("no end") }
        return try lines.map { line -> ConfigNode? in
            guard line.hasPrefix("data: ") else { throw SocketError("no event: \(line)") }
            return try JSONParser.parse(Array(line.utf8.dropFirst(6)))
        }
    }

    static let prompt = "Question: What is pea soup made of?\nAnswer:"

    /// Waits until the engine has nothing to do.
    func settle() {
        while model.load > 0 || model.engine.status.usedPages > 0 { usleep(1000) }
    }
}

/// Adapters with weights that look random.
enum DemoAdapter {
    /// Writes one of rank 4 on all queries and values.
    static func write(_ folder: String, seed: UInt64) throws {
        try FileSystem.createFolder(FileSystem.folder(of: folder))
        try FileSystem.createFolder(folder)
        var state = seed
        var header = ConfigObject()
        var data: [UInt8] = []
        for layer in 0..<4 {
            for (name, outputs) in [("q_proj", 256), ("v_proj", 128)] {
                for (part, shape) in [("A", [4, 256]), ("B", [outputs, 4])] {
                    let start = data.count
                    for _ in 0..<shape[0] * shape[1] {
                        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                        let value = (Float(state >> 40) / Float(1 << 24) - 0.5) * 0.2
                        withUnsafeBytes(of: value.bitPattern.littleEndian) {
                            data.append(contentsOf: $0)
                        }
                    }
                    header[
                        "base_model.model.model.layers.\(layer).self_attn.\(name).lora_\(part).weight"
                    ] = [
                        "dtype": "F32", "shape": ConfigNode(shape),
                        "data_offsets": ConfigNode([start, data.count]),
                    ]
                }
            }
        }
        var text = JSONWriter.bytes(ConfigNode(header), layout: .minimal)
        while text.count % 8 != 0 { text.append(UInt8(ascii: " ")) }
        let count = withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) }
        try AtomicFile.write(
            FileSystem.join(folder, "adapter_model.safetensors"), count + text + data)
        let configuration: ConfigNode = [
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8,
            "lora_dropout": 0.0, "bias": "none", "fan_in_fan_out": false, "use_rslora": false,
            "base_model_name_or_path": "demo", "target_modules": ["q_proj", "v_proj"],
        ]
        try AtomicFile.write(
            FileSystem.join(folder, "adapter_config.json"),
            JSONWriter.bytes(configuration, layout: .minimal))
    }
}
