// SPDX-License-Identifier: Apache-2.0
// The same as /health, as hosting services ask for it.

/// `GET` or `POST /ping`: 200 without a body, or 503 when the engine no longer works.
struct PingRoute: RegisteredRoute {
    let methods = ["GET", "POST"]
    let path = "/ping"
    let access = RouteAccess.open
    let body = RouteBody.ignored
    let isCounted = false
    private let isHealthy: @Sendable () -> Bool

    init(_ context: ServerContext) { isHealthy = context.isHealthy }

    func handle(_ request: Request, _ responder: Responder) {
        responder.respond(Response(status: isHealthy() ? 200 : 503))
    }
}
