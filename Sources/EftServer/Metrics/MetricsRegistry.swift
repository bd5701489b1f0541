// SPDX-License-Identifier: Apache-2.0
// All numbers that a server publishes.
import Synchronization

/// Families in the order in which they were made.
package final class MetricsRegistry: Sendable {
    private let writers = Mutex<[@Sendable (inout Exposition) -> Void]>([])
    private let showsCreation: Bool

    /// Makes an empty registry.
    /// - Parameter showsCreation: whether the times at which counters began are published too, as `<name>_created`.
    package init(showsCreation: Bool = true) { self.showsCreation = showsCreation }

    /// The text that Prometheus reads.
    package var text: String {
        var exposition = Exposition()
        for write in writers.withLock({ $0 }) { write(&exposition) }
        return exposition.text
    }

    /// Adds what is found out only when it is asked for.
    func add(_ write: @escaping @Sendable (inout Exposition) -> Void) {
        writers.withLock { $0.append(write) }
    }

    /// A family of counters; `_total` is added to the name where it is published.
    package func counter(_ name: String, help: String, labels: [String] = [])
        -> MetricFamily<Counter>
    {
        let family = MetricFamily(name, help: help, labels: labels) { Counter() }
        add { [showsCreation] text in
            text.head(name + "_total", help: help, type: "counter")
            let all = family.all
            for child in all {
                text.sample(name + "_total", pairs(family, child.labels), child.value.value)
            }
            guard showsCreation else { return }
            text.creation(family, all.map { ($0.labels, $0.value.created) })
        }
        return family
    }

    /// A family of gauges.
    package func gauge(_ name: String, help: String, labels: [String] = []) -> MetricFamily<Gauge> {
        let family = MetricFamily(name, help: help, labels: labels) { Gauge() }
        add { text in
            text.head(name, help: help, type: "gauge")
            for child in family.all {
                text.sample(name, pairs(family, child.labels), child.value.value)
            }
        }
        return family
    }

    /// A family of histograms.
    /// - Parameter bounds: the upper bounds of the buckets, ascending, without infinity.
    package func histogram(
        _ name: String, help: String, labels: [String] = [], bounds: [Double]
    ) -> MetricFamily<Histogram> {
        let family = MetricFamily(name, help: help, labels: labels) { Histogram(bounds: bounds) }
        add { [showsCreation] text in
            text.head(name, help: help, type: "histogram")
            let all = family.all
            for child in all { text.buckets(name, pairs(family, child.labels), child.value) }
            guard showsCreation else { return }
            text.creation(family, all.map { ($0.labels, $0.value.created) })
        }
        return family
    }

    /// A family of summaries.
    package func summary(_ name: String, help: String, labels: [String] = [])
        -> MetricFamily<Summary>
    {
        let family = MetricFamily(name, help: help, labels: labels) { Summary() }
        add { [showsCreation] text in
            text.head(name, help: help, type: "summary")
            let all = family.all
            for child in all {
                let (count, sum) = child.value.snapshot
                text.sample(name + "_count", pairs(family, child.labels), count)
                text.sample(name + "_sum", pairs(family, child.labels), sum)
            }
            guard showsCreation else { return }
            text.creation(family, all.map { ($0.labels, $0.value.created) })
        }
        return family
    }
}

private func pairs<T>(_ family: MetricFamily<T>, _ labels: [String]) -> [(String, String)] {
    Array(zip(family.labelNames, labels))
}

extension Exposition {
    fileprivate mutating func buckets(
        _ name: String, _ labels: [(String, String)], _ histogram: Histogram
    ) {
        let state = histogram.snapshot
        var count: UInt64 = 0
        for (bound, inBucket) in zip(histogram.bounds + [.infinity], state.counts) {
            count += inBucket
            sample(
                name + "_bucket", labels + [("le", Exposition.formatted(bound))], Double(count))
        }
        sample(name + "_count", labels, Double(count))
        sample(name + "_sum", labels, state.sum)
    }

    fileprivate mutating func creation<T>(
        _ family: MetricFamily<T>, _ times: [(labels: [String], time: Double)]
    ) {
        guard !times.isEmpty else { return }
        head(family.name + "_created", help: family.help, type: "gauge")
        for (labels, time) in times {
            sample(family.name + "_created", pairs(family, labels), time)
        }
    }
}
