// SPDX-License-Identifier: Apache-2.0
// SentencePiece's own normalization: a table of what texts become.

/// The `precompiled_charsmap` of a SentencePiece model: a double-array trie of texts, and what stands for each.
struct CharacterMap: Sendable {
    private let units: [UInt32]
    /// What texts become, each with a zero byte behind it.
    private let results: [UInt8]

    /// Reads a table; nil when it is none.
    init?(_ bytes: ArraySlice<UInt8>) {
        guard bytes.count > 4 else { return nil }
        let size = Int(Self.number(bytes.prefix(4)))
        guard size > 0, size % 4 == 0, size <= bytes.count - 4 else { return nil }
        let first = bytes.startIndex + 4
        units = stride(from: first, to: first + size, by: 4).map { Self.number(bytes[$0..<$0 + 4]) }
        results = Array(bytes.dropFirst(4 + size))
        guard results.last == 0, String(validating: results, as: UTF8.self) != nil else {
            return nil
        }
    }

    /// Replaces, from the left, the longest text that the table knows (valid UTF-8 stays so).
    /// - Parameter most: bytes that the text may become.
    /// - Returns: nil when it becomes more.
    func apply(to text: [UInt8], most: Int) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        var position = 0
        while position < text.count {
            if let match = longest(in: text, at: position), let piece = replacement(match.value) {
                result += piece
                position = match.end
            } else {
                result.append(text[position])
                position += 1
                while position < text.count, text[position] & 0xC0 == 0x80 {
                    result.append(text[position])
                    position += 1
                }
            }
            guard result.count <= most else { return nil }
        }
        return result
    }

    /// The longest text of the table that begins at a place and ends between two characters.
    private func longest(in text: [UInt8], at start: Int) -> (value: Int, end: Int)? {
        guard let root = units.first else { return nil }
        var found: (value: Int, end: Int)?
        var node = Self.offset(root)
        for place in start..<text.count {
            node ^= UInt32(text[place])
            guard node < units.count else { return found }
            let unit = units[Int(node)]
            guard unit & 0x8000_00FF == UInt32(text[place]) else { return found }
            node ^= Self.offset(unit)
            guard node < units.count else { return found }
            let isEnd = place + 1 == text.count || text[place + 1] & 0xC0 != 0x80
            if (unit >> 8) & 1 == 1, isEnd {
                found = (Int(units[Int(node)] & 0x7FFF_FFFF), place + 1)
            }
        }
        return found
    }

    /// Replaces as the `tokenizers` library's normalizer Precompiled does: of a cluster of characters that are seen as one,
    /// when it is short, by the shortest text of the table that it begins with, else character by character.
    /// - Parameter most: bytes that the text (valid UTF-8) may become.
    /// - Returns: nil when it becomes more.
    func applyToClusters(of text: [UInt8], most: Int) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        for cluster in String(decoding: text, as: UTF8.self) {
            let bytes = Array(cluster.utf8)
            if bytes.count < Self.longCluster, let piece = shortestReplacement(of: bytes[...]) {
                result += piece
            } else {
                var position = 0
                while position < bytes.count {
                    let end = min(position + utf8Length(bytes[position]), bytes.count)
                    let character = bytes[position..<end]
                    result += shortestReplacement(of: character) ?? character
                    position = end
                }
            }
            guard result.count <= most else { return nil }
        }
        return result
    }

    /// Bytes of a cluster that is not looked for as a whole.
    private static let longCluster = 6

    /// What stands for the shortest text of the table that some bytes begin with.
    private func shortestReplacement(of bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        guard let root = units.first else { return nil }
        var node = Self.offset(root)
        for byte in bytes {
            node ^= UInt32(byte)
            guard byte != 0, node < units.count else { return nil }
            let unit = units[Int(node)]
            guard unit & 0x8000_00FF == UInt32(byte) else { return nil }
            node ^= Self.offset(unit)
            guard node < units.count else { return nil }
            if (unit >> 8) & 1 == 1 { return replacement(Int(units[Int(node)] & 0x7FFF_FFFF)) }
        }
        return nil
    }

    /// Whether every text of the table has something that stands for it; a table that was cut short has not.
    var isWhole: Bool {
        units.allSatisfy { $0 >> 31 == 0 || Int($0 & 0x7FFF_FFFF) < results.count }
    }

    private static func offset(_ unit: UInt32) -> UInt32 { (unit >> 10) << ((unit >> 6) & 8) }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        var value: UInt32 = 0
        for byte in bytes.reversed() { value = value << 8 | UInt32(byte) }
        return value
    }

    private func replacement(_ place: Int) -> ArraySlice<UInt8>? {
        guard place < results.count, results[place] & 0xC0 != 0x80 else { return nil }
        return results[place...].prefix { $0 != 0 }
    }
}
