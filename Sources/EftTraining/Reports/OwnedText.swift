// SPDX-License-Identifier: Apache-2.0
// Files that are written anew only as long as nobody else has changed them.
import EftConfig
import EftFormats

/// A text that carries its own checksum in a comment, so that a later run knows whether it is still Eft's.
enum OwnedText {
    private static let mark = "<!-- written by Eft, checksum "
    private static let noSum = String(repeating: "0", count: 16)

    /// The comment to put into a text; `write` enters the checksum.
    static let comment =
        mark + noSum + ": replaced by the next training as long as nobody changes it -->"

    /// Largest file that is looked into.
    private static let largest = 16 << 20

    /// Writes a text that holds `comment`, unless a file stands there that is not Eft's or was changed.
    /// - Returns: whether it was written.
    /// - Throws: `FormatError`.
    static func write(_ path: String, _ text: String) throws -> Bool {
        guard try !FileSystem.exists(path) || isOwn(path) else { return false }
        let sum = XXH64.hex(text)
        guard let place = text.firstRange(of: mark + noSum) else { return false }
        try AtomicFile.write(path, text.replacingCharacters(place, with: mark + sum))
        return true
    }

    /// Whether Eft wrote the file and nobody changed it.
    static func isOwn(_ path: String) throws -> Bool {
        guard let size = FileSystem.byteCount(path), size <= largest else { return false }
        let text = String(decoding: try FileSystem.read(path), as: UTF8.self)
        guard let found = text.firstRange(of: mark) else { return false }
        let sum = text[found.upperBound...].prefix(noSum.count)
        let place = found.lowerBound..<sum.endIndex
        return XXH64.hex(text.replacingCharacters(place, with: mark + noSum)) == sum
    }
}

extension String {
    /// The text with another one in a place of it.
    fileprivate func replacingCharacters(
        _ place: Range<String.Index>, with other: String
    ) -> String {
        String(self[..<place.lowerBound]) + other + String(self[place.upperBound...])
    }
}
