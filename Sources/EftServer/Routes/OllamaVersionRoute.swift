// SPDX-License-Identifier: Apache-2.0
// The version of Ollama's interface, for its clients.
import EftConfig

/// `GET /api/version`: the version of Ollama whose interface is served, and the program's own.
struct OllamaVersionRoute: RegisteredRoute {
    let methods = ["GET"]
    let path = "/api/version"
    let isCounted = false
    private let version: String

    init?(_ context: ServerContext) {
        guard context.model != nil else { return nil }
        version = context.version
    }

    func handle(_ request: Request, _ responder: Responder) {
        responder.respond(
            .json([
                "version": ConfigNode(OllamaInterface.version),
                "server": ConfigNode("eft \(version)"),
            ]))
    }
}
