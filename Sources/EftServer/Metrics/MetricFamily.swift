// SPDX-License-Identifier: Apache-2.0
// All numbers of one name, told apart by their labels.
import Synchronization

/// A name and a meaning, with a value for each combination of labels that has been asked for.
package final class MetricFamily<Value: Sendable>: Sendable {
    /// The name, without the suffixes that the text form adds.
    package let name: String
    let help: String
    let labelNames: [String]
    private let make: @Sendable () -> Value
    private let children: Mutex<(values: [[String]: Value], order: [[String]])>

    init(
        _ name: String, help: String, labels: [String], make: @escaping @Sendable () -> Value
    ) {
        self.name = name
        self.help = help
        labelNames = labels
        self.make = make
        children = Mutex(([:], []))
        // What has no labels is there from the start.
        if labels.isEmpty { _ = self[[]] }
    }

    /// The value for labels, in the order of their names; made when it is not there. Values of labels must come from a small
    /// set, for each combination is kept for good.
    package subscript(labels: [String]) -> Value {
        precondition(labels.count == labelNames.count, "\(name) has \(labelNames.count) labels")
        return children.withLock { children in
            if let value = children.values[labels] { return value }
            let value = make()
            children.values[labels] = value
            children.order.append(labels)
            return value
        }
    }

    /// The value for labels, after all others are dropped.
    func keepOnly(_ labels: [String]) -> Value {
        children.withLock { children in
            let value = children.values[labels] ?? make()
            children = ([labels: value], [labels])
            return value
        }
    }

    /// All values with their labels, in the order in which they were made.
    var all: [(labels: [String], value: Value)] {
        children.withLock { children in
            children.order.compactMap { labels in
                children.values[labels].map { (labels: labels, value: $0) }
            }
        }
    }
}
