// SPDX-License-Identifier: Apache-2.0
// The host of a request, in one form.
#if canImport(Glibc)
    import Glibc
#endif

/// A host as a name or an address, so that all ways to write one are equal.
package enum HostName: Sendable, Hashable {
    /// A name in lower case, without the dot at its end.
    case name(String)
    /// The four bytes of an IPv4 address, also of one that is written as IPv6.
    case v4([UInt8])
    /// The sixteen bytes of an IPv6 address.
    case v6([UInt8])

    /// Reads a `Host` field: a name or address, and a port that may be left out and is not looked at any further.
    /// Nil for what is no host.
    package init?(field: String) {
        let text = field.utf8
        if text.first == UInt8(ascii: "[") {
            guard let end = text.firstIndex(of: UInt8(ascii: "]")),
                HostName.isPort(text[text.index(after: end)...])
            else { return nil }
            let inside = text[text.index(after: text.startIndex)..<end]
            guard let address = HostName.v6(String(decoding: inside, as: UTF8.self)) else {
                return nil
            }
            self = address
            return
        }
        let end = text.firstIndex(of: UInt8(ascii: ":")) ?? text.endIndex
        guard HostName.isPort(text[end...]) else { return nil }
        self.init(bare: String(decoding: text[..<end], as: UTF8.self))
    }

    /// Reads a host without a port; IPv6 addresses stand without brackets here.
    package init?(bare text: String) {
        if text.utf8.contains(UInt8(ascii: ":")) {
            guard let address = HostName.v6(text) else { return nil }
            self = address
            return
        }
        var name = text.lowercased()
        if name.hasSuffix(".") { name.removeLast() }
        guard !name.isEmpty, name.utf8.count <= 253, name.utf8.allSatisfy(HostName.isPlain)
        else { return nil }
        let last = name.split(separator: ".", omittingEmptySubsequences: false).last ?? ""
        guard !last.isEmpty else { return nil }
        // What ends in a number is an address to browsers, and only the usual form of one is accepted.
        if last.utf8.allSatisfy({ (0x30...0x39).contains($0) }) || last.hasPrefix("0x") {
            guard let address = HostName.bytes(name, AF_INET, 4) else { return nil }
            self = .v4(address)
            return
        }
        self = .name(name)
    }

    /// Whether the address, or the name, means this machine to every client.
    package var isLoopback: Bool {
        switch self {
        case .name(let name): name == "localhost"
        case .v4(let bytes): bytes.first == 127
        case .v6(let bytes): bytes.dropLast().allSatisfy { $0 == 0 } && bytes.last == 1
        }
    }

    /// Whether it is an address and no name.
    package var isAddress: Bool { if case .name = self { false } else { true } }

    private static func v6(_ text: String) -> HostName? {
        let address = text.prefix { $0 != "%" }
        guard let bytes = bytes(String(address), AF_INET6, 16) else { return nil }
        let isMapped = bytes.prefix(10).allSatisfy { $0 == 0 } && bytes[10...11] == [0xFF, 0xFF]
        return isMapped ? .v4(Array(bytes[12...])) : .v6(bytes)
    }

    private static func bytes(_ text: String, _ family: Int32, _ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        return inet_pton(family, text, &bytes) == 1 ? bytes : nil
    }

    /// Nothing, or a colon with a port, which may be left out.
    private static func isPort(_ text: Substring.UTF8View) -> Bool {
        guard let first = text.first else { return true }
        let digits = text.dropFirst()
        return first == UInt8(ascii: ":") && digits.count <= 5
            && digits.allSatisfy { (0x30...0x39).contains($0) }
            && (Int(String(decoding: digits, as: UTF8.self)) ?? 0) <= 65535
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
            true
        default: false
        }
    }
}
