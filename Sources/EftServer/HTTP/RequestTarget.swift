// SPDX-License-Identifier: Apache-2.0
// The path and the query of a request's target.

/// What a request is for, decoded once, so that what is checked is what is routed.
package struct RequestTarget: Sendable, Hashable {
    /// What stands between the path's slashes, decoded; a part may hold a slash that was escaped.
    package let segments: [String]
    /// The parameters behind the question mark, in order.
    package let query: [Parameter]

    /// A parameter of a query.
    package struct Parameter: Sendable, Hashable {
        /// Its name, decoded.
        package let name: String
        /// Its value, decoded; empty without an equals sign.
        package let value: String
    }

    /// Reads a target as it stands in the request line.
    ///
    /// Only paths are served: a target that names a host, as proxies are sent, is none. A broken escape, an escaped
    /// zero, a step up and text that is not UTF-8 are refused, for others may read them in another way.
    package init?(_ raw: String) {
        let parts = raw.utf8.split(
            separator: UInt8(ascii: "?"), maxSplits: 1, omittingEmptySubsequences: false)
        guard let path = parts.first, path.first == UInt8(ascii: "/") else { return nil }
        var segments: [String] = []
        for part in path.dropFirst().split(
            separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        {
            guard let segment = RequestTarget.decoded(part, isQuery: false),
                segment != ".", segment != ".."
            else { return nil }
            segments.append(segment)
        }
        var query: [Parameter] = []
        for pair in parts.dropFirst().flatMap({ $0.split(separator: UInt8(ascii: "&")) }) {
            let sides = pair.split(
                separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = sides.first.flatMap({ RequestTarget.decoded($0, isQuery: true) }),
                let value = RequestTarget.decoded(
                    sides.dropFirst().first ?? "".utf8[...], isQuery: true)
            else { return nil }
            query.append(Parameter(name: name, value: value))
        }
        self.segments = segments
        self.query = query
    }

    /// The decoded path.
    package var path: String { "/" + segments.joined(separator: "/") }

    /// The value of the first parameter of a name.
    package subscript(name: String) -> String? { query.first { $0.name == name }?.value }

    private static func decoded(_ text: Substring.UTF8View, isQuery: Bool) -> String? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count)
        var rest = text.makeIterator()
        while let byte = rest.next() {
            switch byte {
            case UInt8(ascii: "%"):
                guard let high = rest.next().flatMap(digit), let low = rest.next().flatMap(digit)
                else { return nil }
                guard high << 4 | low != 0 else { return nil }
                bytes.append(high << 4 | low)
            case UInt8(ascii: "+") where isQuery: bytes.append(UInt8(ascii: " "))
            case ...0x20, 0x7F: return nil
            default: bytes.append(byte)
            }
        }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
