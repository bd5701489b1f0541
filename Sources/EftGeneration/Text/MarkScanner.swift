// SPDX-License-Identifier: Apache-2.0
// Finds marks in a text that comes in pieces.

/// Looks for the first of some marks, and holds back what may be the beginning of one.
package struct MarkScanner: Sendable {
    /// What a byte brought about.
    package enum Found: Sendable, Equatable {
        /// No mark ends here; the bytes are text that no mark can begin in.
        case text([UInt8])
        /// The mark of this number ends here; the bytes before it are text.
        case mark(Int, before: [UInt8])
    }

    private let marks: [[UInt8]]
    private var pending: [UInt8] = []

    /// Looks for marks, none of which begins with another.
    package init(_ marks: [String]) { self.marks = marks.map { Array($0.utf8) } }

    /// Whether the next byte may belong to a mark that has begun.
    package var isPending: Bool { !pending.isEmpty }

    /// Takes a byte.
    package mutating func feed(_ byte: UInt8) -> Found {
        pending.append(byte)
        var text: [UInt8] = []
        while !pending.isEmpty, !marks.contains(where: { $0.starts(with: pending) }) {
            text.append(pending.removeFirst())
        }
        guard let number = marks.firstIndex(of: pending) else { return .text(text) }
        pending = []
        return .mark(number, before: text)
    }

    /// What was held back, when no more text comes.
    package mutating func finish() -> [UInt8] {
        let rest = pending
        pending = []
        return rest
    }
}

/// Whether a byte is white space in JSON.
package func isJSONSpace(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\t")
        || byte == UInt8(ascii: "\r")
}
