// SPDX-License-Identifier: Apache-2.0
// The memory and what the engine does, for the page and for those that watch the server.
import EftConfig
import EftGeneration
import EftTensor

/// `GET /status`: the plan of the memory beside what is held, and the engine's numbers.
struct StatusRoute: RegisteredRoute {
    let methods = ["GET"]
    let path = "/status"
    let isCounted = false
    private let model: ServedModel
    private let context: ServerContext

    /// The engine's numbers, in their order.
    static let numbers = [
        "running", "waiting", "waiting_tokens", "pages", "used_pages", "page_tokens",
        "held_tokens", "steps", "prompt_tokens", "generated_tokens",
    ]

    init?(_ context: ServerContext) {
        guard let model = context.model else { return nil }
        self.model = model
        self.context = context
    }

    func handle(_ request: Request, _ responder: Responder) {
        responder.respond(
            .json([
                "version": ConfigNode(context.version), "model": ConfigNode(model.name),
                "max_model_len": ConfigNode(model.maxLength),
                "chat_template": ConfigNode(model.templates != nil),
                "sampling_defaults": recommended, "memory": memory, "engine": engine,
            ]))
    }

    /// Settings that a request may leave out, by their names there.
    static let settings = [
        "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "max_tokens",
    ]

    /// What the model's author recommends; null where nothing was said.
    private var recommended: ConfigNode {
        let defaults = model.options.defaults
        let values = [
            decimal(defaults.temperature), decimal(defaults.topP), ConfigNode(defaults.topK),
            decimal(defaults.minP), decimal(defaults.repetitionPenalty),
            defaults.maxTokens.map { ConfigNode($0) } ?? .null,
        ]
        var object = ConfigObject()
        for (name, value) in zip(StatusRoute.settings, values) {
            object[name] = defaults.recommended.contains(name) ? value : .null
        }
        return ConfigNode(object)
    }

    /// A setting as it was written: 0.6, not the nearest single-precision number's digits.
    private func decimal(_ value: Float) -> ConfigNode {
        ConfigNode(Double(value.description) ?? Double(value))
    }

    private var memory: ConfigNode {
        [
            "limit": context.memoryLimit.map { ConfigNode($0) } ?? .null,
            "planned": ConfigNode(
                context.memory.map { part -> ConfigNode in
                    ["purpose": ConfigNode(part.purpose), "bytes": ConfigNode(part.bytes)]
                }),
            "resident": ProcessMetrics.residentBytes.map { ConfigNode($0) } ?? .null,
        ]
    }

    private var engine: ConfigNode {
        let status = model.engine.status
        let values = [
            status.running, status.waiting, status.waitingTokens, status.pages,
            status.usedPages, pageTokens, status.heldTokens, status.steps,
            model.metrics.promptTokens.whole, model.metrics.generationTokens.whole,
        ]
        var object = ConfigObject()
        for (name, value) in zip(StatusRoute.numbers, values) { object[name] = ConfigNode(value) }
        return ConfigNode(object)
    }
}

extension Counter {
    /// The count of what comes in whole pieces.
    fileprivate var whole: Int { Int(exactly: value.rounded()) ?? 0 }
}
