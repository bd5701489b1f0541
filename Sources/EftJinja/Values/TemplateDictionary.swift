// SPDX-License-Identifier: Apache-2.0
// Mappings that keep their order, with keys compared as Python compares them.

/// A mapping in the order in which its keys were first set.
package struct TemplateDictionary: Sendable {
    /// Entries in order.
    package private(set) var entries: [(key: TemplateValue, value: TemplateValue)] = []
    private var index: [DictionaryKey: Int] = [:]
    private(set) var height = 1
    private(set) var weight = 1

    /// Up to this many entries a search is faster than a table.
    private static let searchedCount = 8

    /// Makes an empty mapping.
    package init() {}

    /// Number of entries.
    package var count: Int { entries.count }

    /// The value of a text key.
    package subscript(key: String) -> TemplateValue? {
        place(of: key).map { entries[$0].value }
    }

    /// The value of a key; nil when there is none.
    /// - Throws: `TemplateError` (`type`) when the key is of a kind that cannot be one.
    package func value(of key: TemplateValue) throws(TemplateError) -> TemplateValue? {
        if case .string(let text) = key { return self[text] }
        return place(of: try DictionaryKey(key)).map { entries[$0].value }
    }

    /// Sets the value of a text key.
    /// - Throws: `TemplateError` (`limit`) when the value is nested too deep.
    package mutating func set(_ key: String, _ value: TemplateValue) throws(TemplateError) {
        try set(.string(key), value, at: place(of: key))
    }

    /// Sets the value of a key.
    /// - Throws: `TemplateError` (`type`) for a list or mapping as a key; (`limit`) when the value is nested too
    ///   deep.
    package mutating func set(_ key: TemplateValue, _ value: TemplateValue) throws(TemplateError) {
        if case .string(let text) = key { return try set(text, value) }
        try set(key, value, at: place(of: try DictionaryKey(key)))
    }

    private mutating func set(
        _ key: TemplateValue, _ value: TemplateValue, at place: Int?
    ) throws(TemplateError) {
        height = max(height, try checkedHeight(max(value.height, key.height) + 1))
        weight = saturatingSum(weight, value.weight)
        if let place {
            entries[place].value = value
            return
        }
        weight = saturatingSum(weight, key.weight)
        entries.append((key, value))
        if entries.count == Self.searchedCount + 1 {
            for (place, entry) in entries.enumerated() {
                index[try DictionaryKey(entry.key)] = place
            }
        } else if entries.count > Self.searchedCount {
            index[try DictionaryKey(key)] = entries.count - 1
        }
    }

    private func place(of text: String) -> Int? {
        if entries.count > Self.searchedCount { return index[.string(ByteText(text))] }
        return entries.firstIndex {
            if case .string(let other) = $0.key { return sameBytes(text, other) }
            return false
        }
    }

    private func place(of key: DictionaryKey) -> Int? {
        if entries.count > Self.searchedCount { return index[key] }
        return entries.firstIndex { (try? DictionaryKey($0.key)) == key }
    }
}

/// What makes two keys the same: 1, 1.0 and True are.
enum DictionaryKey: Hashable {
    case null
    case integer(Int)
    case real(Double)
    case string(ByteText)
    case tuple([DictionaryKey])

    init(_ value: TemplateValue) throws(TemplateError) {
        switch value {
        case .null: self = .null
        case .bool(let value): self = .integer(value ? 1 : 0)
        case .integer(let value): self = .integer(value)
        case .real(let value): self = Int(exactly: value).map { .integer($0) } ?? .real(value)
        case .string(let text): self = .string(ByteText(text))
        case .tuple(let list):
            // Keys are looked at anew in every search.
            guard list.weight <= 32 else {
                throw TemplateError(.limit, "a tuple is too large to be a key")
            }
            var keys: [DictionaryKey] = []
            for item in list.items { keys.append(try DictionaryKey(item)) }
            self = .tuple(keys)
        default:
            throw TemplateError(.type, "a value of type '\(value.typeName)' cannot be a key")
        }
    }
}

/// A text compared and hashed by its UTF-8 bytes instead of by canonical equivalence.
struct ByteText: Hashable {
    let text: String

    init(_ text: String) { self.text = text }

    static func == (a: ByteText, b: ByteText) -> Bool { sameBytes(a.text, b.text) }

    func hash(into hasher: inout Hasher) {
        let done: Void? = text.utf8.withContiguousStorageIfAvailable {
            hasher.combine(bytes: UnsafeRawBufferPointer($0))
        }
        guard done == nil else { return }
        for byte in text.utf8 { hasher.combine(byte) }
    }
}

/// Whether two texts are the same code points, which Swift's `==` does not ask.
func sameBytes(_ a: String, _ b: String) -> Bool {
    a.utf8.count == b.utf8.count && a.utf8.elementsEqual(b.utf8)
}
