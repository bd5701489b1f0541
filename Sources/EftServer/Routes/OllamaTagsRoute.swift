// SPDX-License-Identifier: Apache-2.0
// Which models are served, for Ollama's clients.
import EftConfig

/// `GET /api/tags`: the base under all its names, then the adapters.
struct OllamaTagsRoute: ModelServingRoute {
    let methods = ["GET"]
    let path = "/api/tags"
    let model: ServedModel

    func handle(_ request: Request, _ responder: Responder) {
        let entries = model.ollamaNames.map { name, parent -> ConfigNode in
            var entry = model.ollamaEntry(name, parent: parent)
            entry["modified_at"] = ConfigNode(model.ollamaModified)
            return ConfigNode(entry)
        }
        responder.respond(.json(["models": ConfigNode(entries)]))
    }
}
