// SPDX-License-Identifier: Apache-2.0
// Thrift's compact protocol, in which a Parquet file describes itself.

/// Reads structures of the compact protocol
/// (https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md).
///
/// Nothing is reserved by a count in the file: each element of a list takes at least one byte, so what is read is
/// bounded by what is there.
struct ThriftReader {
    /// The bytes.
    private(set) var reader: ByteReader

    /// Begins at the first byte of a structure.
    init(_ reader: ByteReader) { self.reader = reader }

    /// Types as the protocol numbers them.
    enum Kind: UInt8 {
        case yes = 1
        case no, i8, i16, i32, i64, double, binary, list, set, map, structure
    }

    /// A field of a structure.
    struct Field {
        let id: Int16
        let kind: Kind
    }

    /// Structures and lists inside each other; real files have five.
    private static let deepest = 24

    // MARK: Structures

    /// Reads a structure: `body` takes the value of each field that it knows, and says whether it did.
    /// - Throws: `FormatError` (`damaged`), and what `body` throws.
    mutating func structure(
        _ body: (inout ThriftReader, Field) throws(FormatError) -> Bool
    ) throws(FormatError) {
        var last: Int16 = 0
        while let field = try field(after: last) {
            last = field.id
            if try !body(&self, field) { try skip(field.kind, depth: 0) }
        }
    }

    /// Reads a list of structures or other values.
    /// - Throws: `FormatError` (`damaged` when the field is no list), and what `body` throws.
    mutating func list(
        _ field: Field, _ body: (inout ThriftReader, Kind) throws(FormatError) -> Void
    ) throws(FormatError) {
        guard field.kind == .list else { throw wrong(field) }
        let (count, kind) = try listHeader()
        for _ in 0..<count { try body(&self, kind) }
    }

    private mutating func field(after last: Int16) throws(FormatError) -> Field? {
        let head = try reader.u8()
        if head == 0 { return nil }
        let kind = try kind(head & 15)
        let step = Int16(head >> 4)
        let id = step == 0 ? Int16(truncatingIfNeeded: try integer()) : last &+ step
        return Field(id: id, kind: kind)
    }

    private mutating func listHeader() throws(FormatError) -> (count: Int, kind: Kind) {
        let head = try reader.u8()
        let kind = try kind(head & 15)
        return (head >> 4 == 15 ? try count() : Int(head >> 4), kind)
    }

    private func kind(_ number: UInt8) throws(FormatError) -> Kind {
        guard let kind = Kind(rawValue: number) else {
            throw reader.error(.damaged, "the file's description has a field of type \(number)")
        }
        return kind
    }

    // MARK: Values

    /// A field that is an integer of any width.
    mutating func integer(_ field: Field) throws(FormatError) -> Int {
        switch field.kind {
        case .i8: Int(Int8(bitPattern: try reader.u8()))
        case .i16, .i32, .i64: Int(try integer())
        default: throw wrong(field)
        }
    }

    /// A field that is a number of bytes or things.
    mutating func size(_ field: Field) throws(FormatError) -> Int {
        let value = try integer(field)
        guard value >= 0 else {
            throw reader.error(.damaged, "the file's description has the size \(value)")
        }
        return value
    }

    /// A field that is a truth value, which stands in its type.
    func bool(_ field: Field) throws(FormatError) -> Bool {
        guard field.kind == .yes || field.kind == .no else { throw wrong(field) }
        return field.kind == .yes
    }

    /// A field that is text.
    mutating func text(_ field: Field) throws(FormatError) -> String {
        guard field.kind == .binary else { throw wrong(field) }
        return try reader.text(try count())
    }

    private mutating func count() throws(FormatError) -> Int {
        let value = try reader.unsigned()
        // Whatever is counted takes a byte at least.
        guard value <= UInt64(max(0, reader.remaining)) else {
            throw reader.error(.damaged, "the file's description ends before its \(value) elements")
        }
        return Int(value)
    }

    private mutating func integer() throws(FormatError) -> Int64 { try reader.zigzag() }

    private func wrong(_ field: Field) -> FormatError {
        reader.error(
            .damaged, "field \(field.id) of the file's description has the type \(field.kind)")
    }

    // MARK: Skipping

    /// Steps over the value of a field that is not known here.
    private mutating func skip(_ kind: Kind, depth: Int) throws(FormatError) {
        guard depth < Self.deepest else {
            throw reader.error(.damaged, "the file's description is nested too deeply")
        }
        switch kind {
        case .yes, .no: break
        case .i8: try reader.skip(1)
        case .i16, .i32, .i64: _ = try reader.unsigned()
        case .double: try reader.skip(8)
        case .binary: try reader.skip(try count())
        case .list, .set:
            let (count, element) = try listHeader()
            for _ in 0..<count { try skipElement(element, depth: depth + 1) }
        case .map:
            let count = try count()
            guard count > 0 else { return }
            let kinds = try reader.u8()
            let (key, value) = (try self.kind(kinds >> 4), try self.kind(kinds & 15))
            for _ in 0..<count {
                try skipElement(key, depth: depth + 1)
                try skipElement(value, depth: depth + 1)
            }
        case .structure:
            var last: Int16 = 0
            while let field = try field(after: last) {
                last = field.id
                try skip(field.kind, depth: depth + 1)
            }
        }
    }

    private mutating func skipElement(_ kind: Kind, depth: Int) throws(FormatError) {
        // In a list a truth value takes a byte.
        if kind == .yes || kind == .no { return try reader.skip(1) }
        try skip(kind, depth: depth)
    }
}

extension ByteReader {
    /// A number of up to 64 bits, seven to a byte, the lowest first.
    mutating func unsigned() throws(FormatError) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 7) {
            let byte = try u8()
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return value }
        }
        throw error(.damaged, "a number has no end")
    }

    /// The same for numbers of either sign, which alternate.
    mutating func zigzag() throws(FormatError) -> Int64 {
        let value = try unsigned()
        return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
    }
}
