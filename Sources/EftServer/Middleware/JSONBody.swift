// SPDX-License-Identifier: Apache-2.0
// Bodies of JSON, within bounds.
import EftConfig

/// Reads the bodies of requests as JSON.
package enum JSONBody {
    /// The bounds of a body.
    package struct Limits: Sendable, Hashable {
        /// The deepest nesting.
        package var depth = 128
        /// The most values; each takes some 64 bytes of memory while the request is served.
        package var values = 1 << 20
        /// The most keys of all mappings; each takes some hundred bytes.
        package var keys = 1 << 16

        /// The defaults.
        package init() {}
    }

    /// Whether a header announces JSON.
    static func isAnnounced(_ fields: HeaderFields) -> Bool {
        guard let type = fields["Content-Type"] else { return false }
        let essence = type.prefix { $0 != ";" }
        let parts = essence.split(separator: " ")
        return parts.count == 1 && HeaderFields.areSame(String(parts[0]), "application/json")
    }

    /// Reads a body. A key that appears twice in one mapping is an error: readers differ on which counts.
    /// - Throws: `HTTPFailure` (400), whose message tells the line and never holds more of the body than a word.
    package static func parse(_ body: [UInt8], limits: Limits) throws(HTTPFailure) -> ConfigNode {
        guard !body.isEmpty else { throw .badRequest("the request has no body; send JSON") }
        let (values, keys) = count(body)
        guard values <= limits.values, keys <= limits.keys else {
            throw .badRequest(
                "the body has more than \(limits.values) values or \(limits.keys) keys")
        }
        do {
            return try JSONParser.parse(body, maximumDepth: limits.depth)
        } catch {
            throw .badRequest("the body is not valid JSON: \(error)")
        }
    }

    /// The most values and keys that a text can hold, before memory is spent on them.
    private static func count(_ body: [UInt8]) -> (values: Int, keys: Int) {
        body.withUnsafeBufferPointer { bytes in
            var (values, keys) = (1, 0)
            var isString = false
            var place = 0
            while place < bytes.count {
                switch bytes[place] {
                case UInt8(ascii: "\""): isString.toggle()
                case UInt8(ascii: "\\") where isString: place += 1
                case UInt8(ascii: ","), UInt8(ascii: "["), UInt8(ascii: "{"):
                    if !isString { values += 1 }
                case UInt8(ascii: ":"): if !isString { keys += 1 }
                default: break
                }
                place += 1
            }
            return (values, keys)
        }
    }
}
