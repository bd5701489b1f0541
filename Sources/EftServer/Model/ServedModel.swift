// SPDX-License-Identifier: Apache-2.0
// The model behind the routes: its engine, its text, its names.
import EftConfig
import EftGeneration
import EftTokenizers
import Synchronization

/// What the server's operator decided for requests of OpenAI's form that say nothing else.
package struct AnswerDefaults: Sendable {
    /// Values for chat templates; those of a request go over them.
    package var templateArguments = ConfigObject()
    /// Whether every stream ends with its use of tokens.
    package var includesUsage = false
    /// Whether log-probabilities name tokens by id, as `token_id:N`.
    package var tokensAsIDs = false
    /// Whether templates see no tools where none may be called.
    package var hidesUncallableTools = false

    /// Nothing beyond what a request asks for.
    package init() {}
}

/// What a served model is called and may be asked.
package struct ServedModelOptions: Sendable {
    /// Names of the base; the first one is its own in answers.
    package var names: [String]
    /// The model's folder, or what stands for it in lists.
    package var root: String
    /// Seconds since 1970 when it was loaded.
    package var created: Int
    /// What settings are when a request says nothing.
    package var defaults = SamplingDefaults()
    /// What answers are when a request says nothing.
    package var answers = AnswerDefaults()
    /// What settings are for Ollama's routes.
    package var ollamaDefaults = SamplingDefaults.ollama(nil)
    /// What lists show of the base.
    package var facts = ModelFacts()
    /// Bounds on requests.
    package var limits = RequestLimits()
    /// The longest that a request may take; nil for any time.
    package var timeout: Duration?
    /// The folder from which adapters may be loaded at run time; nil for none.
    package var adapterFolder: String?
    /// Most adapters at a time.
    package var maxAdapters = 1
    /// Whether chat templates of requests are rendered.
    package var trustsRequestTemplates = false
    /// How the model writes calls of tools; nil when that is not known.
    package var toolCalls: (any ToolCallFormat)?
    /// How the model marks its thoughts; nil to leave them in the text.
    package var reasoning: ReasoningFormat?

    /// Names a model.
    package init(names: [String], root: String, created: Int) {
        self.names = names
        self.root = root
        self.created = created
    }
}

/// A model that requests are made of.
package final class ServedModel: Sendable {
    let engine: Engine
    let tokenizer: Tokenizer
    let options: ServedModelOptions
    let templates: ChatTemplates?
    let constraints: ConstraintCache
    /// The adapters.
    package let adapters: ServedAdapters
    let metrics: EngineMetrics
    private let observer: EngineMetricsObserver

    /// Starts an engine for a model.
    /// - Throws: `TensorError` when the system has no thread left.
    package convenience init(
        core: sending EngineCore, tokenizer: Tokenizer, templates: ChatTemplates?,
        constraints: ConstraintCache, options: ServedModelOptions, metrics: EngineMetrics
    ) throws {
        try self.init(
            engine: Engine(core), tokenizer: tokenizer, templates: templates,
            constraints: constraints, options: options, metrics: metrics)
    }

    /// Serves a model over an engine that others may use too.
    /// - Throws: `AdmissionError` when the engine is stopping.
    package init(
        engine: Engine, tokenizer: Tokenizer, templates: ChatTemplates?,
        constraints: ConstraintCache, options: ServedModelOptions, metrics: EngineMetrics
    ) throws {
        self.engine = engine
        self.tokenizer = tokenizer
        self.templates = templates
        self.constraints = constraints
        self.options = options
        self.metrics = metrics
        let observer = EngineMetricsObserver(metrics)
        self.observer = observer
        try engine.perform { $0.observer = observer }
        adapters = ServedAdapters(
            engine: engine, folder: options.adapterFolder, most: options.maxAdapters,
            taken: options.names)
    }

    /// The base's name in answers.
    var name: String { options.names.first ?? "model" }

    /// Most tokens of a sequence.
    var maxLength: Int { engine.configuration.maxModelLength }

    // MARK: Text

    /// The ids of a text.
    /// - Throws: `HTTPFailure` when the text is too long to be read.
    func encode(
        _ text: String, addSpecialTokens: Bool, _ parameter: String = "prompt"
    ) throws(HTTPFailure) -> [Int32] {
        // Far more bytes than tokens of a text have; what is longer is not worth the time and the memory of finding out.
        let most = max(options.limits.textBytes, 16 * min(maxLength, 1 << 24))
        guard text.utf8.count <= most else {
            throw .badRequest(
                "the text has \(text.utf8.count) bytes, the most are \(most)", parameter: parameter)
        }
        do {
            return try tokenizer.encode(text, addSpecialTokens: addSpecialTokens)
        } catch {
            throw .badRequest("the text cannot be read: \(error.message)", parameter: parameter)
        }
    }

    /// The text of ids.
    /// - Throws: `HTTPFailure` for ids that the tokenizer does not know.
    func decode(_ ids: [Int32]) throws(HTTPFailure) -> String {
        if let bad = ids.first(where: { $0 < 0 || Int($0) >= engine.vocabulary }) {
            throw .badRequest(
                "the token id \(bad) is beyond the vocabulary of \(engine.vocabulary)",
                parameter: "tokens")
        }
        do {
            return try tokenizer.decode(ids)
        } catch {
            throw .badRequest("the tokens cannot be read: \(error.message)", parameter: "tokens")
        }
    }

    // MARK: Requests

    /// What a request's `model` names.
    struct Named {
        /// Its name in answers.
        let name: String
        /// The adapter, when it is one.
        let adapter: EngineAdapter?
    }

    /// Finds what a request is for; the base when it names nothing.
    /// - Throws: `HTTPFailure` (404).
    func named(_ fields: RequestFields) throws(HTTPFailure) -> Named {
        guard let asked = try fields.string("model"), !asked.isEmpty else {
            return Named(name: name, adapter: nil)
        }
        if let found = find(asked) { return found }
        throw .notFound(
            "The model `\(excerpt(asked, limit: 100))` does not exist.", parameter: "model")
    }

    /// The model or adapter of a name, also with the tag `latest`, under which Ollama's clients know those without a tag.
    func find(_ requested: String) -> Named? {
        let tag = ":latest"
        let bare = requested.hasSuffix(tag) ? [String(requested.dropLast(tag.count))] : []
        for name in [requested] + bare {
            if options.names.contains(name) { return Named(name: requested, adapter: nil) }
            if let adapter = adapters.find(name) {
                return Named(name: requested, adapter: adapter)
            }
        }
        return nil
    }

    /// Hands requests to the engine, all of them or none.
    ///
    /// When the client leaves, they are cancelled.
    /// - Throws: `HTTPFailure`: 400 for what cannot be served, 503 when there is no room in the queue.
    func submit(_ requests: [EngineRequest], _ responder: Responder) throws(HTTPFailure) {
        var tickets: [Engine.Ticket] = []
        let tally = responder.tally
        if let first = requests.first { tally.began(model: name(of: first)) }
        do {
            for var request in requests {
                tally.submitted(promptTokens: request.prompt.count)
                request.sink = TallySink(request.sink, tally)
                if let timeout = options.timeout { request.deadline = .now + timeout }
                tickets.append(try engine.submit(request))
            }
        } catch {
            for ticket in tickets { engine.cancel(ticket) }
            throw failure(of: error)
        }
        let engine = engine
        let all = tickets
        responder.onCancel { for ticket in all { engine.cancel(ticket) } }
    }

    /// The name of the model that a request is for.
    private func name(of request: EngineRequest) -> String {
        request.root.adapter == 0 ? name : adapters.name(of: request.root.adapter) ?? name
    }

    /// What a client is told of an error of the engine.
    func failure(of error: any Error) -> HTTPFailure {
        switch error {
        case let error as GenerationError where error.parameter == "model":
            // The adapter was unloaded between the look at its name and the request's beginning.
            return .notFound(error.message, parameter: error.parameter)
        case let error as GenerationError:
            return .badRequest(error.message, parameter: error.parameter)
        case let error as AdmissionError:
            metrics.rejected(reason: error.reason.rawValue)
            return .unavailable(error.description, retryAfter: error.retryAfter)
        case let error as ConstraintError: return .badRequest("\(error)")
        case let error as SamplingError: return .internalError("\(error)")
        case let error as HTTPFailure: return error
        default: return .internalError("the model failed; see the server's log")
        }
    }

    // MARK: State

    /// Sets the gauges to what the engine is doing now.
    package func refreshMetrics() {
        let status = engine.status
        metrics.setQueue(
            running: status.running, waitingForCapacity: status.waiting, deferred: 0)
        metrics.setCacheUsage(
            status.pages == 0 ? 0 : Double(status.usedPages) / Double(status.pages))
        metrics.setAdapters(maximum: options.maxAdapters, running: adapters.names, waiting: [])
    }

    /// Whether steps are made: the present one has not taken longer than a step ever should.
    package func isHealthy(longestStep: Duration) -> Bool {
        engine.status.stepSince.map { .now - $0 < longestStep } ?? true
    }

    /// Requests under way.
    package var load: Int {
        let status = engine.status
        return status.running + status.waiting
    }

    /// Lets no more requests in.
    package func close() { engine.close() }

    /// Ends all requests and the engine.
    package func stop() { engine.stop() }
}
