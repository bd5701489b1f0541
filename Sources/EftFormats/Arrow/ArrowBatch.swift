// SPDX-License-Identifier: Apache-2.0
// From the description of a batch to its columns.
import EftConfig

/// Takes the columns of a batch apart, in the order of the schema: parents before children.
///
/// Its description (`RecordBatch` of https://github.com/apache/arrow/blob/main/format/Message.fbs) lists a length and a
/// number of nulls for each column, and where in the body each of its buffers is.
struct ArrowBatch {
    /// Rows of the batch.
    let length: Int
    /// Bytes that were decompressed.
    private(set) var unpacked = 0
    private let table: FlatTable
    private let file: MappedFile
    private let body: Range<Int>
    private let codec: Codec?
    private let nodes: FlatTable.Elements
    private let buffers: FlatTable.Elements
    private var nextNode = 0
    private var nextBuffer = 0
    private let room: Int

    private enum Codec: Int8 {
        case lz4 = 0
        case zstd
    }

    /// More values than any file has.
    private static let longest = 1 << 48

    /// Begins with the first column.
    /// - Parameter room: bytes that may be decompressed.
    /// - Throws: `FormatError` (`damaged`, `unsupported`).
    init(
        _ table: FlatTable, _ body: Range<Int>, _ file: MappedFile, room: Int
    ) throws(FormatError) {
        self.table = table
        self.file = file
        self.body = body
        self.room = room
        length = try Self.count(table.integer(0, default: Int64(0)), table)
        nodes = try table.elements(1, size: 16)
        buffers = try table.elements(2, size: 16)
        guard let compression = try table.table(3) else {
            codec = nil
            return
        }
        let number = try compression.integer(0, default: Int8(0))
        codec = Codec(rawValue: number)
        guard codec != nil else {
            throw FormatError(
                .unsupported, "compression by method \(number) is not read; zstd and LZ4 are",
                path: file.path)
        }
    }

    private static func count(_ value: Int64, _ table: FlatTable) throws(FormatError) -> Int {
        guard value >= 0, value <= longest else {
            throw table.damaged("a column of \(value) values")
        }
        return Int(value)
    }

    // MARK: Columns

    /// The columns of the schema, those that are left out aside.
    /// - Throws: `FormatError` (`damaged`, `unsupported`).
    mutating func columns(
        _ fields: [ArrowField], _ dictionaries: ArrowDictionaries
    ) throws(FormatError) -> [(name: String, column: ArrowColumn)] {
        let columns = try parts(fields, dictionaries, length: length)
        guard nextNode == nodes.count, nextBuffer == buffers.count else {
            throw table.damaged("a batch has more columns than the file")
        }
        // Rows that take no bytes could be any number.
        guard length <= 8 * (body.count + unpacked) else {
            throw table.damaged("a batch of \(length) rows in \(body.count) bytes")
        }
        return columns
    }

    private mutating func parts(
        _ fields: [ArrowField], _ dictionaries: ArrowDictionaries, length: Int
    ) throws(FormatError) -> [(name: String, column: ArrowColumn)] {
        var columns: [(name: String, column: ArrowColumn)] = []
        for field in fields {
            guard let column = try column(field, dictionaries) else { continue }
            guard column.length >= length else { throw tooShort(field) }
            columns.append((field.name, column))
        }
        return columns
    }

    /// One column; nil when nothing of it is read.
    mutating func column(
        _ field: ArrowField, _ dictionaries: ArrowDictionaries
    ) throws(FormatError) -> ArrowColumn? {
        guard nextNode < nodes.count else { throw table.damaged("a batch lacks columns") }
        let length = try Self.count(table.integer(nodes, nextNode, size: 16), table)
        let nulls: Int64 = try table.integer(nodes, nextNode, size: 16, offset: 8)
        nextNode += 1
        if field.places == nil, case .nothing = field.kind {
            return ArrowColumn(length: length, validity: nil, values: .nothing)
        }
        if field.places == nil, case .leftOut = field.kind {
            nextBuffer += 2
            return nil
        }
        var validity: ArrowBuffer?
        if nulls == 0 {
            nextBuffer += 1
        } else {
            validity = try buffer(field, atLeast: (length + 7) / 8)
        }
        guard let values = try values(field, length, dictionaries) else { return nil }
        return ArrowColumn(length: length, validity: validity, values: values)
    }

    private mutating func values(
        _ field: ArrowField, _ length: Int, _ dictionaries: ArrowDictionaries
    ) throws(FormatError) -> ArrowColumn.Values? {
        if let places = field.places {
            let buffer = try buffer(field, atLeast: length * places.bytes)
            guard let parts = dictionaries.parts(places.id) else { return nil }
            return .places(buffer, bytes: places.bytes, isSigned: places.isSigned, parts)
        }
        switch field.kind {
        case .nothing, .leftOut: return nil
        case .bool: return .bool(try buffer(field, atLeast: (length + 7) / 8))
        case .integer(let width, let isSigned):
            return .integer(
                try buffer(field, atLeast: length * width), bytes: width, isSigned: isSigned)
        case .real(let width):
            return .real(try buffer(field, atLeast: length * width), bytes: width)
        case .bytes(let isWide, let isText):
            let ends = try ends(field, length, isWide)
            return .bytes(ends, try buffer(field, atLeast: 0), isText: isText)
        case .list(let element, let isWide):
            let ends = try ends(field, length, isWide)
            return try column(element, dictionaries).map { .list(ends, $0) }
        case .fixedList(let element, let count):
            guard let column = try column(element, dictionaries) else { return nil }
            let (needed, overflow) = length.multipliedReportingOverflow(by: count)
            guard !overflow, needed <= column.length else { throw tooShort(field) }
            return .fixedList(column, count: count)
        case .structure(let fields):
            let parts = try parts(fields, dictionaries, length: length)
            return parts.isEmpty ? nil : .structure(parts)
        }
    }

    private mutating func ends(
        _ field: ArrowField, _ length: Int, _ isWide: Bool
    ) throws(FormatError) -> ArrowEnds {
        let width = isWide ? 8 : 4
        // A column without values may lack the one end that it should have.
        let bytes = length == 0 ? 0 : (length + 1) * width
        return ArrowEnds(buffer: try buffer(field, atLeast: bytes), width: width)
    }

    private func tooShort(_ field: ArrowField) -> FormatError {
        table.damaged("column '\(excerpt(field.name))' has fewer values than the batch needs")
    }

    // MARK: Buffers

    private mutating func buffer(
        _ field: ArrowField, atLeast bytes: Int
    ) throws(FormatError) -> ArrowBuffer {
        guard nextBuffer < buffers.count else { throw table.damaged("a batch lacks columns") }
        let start: Int64 = try table.integer(buffers, nextBuffer, size: 16)
        let count: Int64 = try table.integer(buffers, nextBuffer, size: 16, offset: 8)
        nextBuffer += 1
        guard start >= 0, count >= 0, start <= body.count, count <= body.count - Int(start) else {
            throw table.damaged("column '\(excerpt(field.name))' lies outside of its batch")
        }
        let first = body.lowerBound + Int(start)
        let range = first..<first + Int(count)
        let buffer = try codec.map { (codec) throws(FormatError) in
            try unpack(range, codec, field)
        }
        let result = buffer ?? .mapped(file, range)
        guard result.count >= bytes else { throw tooShort(field) }
        return result
    }

    /// Decompresses a buffer: its size (Int64), or -1 when it is not compressed, and bytes.
    private mutating func unpack(
        _ range: Range<Int>, _ codec: Codec, _ field: ArrowField
    ) throws(FormatError) -> ArrowBuffer {
        if range.isEmpty { return .empty }
        var reader = ByteReader(file, start: range.lowerBound, end: range.upperBound)
        let size = Int64(bitPattern: try reader.u64())
        let rest = reader.position..<range.upperBound
        if size == -1 { return .mapped(file, rest) }
        guard size >= 0 else {
            throw table.damaged("column '\(excerpt(field.name))' has the size \(size)")
        }
        guard size <= room - unpacked else {
            throw FormatError(
                .unsupported,
                "a batch takes more than \(ArrowLimits.unpackedBytes >> 20) MiB decompressed; write the "
                    + "file again with fewer rows a batch", path: file.path)
        }
        unpacked += Int(size)
        if size == 0 { return .empty }
        let source = file.slice(rest)
        if codec == .zstd {
            return .owned(
                try ParquetCodec.zstd.decompress(
                    source, size: Int(size), column: field.name, path: file.path))
        }
        guard let bytes = LZ4Frame.decompress(source, size: Int(size)) else {
            throw table.damaged("column '\(excerpt(field.name))' cannot be decompressed")
        }
        return .owned(bytes)
    }
}

/// The dictionaries that have been read so far.
struct ArrowDictionaries {
    private struct Dictionary {
        var parts: [ArrowColumn]
        var unpacked: Int
    }

    private let fields: [Int64: ArrowField]
    private var known: [Int64: Dictionary] = [:]
    private let leftOut: Set<Int64>

    /// Knows the dictionaries of a schema, none of which has been read.
    init(_ schema: ArrowSchema) {
        fields = schema.dictionaries
        leftOut = Set(fields.filter { !$0.value.isRead }.keys)
    }

    /// Bytes that they take in memory.
    var unpacked: Int { known.values.reduce(0) { $0 + $1.unpacked } }

    /// The parts of a dictionary, none before it has come; nil when nothing of it is read.
    func parts(_ id: Int64) -> [ArrowColumn]? {
        leftOut.contains(id) ? nil : known[id]?.parts ?? []
    }

    /// Takes a dictionary in, or more of one.
    /// - Throws: `FormatError` (`damaged`, `unsupported`).
    mutating func add(_ message: ArrowMessage, _ file: MappedFile) throws(FormatError) {
        let table = message.description
        let id = try table.integer(0, default: Int64(0))
        guard let field = fields[id], let data = try table.table(1) else {
            throw table.damaged("a dictionary belongs to no column")
        }
        let isMore = try table.bool(2)
        guard !isMore || known[id] != nil || leftOut.contains(id) else {
            throw table.damaged("more of a dictionary comes before its beginning")
        }
        if !isMore { known[id] = nil }
        var batch = try ArrowBatch(
            data, message.body, file, room: max(0, ArrowLimits.unpackedBytes - unpacked))
        guard let column = try batch.column(field, self) else { return }
        var dictionary = known[id] ?? Dictionary(parts: [], unpacked: 0)
        dictionary.parts.append(column)
        dictionary.unpacked += batch.unpacked
        known[id] = dictionary
    }
}

extension ArrowField {
    /// Whether anything of it is read.
    var isRead: Bool {
        switch kind {
        case .leftOut: false
        case .list(let element, _), .fixedList(let element, _): element.isRead
        case .structure(let fields): fields.contains { $0.isRead }
        default: true
        }
    }
}
