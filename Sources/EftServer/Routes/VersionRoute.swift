// SPDX-License-Identifier: Apache-2.0
// Which version serves.
import EftConfig

/// `GET /version`: `{"version": "..."}`.
struct VersionRoute: RegisteredRoute {
    let methods = ["GET"]
    let path = "/version"
    let isCounted = false
    private let version: String

    init(_ context: ServerContext) { version = context.version }

    func handle(_ request: Request, _ responder: Responder) {
        responder.respond(.json(["version": ConfigNode(version)]))
    }
}
