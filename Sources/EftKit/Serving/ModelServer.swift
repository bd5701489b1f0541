// SPDX-License-Identifier: Apache-2.0
// A loaded model behind OpenAI's and Ollama's HTTP interfaces, in this process.
import EftGeneration
import EftModels
import EftServer
import EftTensor

/// Where and to whom a model is served.
public struct ModelServerOptions: Sendable, Hashable {
    /// A numeric address to listen at.
    public var host = "127.0.0.1"
    /// The port; 0 takes a free one.
    public var port: UInt16 = 8000
    /// The model's name in requests and answers; its folder's name when nil.
    public var name: String?
    /// Keys of which a request must show one; none guards nothing.
    public var apiKeys: [String] = []
    /// Web origins whose scripts may use the server.
    public var allowedOrigins: [String] = []
    /// Further host names under which the server answers without a key, beside those of this machine; `*` for all.
    public var allowedHosts: [String] = []

    /// The defaults.
    public init(port: UInt16 = 8000) { self.port = port }
}

/// A model that is served over HTTP until `stop` is called or the server goes away.
public final class ModelServer: Sendable {
    /// The server's URL, with the port that was taken.
    public let url: String
    private let server: HTTPServer
    private let served: ServedModel

    init(_ model: LanguageModel, _ options: ModelServerOptions) throws {
        let name = options.name ?? String(model.folder.split(separator: "/").last ?? "model")
        let registry = MetricsRegistry()
        served = try model.served(name, registry)
        var context = ServerContext(version: EftVersion.current, registry: registry)
        context.model = served
        context.needsKey = !options.apiKeys.isEmpty
        context.memory = model.memory.items.map { ($0.purpose, $0.bytes) }
        let served = served
        context.load = { served.load }
        var rules = ApplicationOptions()
        rules.keys = APIKeys(options.apiKeys)
        rules.origins = AllowedOrigins(options.allowedOrigins)
        rules.hosts = AllowedHosts(
            .tcp(host: options.host, port: options.port), added: options.allowedHosts,
            hasKeys: !options.apiKeys.isEmpty)
        rules.sendsRequestID = true
        let application = Application(
            routes: RouteRegistry.routes(context), options: rules,
            metrics: HTTPMetrics(registry), log: nil)
        var listening = ServerOptions()
        listening.address = .tcp(host: options.host, port: options.port)
        server = try HTTPServer(application, listening)
        url = "http://\(server.address)"
    }

    /// Lets requests under way finish for some time, breaks off the rest, and closes the port.
    public func stop(within time: Duration = .seconds(5)) async {
        let server = server
        _ = try? await Background.run { _ in server.stop(within: time) }
    }
}

extension LanguageModel {
    /// Serves the model over HTTP with OpenAI's interface, beside its use in the program.
    /// - Throws: `EftError` when the address cannot be had.
    public func serve(
        _ options: ModelServerOptions = ModelServerOptions()
    ) throws(EftError) -> ModelServer {
        do {
            return try ModelServer(self, options)
        } catch { throw EftError(wrapping: error) }
    }

    /// The model as routes take it, over the engine that the program uses too.
    fileprivate func served(_ name: String, _ registry: MetricsRegistry) throws -> ServedModel {
        var served = ServedModelOptions(names: [name], root: folder, created: UnixTime.seconds)
        served.defaults = completionDefaults
        served.ollamaDefaults = .ollama(generationConfig)
        if let opened = try? ModelFolder.open(folder) { served.facts = ModelFacts(opened) }
        served.maxAdapters = max(options.maxAdapters, options.adapters.count)
        served.toolCalls = templates.flatMap {
            ToolCallFormatRegistry.format(ofTemplate: $0.source)
        }
        let model = try ServedModel(
            engine: engine, tokenizer: tokenizer, templates: templates,
            constraints: try constraintCache(), options: served,
            metrics: EngineMetrics(registry, modelName: name, maximumLength: contextLength))
        for (name, adapter) in adapters.withLock({ $0 }) {
            try model.adapters.adopt(name, adapter, path: name)
        }
        return model
    }
}
