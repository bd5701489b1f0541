// SPDX-License-Identifier: Apache-2.0
// The bounds of the engine's histograms, which dashboards for vLLM expect.

/// Upper bounds of buckets.
enum MetricBuckets {
    /// Seconds to the first token.
    static let firstToken = [
        0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20,
        40, 80, 160, 640, 2560,
    ]
    /// Seconds between tokens.
    static let token = [
        0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40,
        80,
    ]
    /// Seconds of a request or a part of it.
    static let request = [
        0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920,
        7680,
    ]
    /// Tokens of a step.
    static let iteration = [1.0] + (3...14).map { Double(1 << $0) }
    /// Answers to a prompt.
    static let answers = [1.0, 2, 5, 10, 20]
    /// Preemptions of a request.
    static let preemptions = [1.0, 2, 3, 4, 5, 10, 20]
    /// Seconds in the life of a page.
    static let page = [
        0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300,
        600, 1200, 1800,
    ]

    /// 1, 2, 5, 10, 20, ... up to a limit.
    static func tokens(upTo limit: Int) -> [Double] {
        var bounds: [Double] = []
        var power = 1
        while true {
            for step in [1, 2, 5] {
                let (bound, isOver) = power.multipliedReportingOverflow(by: step)
                guard !isOver, bound <= limit else { return bounds }
                bounds.append(Double(bound))
            }
            let (next, isOver) = power.multipliedReportingOverflow(by: 10)
            guard !isOver else { return bounds }
            power = next
        }
    }
}
