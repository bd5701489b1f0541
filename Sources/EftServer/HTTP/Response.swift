// SPDX-License-Identifier: Apache-2.0
// A whole response.
import EftConfig

/// A status, fields and a body.
package struct Response: Sendable {
    /// The status, such as 200.
    package var status: Int
    /// Fields beside those that concern the connection, which the server adds.
    package var fields: HeaderFields
    /// The body.
    package var body: [UInt8]

    /// Makes a response.
    package init(status: Int = 200, fields: HeaderFields = [:], body: [UInt8] = []) {
        self.status = status
        self.fields = fields
        self.body = body
    }

    /// A response of JSON.
    package static func json(_ value: ConfigNode, status: Int = 200) -> Response {
        Response(
            status: status, fields: ["Content-Type": "application/json"],
            body: JSONWriter.bytes(value, layout: .minimal))
    }

    /// A response of plain text.
    package static func text(_ text: String, status: Int = 200) -> Response {
        Response(
            status: status, fields: ["Content-Type": "text/plain; charset=utf-8"],
            body: Array(text.utf8))
    }
}
