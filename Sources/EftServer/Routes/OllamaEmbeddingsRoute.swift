// SPDX-License-Identifier: Apache-2.0
// The vector of a text, for Ollama's older clients.
import EftConfig

/// `POST /api/embeddings`: the vector of `prompt`.
struct OllamaEmbeddingsRoute: ModelServingRoute {
    let methods = ["POST"]
    let path = "/api/embeddings"
    let body = RouteBody.anyType
    let model: ServedModel

    func handle(_ request: Request, _ responder: Responder) throws {
        let fields = try RequestFields(request.json())
        let named = try model.ollamaNamed(fields)
        let text = try fields.string("prompt") ?? ""
        let prompts = text.isEmpty ? [] : [try model.embeddedPrompt(text, "prompt", isCut: true)]
        try model.embed(prompts, named, dimensions: nil, responder) { vectors in
            ["embedding": ConfigNode((vectors.first ?? []).map { Double($0) })]
        }
    }
}
