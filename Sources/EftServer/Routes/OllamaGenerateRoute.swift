// SPDX-License-Identifier: Apache-2.0
// The continuation of a prompt, for Ollama's clients.
import EftConfig

/// `POST /api/generate`; without a prompt it only says that the model is loaded.
struct OllamaGenerateRoute: ModelServingRoute {
    let methods = ["POST"]
    let path = "/api/generate"
    let body = RouteBody.anyType
    let model: ServedModel

    func handle(_ request: Request, _ responder: Responder) throws {
        let fields = try RequestFields(request.json())
        let named = try model.ollamaNamed(fields)
        guard let prompt = try fields.string("prompt"), !prompt.isEmpty else {
            responder.respond(try OllamaRequest.loaded(.generate, fields, named))
            return
        }
        let requested = try OllamaRequest(generate: fields, prompt, named, model)
        try model.submit(requested, responder)
    }
}
