// SPDX-License-Identifier: Apache-2.0
// The next message of a chat, for Ollama's clients.
import EftConfig

/// `POST /api/chat`; without messages it only says that the model is loaded.
struct OllamaChatRoute: ModelServingRoute {
    let methods = ["POST"]
    let path = "/api/chat"
    let body = RouteBody.anyType
    let model: ServedModel

    func handle(_ request: Request, _ responder: Responder) throws {
        let fields = try RequestFields(request.json())
        let named = try model.ollamaNamed(fields)
        let messages = try fields.array("messages") ?? []
        guard !messages.isEmpty else {
            responder.respond(try OllamaRequest.loaded(.chat, fields, named))
            return
        }
        let requested = try OllamaRequest(chat: fields, messages, named, model)
        try model.submit(requested, responder)
    }
}
