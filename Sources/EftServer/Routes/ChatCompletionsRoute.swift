// SPDX-License-Identifier: Apache-2.0
// The next message of a chat.
import EftConfig
import EftGeneration

/// `POST /v1/chat/completions`.
struct ChatCompletionsRoute: RegisteredRoute {
    let methods = ["POST"]
    let path = "/v1/chat/completions"
    private let model: ServedModel

    init?(_ context: ServerContext) {
        guard let model = context.model else { return nil }
        self.model = model
    }

    func handle(_ request: Request, _ responder: Responder) throws {
        let asked = try ChatRequest(request.json(), model)
        let answer = ChatAnswer(asked, model, responder)
        var engine = EngineRequest(
            prompt: asked.prompt.tokens, parameters: asked.parameters,
            sink: try AnswerSink(
                prompt: 0, samples: asked.samples, asked.parameters, model.tokenizer, answer))
        engine.samples = asked.samples
        engine.priority = asked.priority
        engine.root.salt = asked.salt
        engine.constraint = asked.constraint
        if let adapter = asked.named.adapter { engine.use(adapter) }
        try model.submit([engine], responder)
    }
}
