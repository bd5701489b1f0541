// SPDX-License-Identifier: Apache-2.0
// JSON text that is too long to be a tree first.
import EftConfig

/// Writes JSON piece by piece.
package struct DocumentWriter {
    /// What was written.
    package private(set) var bytes: [UInt8] = []

    /// Begins with nothing.
    package init() {}

    /// Writes text as it is.
    package mutating func text(_ text: String) { bytes.append(contentsOf: text.utf8) }

    /// Writes a value.
    package mutating func node(_ node: ConfigNode) {
        bytes.append(contentsOf: JSONWriter.bytes(node, layout: .minimal))
    }

    /// Writes what another one wrote.
    package mutating func append(_ other: DocumentWriter) { bytes.append(contentsOf: other.bytes) }

    /// Writes a string; bytes that are no UTF-8 become U+FFFD.
    package mutating func string(_ text: ArraySlice<UInt8>) {
        guard text.allSatisfy({ $0 < 0x80 }) || String(validating: text, as: UTF8.self) != nil
        else { return string(ArraySlice(Array(String(decoding: text, as: UTF8.self).utf8))) }
        bytes.append(UInt8(ascii: "\""))
        for byte in text {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(byte)
            case ..<0x20:
                let digits = String(byte, radix: 16)
                self.text(byte < 0x10 ? "\\u000" + digits : "\\u00" + digits)
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
