// SPDX-License-Identifier: Apache-2.0
// Where models come from that no folder of the user's holds.

/// Finds models and adapters by names such as `org/model`.
package protocol ModelSource: Sendable {
    /// Whether a text can be a name; texts that begin with a dot or a slash never are.
    func isName(_ text: String) -> Bool
    /// The folder or file of a model or adapter that is on this machine already; nil for any other.
    func cached(_ name: String) -> String?
    /// The folder or file of a model or adapter, which may be fetched for it; nil for a text that is no name.
    /// - Throws: what kept it from being found.
    func model(_ name: String) throws -> String?
}
