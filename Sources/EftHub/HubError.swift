// SPDX-License-Identifier: Apache-2.0
// What can go wrong between a name and a folder.
import EftConfig
import EftFormats
import EftTensor

/// A fault of a name, of the hub, or of what came from it: what, and what to do.
package typealias HubError = LocatedError<HubErrorCode>

/// The kind of fault of a `HubError`.
package enum HubErrorCode: Sendable, Hashable {
    /// There is no such repository, revision or file.
    case notFound
    /// The hub wants a token, or one with more rights.
    case denied
    /// The hub asks to come back later.
    case limited
    /// The hub cannot be reached, or nothing may be fetched.
    case unreachable
    /// What came is not what the hub announced.
    case damaged
    /// The repository holds nothing that can be used.
    case unsupported
    /// Writing failed: no room, no permission.
    case io
    /// The user stopped it.
    case stopped
}

extension HubError {
    /// A fault of the cache's files.
    init(_ error: FormatError) { self.init(.io, error.message, path: error.path) }

    /// A fault of the system.
    init(_ error: TensorError) { self.init(.io, "\(error)") }
}

/// Does work with files, whose faults become faults of the hub's cache.
func withFiles<R>(_ work: () throws(FormatError) -> R) throws(HubError) -> R {
    do throws(FormatError) { return try work() } catch { throw HubError(error) }
}
