// SPDX-License-Identifier: Apache-2.0
// An ordered mapping whose keys are compared byte by byte.

/// The entries of a mapping, in the order of the document; keys are unique.
///
/// Keys are compared by their UTF-8 bytes: two forms of an accented letter, which Swift's
/// `String` holds for equal, are two keys, as they are in every file format read here (a vocabulary
/// may hold both).
package struct ConfigObject: Sendable {
    /// Entries in document order.
    package private(set) var entries: [(key: String, node: ConfigNode)] = []
    /// Line of each key, beside `entries`; 0 when made by the program.
    private var keyLines: [Int] = []
    /// Place of each key; empty while the mapping is small enough to be searched.
    private var index: [ByteKey: Int] = [:]

    /// Up to this many entries a search is faster than a table.
    private static let searchedCount = 8

    /// Makes an empty mapping.
    package init() {}

    /// Number of entries.
    package var count: Int { entries.count }

    /// Whether there are no entries.
    package var isEmpty: Bool { entries.isEmpty }

    /// Keys in document order.
    package var keys: [String] { entries.map(\.key) }

    /// The value of a key; setting an existing key keeps its place, setting nil removes it.
    package subscript(key: String) -> ConfigNode? {
        get { place(of: key).map { entries[$0].node } }
        set {
            guard let newValue else { return remove(key) }
            if let place = place(of: key) {
                entries[place].node = newValue
            } else {
                append(key, newValue, line: 0)
            }
        }
    }

    /// Adds an entry at the end.
    /// - Parameter line: where the key stands in its document, counted from 1.
    /// - Returns: false, with nothing changed, when the key is already there.
    package mutating func insert(_ key: String, _ node: ConfigNode, line: Int) -> Bool {
        guard place(of: key) == nil else { return false }
        append(key, node, line: line)
        return true
    }

    /// The line where a key stands in its document, counted from 1; nil for keys made by the
    /// program.
    package func line(ofKey key: String) -> Int? {
        guard let place = place(of: key), keyLines[place] > 0 else { return nil }
        return keyLines[place]
    }

    private func place(of key: String) -> Int? {
        if entries.count > Self.searchedCount { return index[ByteKey(key)] }
        let wanted = ByteKey(key)
        return entries.firstIndex { ByteKey($0.key) == wanted }
    }

    private mutating func append(_ key: String, _ node: ConfigNode, line: Int) {
        entries.append((key, node))
        keyLines.append(line)
        if entries.count == Self.searchedCount + 1 {
            rebuildIndex()
        } else if entries.count > Self.searchedCount {
            index[ByteKey(key)] = entries.count - 1
        }
    }

    private mutating func remove(_ key: String) {
        guard let place = place(of: key) else { return }
        entries.remove(at: place)
        keyLines.remove(at: place)
        rebuildIndex()
    }

    private mutating func rebuildIndex() {
        index.removeAll(keepingCapacity: true)
        guard entries.count > Self.searchedCount else { return }
        for (place, entry) in entries.enumerated() { index[ByteKey(entry.key)] = place }
    }
}

/// A string compared and hashed by its UTF-8 bytes instead of by canonical equivalence.
private struct ByteKey: Hashable {
    let text: String

    init(_ text: String) { self.text = text }

    static func == (a: ByteKey, b: ByteKey) -> Bool { a.text.utf8.elementsEqual(b.text.utf8) }

    func hash(into hasher: inout Hasher) {
        let done: Void? = text.utf8.withContiguousStorageIfAvailable {
            hasher.combine(bytes: UnsafeRawBufferPointer($0))
        }
        guard done == nil else { return }
        for byte in text.utf8 { hasher.combine(byte) }
    }
}
