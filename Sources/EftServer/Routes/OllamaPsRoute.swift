// SPDX-License-Identifier: Apache-2.0
// Which models are in memory, for Ollama's clients.
import EftConfig

/// `GET /api/ps`: all that are served, which never expire.
struct OllamaPsRoute: ModelServingRoute {
    let methods = ["GET"]
    let path = "/api/ps"
    let isCounted = false
    let model: ServedModel

    func handle(_ request: Request, _ responder: Responder) {
        let entries = model.ollamaNames.map { name, parent -> ConfigNode in
            var entry = model.ollamaEntry(name, parent: parent)
            entry["expires_at"] = "9999-12-31T23:59:59Z"
            entry["size_vram"] = 0
            entry["context_length"] = ConfigNode(model.maxLength)
            return ConfigNode(entry)
        }
        responder.respond(.json(["models": ConfigNode(entries)]))
    }
}
