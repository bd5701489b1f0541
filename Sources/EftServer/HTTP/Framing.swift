// SPDX-License-Identifier: Apache-2.0
// Whether a header leaves no doubt about where its request ends, and is no larger than it may be.

/// Checks that concern every request alike.
enum Framing {
    /// Refuses heads that two readers could understand in two ways, and those beyond the limits.
    static func check(_ head: RequestHead, _ options: ApplicationOptions) throws(HTTPFailure) {
        guard head.fields.entries.count <= options.fieldLimit,
            head.rawTarget.utf8.count + head.fields.byteCount <= options.headerLimit
        else {
            throw HTTPFailure(
                431, type: "RequestHeaderFieldsTooLargeError",
                "the header has more than \(options.fieldLimit) fields or \(options.headerLimit) bytes"
            )
        }
        guard head.fields.all("Host").count <= 1 else {
            throw .badRequest("the header names more than one Host")
        }
        let lengths = head.fields.all("Content-Length")
        let codings = head.fields.all("Transfer-Encoding")
        guard lengths.count <= 1, codings.count <= 1, lengths.isEmpty || codings.isEmpty else {
            throw .badRequest("the header tells the length of the body more than once")
        }
        if let length = lengths.first {
            guard !length.isEmpty, length.utf8.count <= 18, length.utf8.allSatisfy(isDigit) else {
                throw .badRequest("the Content-Length is not a number")
            }
        }
        if let coding = codings.first, !HeaderFields.areSame(coding, "chunked") {
            throw HTTPFailure(
                501, type: "NotImplementedError", "the only Transfer-Encoding known is 'chunked'")
        }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }
}
