// SPDX-License-Identifier: Apache-2.0
// Vectors of texts, for Ollama's clients.
import EftConfig
import EftTensor

/// `POST /api/embed`: a vector of length 1 for each text of `input`.
struct OllamaEmbedRoute: ModelServingRoute {
    let methods = ["POST"]
    let path = "/api/embed"
    let body = RouteBody.anyType
    let model: ServedModel

    func handle(_ request: Request, _ responder: Responder) throws {
        let start = ContinuousClock.now
        let fields = try RequestFields(request.json())
        let named = try model.ollamaNamed(fields)
        let texts = try fields.strings("input") ?? []
        guard texts.count <= model.options.limits.prompts else {
            throw fields.failure(
                "input", "holds more than \(model.options.limits.prompts) texts")
        }
        let dimensions = try fields.int("dimensions")
        if let dimensions, dimensions < 1 {
            throw fields.failure("dimensions", "must be at least 1")
        }
        let isCut = try fields.bool("truncate") ?? true
        // A single empty text is a request to load the model.
        let prompts = try (texts == [""] ? [] : texts).map { (text) throws(HTTPFailure) in
            try model.embeddedPrompt(text, "input", isCut: isCut)
        }
        let count = prompts.reduce(0) { $0 + $1.count }
        try model.embed(prompts, named, dimensions: dimensions, responder) { vectors in
            [
                "model": ConfigNode(named.name),
                "embeddings": ConfigNode(vectors.map { ConfigNode($0.map { Double($0) }) }),
                "total_duration": OllamaAnswer.nanoseconds(.now - start),
                "load_duration": 0, "prompt_eval_count": ConfigNode(count),
            ]
        }
    }
}
