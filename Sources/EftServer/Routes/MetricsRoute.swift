// SPDX-License-Identifier: Apache-2.0
// The server's numbers, for Prometheus.

/// `GET /metrics`: all numbers of the registry as text.
struct MetricsRoute: Route {
    let methods = ["GET"]
    let path = "/metrics"
    let access: RouteAccess
    let isCounted = false
    private let registry: MetricsRegistry

    init(_ context: ServerContext) {
        access = context.metricsAccess
        registry = context.registry
    }

    func handle(_ request: Request, _ responder: Responder) {
        responder.respond(
            Response(
                fields: ["Content-Type": Exposition.contentType],
                body: Array(registry.text.utf8)))
    }
}
