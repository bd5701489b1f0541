// SPDX-License-Identifier: Apache-2.0
// Numbers about requests, under the names that dashboards for other servers expect.

/// Counts, times and sizes of requests by route.
package struct HTTPMetrics: Sendable {
    private let requests: MetricFamily<Counter>
    private let requestBytes: MetricFamily<Summary>
    private let responseBytes: MetricFamily<Summary>
    private let fineSeconds: MetricFamily<Histogram>
    private let seconds: MetricFamily<Histogram>

    /// Methods that are told apart; any word may stand in a request, and each would be kept.
    private static let methods: Set = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH",
    ]

    /// Adds the families to a registry.
    package init(_ registry: MetricsRegistry) {
        requests = registry.counter(
            "http_requests", help: "Total number of requests by method, status and handler.",
            labels: ["method", "status", "handler"])
        requestBytes = registry.summary(
            "http_request_size_bytes", help: "Bytes of incoming requests' bodies by handler.",
            labels: ["handler"])
        responseBytes = registry.summary(
            "http_response_size_bytes", help: "Bytes of outgoing responses' bodies by handler.",
            labels: ["handler"])
        fineSeconds = registry.histogram(
            "http_request_duration_highr_seconds",
            help: "Latency of all requests, with many buckets and no labels.",
            bounds: [
                0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5,
                7.5, 10, 30, 60,
            ])
        seconds = registry.histogram(
            "http_request_duration_seconds", help: "Latency of requests by method and handler.",
            labels: ["method", "handler"], bounds: [0.1, 0.5, 1])
    }

    /// Counts a request that has ended.
    func record(method: String, handler: String, _ outcome: CallOutcome, seconds time: Double) {
        let method = HTTPMetrics.methods.contains(method) ? method : "OTHER"
        requests[[method, "\(outcome.status / 100)xx", handler]].add()
        requestBytes[[handler]].observe(Double(outcome.requestBytes))
        responseBytes[[handler]].observe(Double(outcome.responseBytes))
        fineSeconds[[]].observe(time)
        seconds[[method, handler]].observe(time)
    }
}
