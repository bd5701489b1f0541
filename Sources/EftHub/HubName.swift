// SPDX-License-Identifier: Apache-2.0
// Names of repositories as people type them.

/// A repository of the hub by name: `owner/name`, with a revision or a GGUF file's type.
///
/// A revision stands behind `@` or a colon, the type of a GGUF file (`Q4_K_M`) or its name behind a colon. Addresses
/// of a hub's pages, as copied from a browser, are names too.
package struct HubName: Sendable, Hashable, CustomStringConvertible {
    /// `owner/name`.
    package let id: String
    /// A branch, a tag or a commit; nil for the main branch.
    package private(set) var revision: String?
    /// The type of a GGUF file in the repository, or its name; nil when the whole repository is meant.
    package private(set) var variant: String?

    private static let prefixes = [
        "https://huggingface.co/", "https://hf.co/", "huggingface.co/", "hf.co/", "hf://",
    ]
    private static let longestWord = 96

    /// The branch that is meant when nothing is said.
    static let mainRevision = "main"

    /// Reads a name; nil for any text that cannot be one.
    /// - Parameters:
    ///   - kind: addresses of another kind of repository are no names of this one.
    ///   - mayLackOwner: whether a name without an owner, as the oldest repositories have, is one.
    package init?(
        _ text: String, kind: HubRepository.Kind = .model, mayLackOwner: Bool = false
    ) {
        var rest = text[...]
        var isAddress = false
        for prefix in Self.prefixes where rest.hasPrefix(prefix) {
            rest = rest.dropFirst(prefix.count)
            isAddress = true
            break
        }
        if isAddress {
            let folder = kind.addressFolder
            guard rest.hasPrefix(folder) else { return nil }
            rest = rest.dropFirst(folder.count)
            if let query = rest.firstIndex(where: { $0 == "?" || $0 == "#" }) {
                rest = rest[..<query]
            }
        }
        while rest.hasSuffix("/") { rest = rest.dropLast() }
        var tag: Substring?
        if let colon = rest.firstIndex(of: ":") {
            tag = rest[rest.index(after: colon)...]
            rest = rest[..<colon]
        }
        if let at = rest.firstIndex(of: "@") {
            let named = rest[rest.index(after: at)...]
            rest = rest[..<at]
            guard Self.isRevision(named) else { return nil }
            revision = String(named)
        }
        var parts = rest.split(separator: "/", omittingEmptySubsequences: false)
        if isAddress, parts.count > 3, ["tree", "blob", "resolve"].contains(parts[2]),
            revision == nil, Self.isRevision(parts[3])
        {
            revision = String(parts[3])
            let file = parts.dropFirst(4).joined(separator: "/")
            guard file.isEmpty || HubListing.isInside(file) else { return nil }
            if file.lowercased().hasSuffix(".gguf") { variant = file }
            parts = Array(parts.prefix(2))
        }
        guard parts.count == 2 || (parts.count == 1 && mayLackOwner),
            parts.allSatisfy(Self.isWord), !rest.hasSuffix(".git")
        else { return nil }
        id = parts.joined(separator: "/")
        if let tag {
            guard take(tag: tag) else { return nil }
        }
    }

    private mutating func take(tag: Substring) -> Bool {
        if GGUFVariant.isType(tag) || tag.lowercased().hasSuffix(".gguf") {
            guard variant == nil, HubListing.isInside(String(tag)) else { return false }
            variant = String(tag)
            return true
        }
        guard revision == nil, Self.isRevision(tag) else { return false }
        revision = String(tag)
        return true
    }

    package var description: String {
        id + (revision.map { "@\($0)" } ?? "") + (variant.map { ":\($0)" } ?? "")
    }

    /// The same name for the revision that is given elsewhere; nil when a revision is given already, or it is none.
    package func at(_ revision: String?) -> HubName? {
        guard let revision else { return self }
        guard self.revision == nil, Self.isRevision(revision[...]) else { return nil }
        var name = self
        name.revision = revision
        return name
    }

    /// Whether a text can be an owner's or a repository's name, which is part of a folder's name in the cache too.
    private static func isWord(_ word: Substring) -> Bool {
        guard let first = word.utf8.first, isLetterOrDigit(first) || first == UInt8(ascii: "_")
        else { return false }
        return word.utf8.count <= longestWord && !word.contains("..") && !word.contains("--")
            && word.utf8.allSatisfy { isLetterOrDigit($0) || "-_.".utf8.contains($0) }
    }

    /// Whether a text can be a revision, which is a path in the cache too.
    static func isRevision(_ text: Substring) -> Bool {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        return text.utf8.count <= 255
            && parts.allSatisfy { part in
                !part.isEmpty && !part.hasPrefix(".")
                    && part.utf8.allSatisfy { isLetterOrDigit($0) || "-_.+".utf8.contains($0) }
            }
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }
}

/// A repository, and which of the hub's kinds it is.
package struct HubRepository: Sendable, Hashable {
    /// The kinds of repositories that hold something of use here.
    package enum Kind: String, Sendable, CaseIterable {
        case model
        case dataset

        /// What stands before a repository's name in the address of its page.
        var addressFolder: String { self == .model ? "" : "\(rawValue)s/" }
    }

    /// The kind.
    package let kind: Kind
    /// `owner/name`.
    package let id: String

    /// Names a repository.
    package init(_ kind: Kind, _ name: HubName) { self.init(kind: kind, id: name.id) }

    init(kind: Kind, id: String) {
        self.kind = kind
        self.id = id
    }

    /// The repository that a folder of the cache belongs to; nil for any other folder.
    init?(folderName: String) {
        for kind in Kind.allCases {
            let prefix = "\(kind.rawValue)s--"
            guard folderName.hasPrefix(prefix) else { continue }
            let id = String(folderName.dropFirst(prefix.count)).replacing("--", with: "/")
            guard let name = HubName(id, kind: kind, mayLackOwner: true), name.id == id else {
                continue
            }
            self.init(kind: kind, id: id)
            return
        }
        return nil
    }

    /// The name of its folder in the cache: `models--owner--name`.
    var folderName: String { "\(kind.rawValue)s--" + id.replacing("/", with: "--") }
}
