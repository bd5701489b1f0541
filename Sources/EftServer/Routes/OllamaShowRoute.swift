// SPDX-License-Identifier: Apache-2.0
// What a model is made of and can do, for Ollama's clients.
import EftConfig

/// `POST /api/show`: details, extents, abilities, settings and chat template.
struct OllamaShowRoute: ModelServingRoute {
    let methods = ["POST"]
    let path = "/api/show"
    let body = RouteBody.anyType
    let model: ServedModel

    func handle(_ request: Request, _ responder: Responder) throws {
        let fields = try RequestFields(request.json())
        let named = try model.ollamaNamed(fields)
        let parent = named.adapter == nil ? nil : ServedModel.tagged(model.name)
        responder.respond(
            .json([
                "modelfile": ConfigNode(model.ollamaModelfile(named.name)),
                "parameters": ConfigNode(
                    model.ollamaSettings.map { key, value in
                        key + String(repeating: " ", count: max(1, 31 - key.count)) + value
                    }.joined(separator: "\n")),
                "template": ConfigNode(model.templates?.source ?? ""),
                "details": model.ollamaDetails(parent: parent),
                "model_info": model.ollamaInfo, "capabilities": model.ollamaCapabilities,
                "modified_at": ConfigNode(model.ollamaModified),
            ]))
    }
}
