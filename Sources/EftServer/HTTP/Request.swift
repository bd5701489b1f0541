// SPDX-License-Identifier: Apache-2.0
// A request as handlers see it.
import EftConfig

/// What stands before a request's body.
package struct RequestHead: Sendable {
    /// The method, such as `POST`.
    package let method: String
    /// The target as it was sent.
    package let rawTarget: String
    /// The fields.
    package let fields: HeaderFields
    /// The address of the other side; `unix` for a socket of this machine.
    package let peer: String

    /// Makes a head.
    package init(method: String, target: String, fields: HeaderFields, peer: String) {
        self.method = method
        rawTarget = target
        self.fields = fields
        self.peer = peer
    }

    /// The length of the body that is announced; nil when it comes in chunks or none is announced.
    package var contentLength: Int? { fields["Content-Length"].flatMap { Int($0) } }

    /// Whether a body follows.
    package var hasBody: Bool {
        fields["Transfer-Encoding"] != nil || (contentLength ?? 0) > 0
    }
}

/// A whole request.
package struct Request: Sendable {
    /// The method, such as `POST`.
    package let method: String
    /// The decoded path and query.
    package let target: RequestTarget
    /// What stood in the places of a path's pattern, by their names.
    package let captures: [String: String]
    /// The header's fields.
    package let fields: HeaderFields
    /// The body.
    package let body: [UInt8]
    /// The address of the other side; `unix` for a socket of this machine.
    package let peer: String
    /// The client's own name for the request, if it gave a fit one: for logs and answers, never a key to anything.
    package let label: String?
    /// The bounds of bodies that are read as JSON.
    package let jsonLimits: JSONBody.Limits

    /// The body as JSON.
    /// - Throws: `HTTPFailure` (400) that says what is wrong where.
    package func json() throws(HTTPFailure) -> ConfigNode {
        try JSONBody.parse(body, limits: jsonLimits)
    }
}
