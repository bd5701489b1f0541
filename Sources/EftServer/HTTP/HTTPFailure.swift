// SPDX-License-Identifier: Apache-2.0
// Failures that a client is told of, in the shape that OpenAI's clients read.
import EftConfig

/// A failure of a request: a status, and what the client is told.
package struct HTTPFailure: Error, Sendable, CustomStringConvertible {
    /// The HTTP status, from 400 on.
    package let status: Int
    /// The kind, such as `BadRequestError`.
    package let type: String
    /// What is wrong and what to do.
    package let message: String
    /// The field of the request that is at fault, if one is.
    package let parameter: String?
    /// Fields to send along, such as `Retry-After`.
    package var fields: HeaderFields = [:]

    /// The most characters of a message that are sent.
    private static let messageLimit = 1000

    /// Makes a failure; the message is cut to a bounded length and its control characters are written out.
    package init(
        _ status: Int, type: String, _ message: String, parameter: String? = nil,
        fields: HeaderFields = [:]
    ) {
        self.status = status
        self.type = type
        self.message = excerpt(message, limit: HTTPFailure.messageLimit)
        self.parameter = parameter.map { excerpt($0) }
        self.fields = fields
    }

    /// 400: the request cannot be served as it is.
    package static func badRequest(_ message: String, parameter: String? = nil) -> HTTPFailure {
        HTTPFailure(400, type: "BadRequestError", message, parameter: parameter)
    }

    /// 404: what is named does not exist.
    package static func notFound(_ message: String, parameter: String? = nil) -> HTTPFailure {
        HTTPFailure(404, type: "NotFoundError", message, parameter: parameter)
    }

    /// 500: a fault of the server.
    package static func internalError(_ message: String) -> HTTPFailure {
        HTTPFailure(500, type: "InternalServerError", message)
    }

    /// 503: too much to do, or none able to.
    package static func unavailable(_ message: String, retryAfter seconds: Int? = nil)
        -> HTTPFailure
    {
        HTTPFailure(
            503, type: "Service Unavailable", message,
            fields: seconds.map { ["Retry-After": String($0)] } ?? [:])
    }

    package var description: String { "\(status) \(type): \(message)" }

    /// The failure in OpenAI's form, also amid a stream.
    package var json: ConfigNode {
        [
            "error": [
                "message": ConfigNode(message), "type": ConfigNode(type),
                "param": parameter.map { ConfigNode($0) } ?? .null, "code": ConfigNode(status),
            ]
        ]
    }
}
