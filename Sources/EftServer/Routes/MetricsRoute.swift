// SPDX-License-Identifier: Apache-2.0
// The server's numbers, for Prometheus.

/// `GET /metrics`: all numbers of the registry as text.
struct MetricsRoute: RegisteredRoute {
    let methods = ["GET"]
    let path = "/metrics"
    let access: RouteAccess
    let isCounted = false
    private let registry: MetricsRegistry
    private let model: ServedModel?

    init(_ context: ServerContext) {
        access = context.metricsAccess
        registry = context.registry
        model = context.model
    }

    func handle(_ request: Request, _ responder: Responder) {
        model?.refreshMetrics()
        responder.respond(
            Response(
                fields: ["Content-Type": Exposition.contentType],
                body: Array(registry.text.utf8)))
    }
}
