// SPDX-License-Identifier: Apache-2.0
// The fields of a header, whose names are compared without regard to case.

/// Fields in the order in which they were sent.
package struct HeaderFields: Sendable, ExpressibleByDictionaryLiteral {
    /// Names as they were written, and values.
    package private(set) var entries: [(name: String, value: String)] = []

    /// No fields.
    package init() {}

    package init(dictionaryLiteral elements: (String, String)...) {
        for (name, value) in elements { add(name, value) }
    }

    /// Adds a field, also where there is one of that name.
    package mutating func add(_ name: String, _ value: String) {
        entries.append((name, value))
    }

    /// Sets a field in the place of all of that name.
    package mutating func set(_ name: String, _ value: String) {
        entries.removeAll { HeaderFields.areSame($0.name, name) }
        add(name, value)
    }

    /// The first value of a field.
    package subscript(name: String) -> String? {
        entries.first { HeaderFields.areSame($0.name, name) }?.value
    }

    /// All values of a field.
    package func all(_ name: String) -> [String] {
        entries.filter { HeaderFields.areSame($0.name, name) }.map(\.value)
    }

    /// Bytes of names and values.
    package var byteCount: Int {
        entries.reduce(0) { $0 + $1.name.utf8.count + $1.value.utf8.count }
    }

    /// Whether two words of the protocol, which are ASCII, differ in case at most.
    package static func areSame(_ a: String, _ b: String) -> Bool {
        a.utf8.count == b.utf8.count && zip(a.utf8, b.utf8).allSatisfy { lower($0) == lower($1) }
    }

    private static func lower(_ byte: UInt8) -> UInt8 {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
    }

    /// Whether a value can stand in a header: no control characters, which could begin another field.
    package static func isFit(_ value: String) -> Bool {
        value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
    }
}
