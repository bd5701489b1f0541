// SPDX-License-Identifier: Apache-2.0
// The next message of a chat.
import EftConfig
import EftGeneration

/// `POST /v1/chat/completions`.
struct ChatCompletionsRoute: ModelServingRoute {
    let methods = ["POST"]
    let path = "/v1/chat/completions"
    let model: ServedModel

    func handle(_ request: Request, _ responder: Responder) throws {
        let asked = try ChatRequest(request.json(), model)
        let answer = ChatAnswer(asked, model, responder)
        var engine = asked.placement.request(
            asked.prompt.tokens, asked.parameters,
            try AnswerSink(
                prompt: 0, samples: asked.samples, asked.parameters, model.tokenizer, answer))
        engine.samples = asked.samples
        engine.constraint = asked.constraint
        try model.submit([engine], responder)
    }
}
