// SPDX-License-Identifier: Apache-2.0
// Where a mixture's experts come from that are not all in memory.

/// Brings the experts of one layer into memory as passes use them. One pass at a time.
package protocol ExpertSource: AnyObject, Sendable {
    /// Begins a pass that will use experts in ascending order; reading those that are not in memory begins at once.
    /// - Parameter uses: the experts, and the last row that chose each.
    func begin(_ uses: [(expert: Int, lastRow: Int)])

    /// Waits for the expert that the pass uses next; its weights can be used until it is released.
    /// - Throws: what kept it from being read.
    func acquire(_ expert: Int) throws

    /// Gives the expert back that was acquired last; its memory may be used for others.
    func release(_ expert: Int)

    /// Ends the pass, whether it came to its end or not.
    func end()
}
