// SPDX-License-Identifier: Apache-2.0
// A run's figures for people, laid out as vLLM lays them out, so that its readers read ours.
import EftCommandLine

extension ServingReport {
    private static let width = 50

    /// The lines, without a line end behind the last one.
    package var text: String {
        var lines = [Self.heading(" Serving Benchmark Result ", "=")]
        lines.append(Self.line("Successful requests:", completed.count))
        lines.append(Self.line("Failed requests:", failed))
        if let most = options.maxConcurrency {
            lines.append(Self.line("Maximum request concurrency:", most))
        }
        if let rate = options.rate {
            lines.append(Self.line("Request rate configured (RPS):", rate))
        }
        lines.append(Self.line("Benchmark duration (s):", duration))
        lines.append(Self.line("Total input tokens:", inputTokens))
        lines.append(Self.line("Total generated tokens:", outputTokens))
        lines.append(Self.line("Request throughput (req/s):", requestThroughput))
        if let goodput = requestGoodput {
            lines.append(Self.line("Request goodput (req/s):", goodput))
        }
        lines.append(Self.line("Output token throughput (tok/s):", outputThroughput))
        lines.append(Self.line("Peak output token throughput (tok/s):", Double(peakOutput)))
        lines.append(Self.line("Peak concurrent requests:", Double(peakConcurrency)))
        lines.append(Self.line("Total token throughput (tok/s):", totalThroughput))
        for metric in ServingMetric.allCases where options.metrics.contains(metric) {
            lines += section(metric)
        }
        lines.append(String(repeating: "=", count: Self.width))
        return lines.joined(separator: "\n")
    }

    private func section(_ metric: ServingMetric) -> [String] {
        let statistics = statistics(metric)
        let name = metric.rawValue.uppercased()
        return [
            Self.heading(metric.title, "-"),
            Self.line("Mean \(name) (ms):", statistics.mean),
            Self.line("Median \(name) (ms):", statistics.median),
        ]
            + options.percentiles.map {
                Self.line("P\(Self.name($0)) \(name) (ms):", statistics.percentile($0))
            }
    }

    private static func heading(_ title: String, _ fill: String) -> String {
        let space = max(0, width - title.count)
        return String(repeating: fill, count: space / 2) + title
            + String(repeating: fill, count: space - space / 2)
    }

    private static func line(_ label: String, _ value: Double) -> String {
        padded(label, 40) + " " + padded(formatFixed(value, decimals: 2), 10)
    }

    private static func line(_ label: String, _ value: Int) -> String {
        padded(label, 40) + " " + padded("\(value)", 10)
    }

    private static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }
}
