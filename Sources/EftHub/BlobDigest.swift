// SPDX-License-Identifier: Apache-2.0
// What the content of a file of the hub is checked with, and named by in the cache.
import EftConfig
import EftFormats

/// A digest of a file's content.
package enum BlobDigest: Sendable, Hashable {
    /// SHA-256 of the content: files in large file storage.
    case sha256(String)
    /// SHA-1 of `blob SIZE`, a zero byte and the content: files in the repository itself, as git names them.
    case git(String)

    /// A digest of 64 hexadecimal digits; nil for any other text.
    init?(sha256 hex: String) {
        guard Self.isHex(hex, digits: 64) else { return nil }
        self = .sha256(hex.lowercased())
    }

    /// A digest of 40 hexadecimal digits; nil for any other text.
    init?(git hex: String) {
        guard Self.isHex(hex, digits: 40) else { return nil }
        self = .git(hex.lowercased())
    }

    /// The digest as an `ETag` has it: `"HEX"` or `W/"HEX"`.
    init?(entityTag: String) {
        let hex = entityTag.split(separator: "\"").first { $0 != "W/" }.map { String($0) } ?? ""
        guard let digest = BlobDigest(sha256: hex) ?? BlobDigest(git: hex) else { return nil }
        self = digest
    }

    /// The digits, which are the file's name among the blobs of the cache.
    package var hex: String {
        switch self {
        case .sha256(let hex), .git(let hex): hex
        }
    }

    /// Whether a file has this content.
    /// - Throws: `FormatError`.
    func isOf(file path: String) throws(FormatError) -> Bool {
        let file = try MappedFile(path: path)
        var (large, git) = (SHA256(), SHA1())
        if case .git = self { git.update(Array("blob \(file.byteCount)\0".utf8)) }
        try file.forEachPiece { (piece) throws(FormatError) in
            switch self {
            case .sha256: large.update(piece)
            case .git: git.update(piece)
            }
        }
        switch self {
        case .sha256(let hex): return large.finish().hex == hex
        case .git(let hex): return git.finish() == hex
        }
    }

    static func isHex(_ text: String, digits: Int) -> Bool {
        text.utf8.count == digits && text.allSatisfy { $0.isASCII && $0.isHexDigit }
    }
}
