// SPDX-License-Identifier: Apache-2.0
// What the footer of a Parquet file says of its columns and of where their data are.

/// A file's description of itself (`FileMetaData` of
/// https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift).
///
///     "PAR1" · column chunks · FileMetaData · its size (UInt32) · "PAR1"
struct ParquetMetadata {
    /// The tree of columns, parents before children.
    private(set) var schema: [ParquetSchemaElement] = []
    /// Rows in portions, each with all columns.
    private(set) var rowGroups: [ParquetRowGroup] = []

    /// What a file begins and ends with.
    static let magic = Array("PAR1".utf8)
    private static let magicEncrypted = Array("PARE".utf8)

    /// Reads the end of a file.
    /// - Throws: `FormatError` (`damaged`, `unsupported` when it is encrypted).
    init(_ file: MappedFile) throws(FormatError) {
        let end = file.byteCount - 8
        guard end >= 4, file.slice(0..<4).elementsEqual(Self.magic) else {
            throw FormatError(.damaged, "this is no Parquet file", path: file.path)
        }
        let tail = file.slice(end + 4..<end + 8)
        guard !tail.elementsEqual(Self.magicEncrypted) else {
            throw FormatError(.unsupported, "the file is encrypted", path: file.path)
        }
        var trailer = ByteReader(file, start: end)
        let size = Int(try trailer.u32())
        guard tail.elementsEqual(Self.magic), size <= end - 4 else {
            throw FormatError(
                .damaged, "the file is cut off: no description of columns at its end",
                path: file.path)
        }
        var reader = ThriftReader(ByteReader(file, start: end - size, end: end))
        try read(&reader, dataEnd: end - size)
        file.release(end - size..<end)
    }

    private mutating func read(
        _ reader: inout ThriftReader, dataEnd: Int
    ) throws(FormatError) {
        var elements: [ParquetSchemaElement] = []
        var groups: [ParquetRowGroup] = []
        try reader.structure { (reader, field) throws(FormatError) in
            switch field.id {
            case 2:
                try reader.list(field) { (reader, _) throws(FormatError) in
                    elements.append(try ParquetSchemaElement(&reader))
                }
            case 4:
                try reader.list(field) { (reader, _) throws(FormatError) in
                    groups.append(try ParquetRowGroup(&reader, dataEnd: dataEnd))
                }
            default: return false
            }
            return true
        }
        (schema, rowGroups) = (elements, groups)
    }
}

/// One node of the tree of columns.
struct ParquetSchemaElement {
    /// How a leaf's values are stored.
    enum Storage: Int {
        case boolean = 0
        case int32, int64, int96, float, double, bytes, fixedBytes
    }

    /// How often a value stands in its parent.
    enum Repetition: Int {
        case required = 0
        case optional, repeated
    }

    /// What is meant, where that changes the value.
    enum Meaning {
        case none, text, list, map, unsigned
        /// Decimal numbers, whose digits are stored without their point.
        case decimal
    }

    private(set) var name = ""
    private(set) var storage: Storage?
    private(set) var repetition = Repetition.required
    private(set) var childCount = 0
    private(set) var meaning = Meaning.none

    /// Reads a `SchemaElement`.
    /// - Throws: `FormatError` (`damaged`).
    init(_ reader: inout ThriftReader) throws(FormatError) {
        var element = (
            name: "", storage: Storage?.none, repetition: Repetition.required, children: 0,
            meaning: Meaning.none
        )
        try reader.structure { (reader, field) throws(FormatError) in
            switch field.id {
            case 1: element.storage = Storage(rawValue: try reader.integer(field))
            case 3:
                guard let value = Repetition(rawValue: try reader.integer(field)) else {
                    throw reader.reader.error(.damaged, "a column repeats in no known way")
                }
                element.repetition = value
            case 4: element.name = try reader.text(field)
            case 5: element.children = try reader.size(field)
            case 6:
                let meaning = Self.converted(try reader.integer(field))
                if element.meaning == .none { element.meaning = meaning }
            case 10: element.meaning = try Self.logicalType(&reader)
            default: return false
            }
            return true
        }
        (name, storage, repetition, childCount, meaning) = element
    }

    /// The older annotation, `ConvertedType`.
    private static func converted(_ number: Int) -> Meaning {
        switch number {
        case 0, 4, 19: .text  // UTF8, ENUM, JSON
        case 1, 2: .map
        case 3: .list
        case 5: .decimal
        case 11...14: .unsigned  // UINT_8 to UINT_64
        default: .none
        }
    }

    /// The newer one, `LogicalType`: a union, of which one field is there.
    private static func logicalType(_ reader: inout ThriftReader) throws(FormatError) -> Meaning {
        var meaning = Meaning.none
        try reader.structure { (reader, field) throws(FormatError) in
            switch field.id {
            case 1, 4, 12: meaning = .text  // STRING, ENUM, JSON
            case 2: meaning = .map
            case 3: meaning = .list
            case 5: meaning = .decimal
            case 10:
                var isSigned = true
                try reader.structure { (reader, field) throws(FormatError) in
                    guard field.id == 2 else { return false }
                    isSigned = try reader.bool(field)
                    return true
                }
                if !isSigned { meaning = .unsigned }
                return true
            default: break
            }
            return false
        }
        return meaning
    }
}

/// A portion of the rows.
struct ParquetRowGroup {
    private(set) var columns: [ParquetChunk] = []
    private(set) var rowCount = 0

    /// Reads a `RowGroup`.
    /// - Parameter dataEnd: where the file's data end.
    /// - Throws: `FormatError` (`damaged`, `unsupported`).
    init(_ reader: inout ThriftReader, dataEnd: Int) throws(FormatError) {
        var chunks: [ParquetChunk] = []
        var rows = 0
        try reader.structure { (reader, field) throws(FormatError) in
            switch field.id {
            case 1:
                try reader.list(field) { (reader, _) throws(FormatError) in
                    chunks.append(try ParquetChunk(&reader, dataEnd: dataEnd))
                }
            case 3: rows = try reader.size(field)
            default: return false
            }
            return true
        }
        (columns, rowCount) = (chunks, rows)
    }
}

/// Where the data of one column in a portion of the rows are.
struct ParquetChunk {
    /// Bytes of the file: pages with their headers.
    let range: Range<Int>
    /// Values, nulls included.
    let valueCount: Int
    let codec: Int
    let storage: ParquetSchemaElement.Storage?

    /// Reads a `ColumnChunk`.
    /// - Throws: `FormatError` (`damaged`, `unsupported`).
    init(_ reader: inout ThriftReader, dataEnd: Int) throws(FormatError) {
        var isElsewhere = false
        var isEncrypted = false
        var numbers: [Int16: Int] = [:]
        try reader.structure { (reader, field) throws(FormatError) in
            switch field.id {
            case 1: isElsewhere = try !reader.text(field).isEmpty
            case 3:
                try reader.structure { (reader, field) throws(FormatError) in
                    // type, codec, num_values, total_compressed_size, and offsets of the first page of either kind
                    guard [1, 4, 5, 7, 9, 11].contains(field.id) else { return false }
                    numbers[field.id] = try reader.size(field)
                    return true
                }
            case 8: isEncrypted = true; return false
            default: return false
            }
            return true
        }
        guard !isElsewhere, !isEncrypted else {
            throw reader.reader.error(
                .unsupported, "columns in other files, or encrypted ones, are not read")
        }
        guard let values = numbers[5], let size = numbers[7], let data = numbers[9],
            let codec = numbers[4], let type = numbers[1]
        else { throw reader.reader.error(.damaged, "a column is not described in full") }
        // Some writers give 0 for a dictionary that is not there.
        let dictionary = numbers[11] ?? 0
        let start = dictionary > 0 ? min(dictionary, data) : data
        // A column without values may have no place.
        guard values == 0 || (start >= 4 && start <= dataEnd && size <= dataEnd - start) else {
            throw reader.reader.error(.damaged, "a column lies outside of the file's data")
        }
        range = values == 0 ? 4..<4 : start..<start + size
        valueCount = values
        self.codec = codec
        storage = ParquetSchemaElement.Storage(rawValue: type)
    }
}
