// SPDX-License-Identifier: Apache-2.0
// A set of configurations on its own, to be moved from one store to another.

/// A set of configurations with all stacks below it.
struct ConfigurationPicture: Sendable {
    struct Entry: Sendable {
        let state: Int32
        /// The place in `nodes`.
        let node: Int
    }

    struct Node: Sendable {
        let holdsEmpty: Bool
        let entries: [Entry]
    }

    /// The stacks, each after those below it.
    var nodes: [Node] = []
    var items: [Entry] = []
    var accepts = false
}
