// SPDX-License-Identifier: Apache-2.0
// The keys that open the server.
import EftFormats

/// Keys, held as digests. A request shows one as `Authorization: Bearer <key>`.
package struct APIKeys: Sendable {
    private let digests: [SHA256.Digest]

    /// Takes keys; with none, everybody is let in.
    package init(_ keys: [String]) { digests = keys.map { SHA256.digest(Array($0.utf8)) } }

    /// Whether requests need a key.
    package var isEmpty: Bool { digests.isEmpty }

    /// Checks a request's `Authorization`.
    ///
    /// All digests are compared to their ends, so that the time it takes tells nothing about the keys.
    /// - Throws: 401.
    func check(_ authorization: String?) throws(HTTPFailure) {
        guard !digests.isEmpty else { return }
        let parts = (authorization ?? "").split(separator: " ", maxSplits: 1)
        let scheme = parts.first.map(String.init) ?? ""
        let shown = SHA256.digest(Array((parts.count > 1 ? parts[1] : "").utf8))
        var isKnown = false
        for digest in digests where digest.isEqual(to: shown) { isKnown = true }
        guard isKnown, HeaderFields.areSame(scheme, "Bearer") else {
            throw HTTPFailure(
                401, type: "AuthenticationError",
                "this server needs one of its keys as 'Authorization: Bearer <key>'",
                fields: ["WWW-Authenticate": "Bearer"])
        }
    }
}
