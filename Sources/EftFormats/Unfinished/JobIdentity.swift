// SPDX-License-Identifier: Apache-2.0
// What the writing of a checkpoint depends on, as text that can be compared and shown.
import EftConfig

/// What decides every byte of the weights that a run writes; two runs of the same identity may share finished files.
package struct JobIdentity: Sendable {
    /// Names and values, in the order in which they are looked at for a difference.
    private var entries: [(name: String, value: String)] = []

    /// Begins with what every run depends on.
    package init(_ operation: String, maxShardBytes: Int) {
        add("the layout of unfinished folders", "1")
        add("the operation", operation)
        add("the size of weight files", String(maxShardBytes))
    }

    /// Adds an option or what is known of an input.
    package mutating func add(_ name: String, _ value: String) { entries.append((name, value)) }

    /// The identity as an object of strings.
    var node: ConfigNode {
        var object = ConfigObject()
        for (name, value) in entries { object[name] = ConfigNode(value) }
        return ConfigNode(object)
    }

    /// What is not as in an earlier identity: the name of the first difference, or nil.
    func difference(from earlier: ConfigObject) -> String? {
        for (name, value) in entries where earlier[name] != ConfigNode(value) { return name }
        let own = Set(entries.map(\.name))
        return earlier.keys.first { !own.contains($0) }
    }
}
