// SPDX-License-Identifier: Apache-2.0
// The client's own name for a request.

/// Names that clients give to their requests. They are for people who read logs: nothing is looked up by them.
enum RequestLabel {
    /// The header's field.
    static let field = "X-Request-Id"
    private static let limit = 128

    /// The name if it is short and of plain characters; nil otherwise.
    static func accepted(_ name: String?) -> String? {
        guard let name, !name.isEmpty, name.utf8.count <= limit, name.utf8.allSatisfy(isPlain)
        else { return nil }
        return name
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "-"), UInt8(ascii: "_"),
            UInt8(ascii: "."), UInt8(ascii: ":"):
            true
        default: false
        }
    }
}
