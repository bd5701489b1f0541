// SPDX-License-Identifier: Apache-2.0
// FlatBuffers, in which Arrow describes what it stores.

/// A table of a FlatBuffer (https://flatbuffers.dev/internals), every access to which is checked.
///
///     table:  Int32, how far before it its list of fields begins · values
///     fields: UInt16, size of this list · UInt16, size of the table · UInt16 a field, where in the table it is or 0
///
/// What a table refers to is placed by a UInt32 that counts from where it stands. Several may refer to the same place, so
/// whoever follows references must bound how many.
struct FlatTable {
    private let bytes: [UInt8]
    private let path: String
    private let position: Int
    private let fields: Int
    private let fieldCount: Int

    /// The table that a buffer is about.
    /// - Throws: `FormatError` (`damaged`).
    init(root bytes: [UInt8], path: String) throws(FormatError) {
        let place = Int(try Self.load(bytes, 0, UInt32.self, path))
        try self.init(bytes, at: place, path: path)
    }

    private init(_ bytes: [UInt8], at position: Int, path: String) throws(FormatError) {
        self.bytes = bytes
        self.path = path
        self.position = position
        let distance = Int(try Self.load(bytes, position, Int32.self, path))
        fields = position - distance
        fieldCount = (Int(try Self.load(bytes, fields, UInt16.self, path)) - 4) / 2
    }

    private static func load<T: FixedWidthInteger>(
        _ bytes: [UInt8], _ place: Int, _: T.Type, _ path: String
    ) throws(FormatError) -> T {
        guard place >= 0, place <= bytes.count - MemoryLayout<T>.size else {
            throw FormatError(
                .damaged, "a description in it refers to what is not there", path: path)
        }
        return T(
            littleEndian: bytes.withUnsafeBytes {
                $0.loadUnaligned(fromByteOffset: place, as: T.self)
            })
    }

    /// Where a field's value is; nil for one that is not there.
    private func place(_ field: Int) throws(FormatError) -> Int? {
        guard field < fieldCount else { return nil }
        let offset = try Self.load(bytes, fields + 4 + 2 * field, UInt16.self, path)
        return offset == 0 ? nil : position + Int(offset)
    }

    /// A field that is an integer.
    /// - Throws: `FormatError` (`damaged`).
    func integer<T: FixedWidthInteger>(_ field: Int, default value: T) throws(FormatError) -> T {
        guard let place = try place(field) else { return value }
        return try Self.load(bytes, place, T.self, path)
    }

    /// A field that is a truth value, false when it is not there.
    func bool(_ field: Int) throws(FormatError) -> Bool {
        try integer(field, default: UInt8(0)) != 0
    }

    private func target(_ place: Int) throws(FormatError) -> Int {
        place + Int(try Self.load(bytes, place, UInt32.self, path))
    }

    /// A field that is a table, or one of several kinds of table.
    func table(_ field: Int) throws(FormatError) -> FlatTable? {
        guard let place = try place(field) else { return nil }
        return try FlatTable(bytes, at: target(place), path: path)
    }

    /// Elements that stand one behind the other.
    struct Elements {
        let start: Int
        let count: Int
    }

    /// A field that is a list of elements of `size` bytes; empty when it is not there.
    func elements(_ field: Int, size: Int) throws(FormatError) -> Elements {
        guard let place = try place(field) else { return Elements(start: 0, count: 0) }
        let start = try target(place)
        let count = Int(try Self.load(bytes, start, UInt32.self, path))
        guard count <= (bytes.count - start - 4) / size else {
            throw damaged("a list of \(count) elements does not fit into its description")
        }
        return Elements(start: start + 4, count: count)
    }

    /// The integer at an offset in an element.
    func integer<T: FixedWidthInteger>(
        _ elements: Elements, _ index: Int, size: Int, offset: Int = 0
    ) throws(FormatError) -> T {
        try Self.load(bytes, elements.start + index * size + offset, T.self, path)
    }

    /// The table to which an element of a list refers.
    func table(_ elements: Elements, _ index: Int) throws(FormatError) -> FlatTable {
        try FlatTable(bytes, at: target(elements.start + 4 * index), path: path)
    }

    /// A field that is text; empty when it is not there.
    func text(_ field: Int) throws(FormatError) -> String {
        let letters = try elements(field, size: 1)
        let slice = bytes[letters.start..<letters.start + letters.count]
        guard let text = String(validating: slice, as: UTF8.self) else {
            throw damaged("a name is not valid UTF-8")
        }
        return text
    }

    /// An error of the file.
    func damaged(_ message: String) -> FormatError { FormatError(.damaged, message, path: path) }
}
