// SPDX-License-Identifier: Apache-2.0
// How far a download has come.

/// How far a download has come.
package struct HubProgress: Sendable, Hashable {
    /// Bytes that are there, also those that were there before.
    package var bytes = 0
    /// Bytes in all.
    package var allBytes = 0
    /// Bytes that have come over the network.
    package var fetchedBytes = 0
    /// Files whose content is there and has been checked.
    package var files = 0
    /// Files in all.
    package var allFiles = 0
}
