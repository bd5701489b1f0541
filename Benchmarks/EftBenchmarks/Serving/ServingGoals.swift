// SPDX-License-Identifier: Apache-2.0
// What is measured of requests, and what they should keep.

/// A time of a request that is summed up over all of them, by vLLM's names.
package enum ServingMetric: String, Sendable, CaseIterable {
    case timeToFirstToken = "ttft"
    case timePerOutputToken = "tpot"
    case interTokenLatency = "itl"
    case endToEndLatency = "e2el"

    /// The heading of its section.
    var title: String {
        switch self {
        case .timeToFirstToken: "Time to First Token"
        case .timePerOutputToken: "Time per Output Token (excl. 1st token)"
        case .interTokenLatency: "Inter-token Latency"
        case .endToEndLatency: "End-to-end Latency"
        }
    }

    /// Its values over requests that succeeded, in seconds.
    func values(_ outcomes: [RequestOutcome]) -> [Double] {
        switch self {
        case .timeToFirstToken: outcomes.compactMap(\.timeToFirstToken)
        case .timePerOutputToken: outcomes.compactMap(\.timePerOutputToken)
        case .interTokenLatency: outcomes.flatMap(\.interTokenLatencies)
        case .endToEndLatency: outcomes.map(\.latency)
        }
    }
}

/// Times that a good request keeps, in milliseconds.
package struct ServingGoals: Sendable, Hashable {
    private let limits: [ServingMetric: Double]

    /// Sets limits, for any of ttft, tpot and e2el.
    package init(_ limits: [ServingMetric: Double] = [:]) { self.limits = limits }

    /// Whether there is no limit.
    package var isEmpty: Bool { limits.isEmpty }

    /// Reads a limit such as `ttft:200`.
    /// - Returns: nil for what is none.
    package static func parse(_ text: String) -> (ServingMetric, Double)? {
        let sides = text.split(separator: ":", omittingEmptySubsequences: false)
        guard sides.count == 2, let metric = ServingMetric(rawValue: String(sides[0])),
            metric != .interTokenLatency, let limit = Double(sides[1]), limit.isFinite, limit >= 0
        else { return nil }
        return (metric, limit)
    }

    /// Whether a request keeps all limits; an answer of one token has no time a token.
    func areMet(by outcome: RequestOutcome) -> Bool {
        limits.allSatisfy { metric, limit in
            let seconds =
                switch metric {
                case .timeToFirstToken: outcome.timeToFirstToken ?? .infinity
                case .timePerOutputToken: outcome.timePerOutputToken ?? 0
                case .interTokenLatency: outcome.interTokenLatencies.max() ?? 0
                case .endToEndLatency: outcome.latency
                }
            return seconds * 1000 <= limit
        }
    }
}
