// SPDX-License-Identifier: Apache-2.0
// Whether the server works, for those that watch it.

/// `GET /health`: 200 without a body, or 503 when the engine no longer works.
struct HealthRoute: RegisteredRoute {
    let methods = ["GET"]
    let path = "/health"
    let access = RouteAccess.open
    let isCounted = false
    private let isHealthy: @Sendable () -> Bool

    init(_ context: ServerContext) { isHealthy = context.isHealthy }

    func handle(_ request: Request, _ responder: Responder) {
        responder.respond(Response(status: isHealthy() ? 200 : 503))
    }
}
