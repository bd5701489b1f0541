// SPDX-License-Identifier: Apache-2.0
// The messages of an Arrow file or stream, in the order in which they are to be read.

/// What may be in memory at once, whatever a file says of itself.
enum ArrowLimits {
    /// Bytes of a message's description.
    static let descriptionBytes = 64 << 20
    /// Bytes of a batch and of the dictionaries, when they must be decompressed.
    static let unpackedBytes = 512 << 20
    /// Bytes of rows after which the pages that they were on are given back.
    static let keptBytes = 16 << 20
}

/// One message: a description, and bytes behind it.
struct ArrowMessage {
    /// What a message is.
    enum Kind: UInt8 {
        case schema = 1
        case dictionary, batch
    }

    let kind: Kind
    let description: FlatTable
    /// The bytes of the file behind the description.
    let body: Range<Int>

    /// Reads the message at a place of a file.
    /// - Returns: nil at the mark that ends a stream.
    /// - Throws: `FormatError` (`damaged`, `unsupported`).
    static func read(_ file: MappedFile, at start: Int) throws(FormatError) -> ArrowMessage? {
        guard start < file.byteCount else {
            throw FormatError(
                .damaged,
                "the file ends without the mark of its end: it was cut off, or its writer was not closed",
                path: file.path)
        }
        var reader = ByteReader(file, start: start)
        var size = try reader.u32()
        // Writers before 2019 left out what marks a message.
        if size == .max { size = try reader.u32() }
        if size == 0 { return nil }
        guard size <= ArrowLimits.descriptionBytes else {
            throw reader.error(
                .damaged, "this is no Arrow file, or a description in it is too large")
        }
        let description = try FlatTable(root: reader.raw(Int(size)), path: file.path)
        let version = try description.integer(0, default: Int16(0))
        guard version == 3 || version == 4 else {
            throw reader.error(
                version < 3 && version >= 0 ? .unsupported : .damaged,
                "version \(version) of Arrow's metadata is not read")
        }
        let number = try description.integer(1, default: UInt8(0))
        guard let kind = Kind(rawValue: number) else {
            throw reader.error(
                number == 0 ? .damaged : .unsupported,
                "a message of kind \(number) is not read; tables alone are")
        }
        guard let header = try description.table(2) else {
            throw reader.error(.damaged, "a message says nothing")
        }
        let length = try description.integer(3, default: Int64(0))
        guard length >= 0, length <= reader.remaining else {
            throw reader.error(.damaged, "the file ends inside of a batch: it was cut off")
        }
        return ArrowMessage(
            kind: kind, description: header, body: reader.position..<reader.position + Int(length))
    }
}

/// The messages behind the schema.
///
/// A stream is schema, batches and a mark. A file is the same between marks, with a footer that says where each is:
///
///     "ARROW1" · 2 bytes · stream · Footer · its size (Int32) · "ARROW1"
struct ArrowMessages {
    /// What a file begins and ends with; streams have no such mark.
    static let magic = Array("ARROW1".utf8)

    /// The columns.
    let schema: ArrowSchema
    private let file: MappedFile
    /// Where the next message of a stream is; nil behind the last.
    private var position: Int?
    /// Where messages are, the next one last, in a file that says so.
    private var places: [Int]?

    /// Begins with the first message behind the schema.
    /// - Throws: `FormatError` (`damaged`, `unsupported`).
    init(_ file: MappedFile) throws(FormatError) {
        self.file = file
        if file.byteCount >= 6, file.slice(0..<6).elementsEqual(Self.magic) {
            let footer = try Self.footer(file)
            guard let schema = try footer.table(1) else {
                throw footer.damaged("the file describes no columns")
            }
            self.schema = try ArrowSchema(schema, path: file.path)
            // Dictionaries may stand anywhere in a file, so they come first.
            let dictionaries = try Self.places(footer, 2)
            places = Array((dictionaries + (try Self.places(footer, 3))).reversed())
            return
        }
        if file.byteCount >= 4, file.slice(0..<4).elementsEqual(Array("FEA1".utf8)) {
            throw FormatError(
                .unsupported, "Feather's first version is not read; write the file as Parquet",
                path: file.path)
        }
        guard let first = try ArrowMessage.read(file, at: 0), first.kind == .schema else {
            throw FormatError(.damaged, "the file does not begin with its columns", path: file.path)
        }
        schema = try ArrowSchema(first.description, path: file.path)
        position = first.body.upperBound
    }

    /// The next message; nil at the end.
    /// - Throws: `FormatError` (`damaged`, `unsupported`).
    mutating func next() throws(FormatError) -> ArrowMessage? {
        if places != nil {
            guard let place = places?.popLast() else { return nil }
            guard let message = try ArrowMessage.read(file, at: place) else {
                throw FormatError(.damaged, "a batch is not where it should be", path: file.path)
            }
            return message
        }
        guard let start = position else { return nil }
        let message = try ArrowMessage.read(file, at: start)
        position = message?.body.upperBound
        return message
    }

    private static func footer(_ file: MappedFile) throws(FormatError) -> FlatTable {
        let end = file.byteCount - 10
        guard end >= 8, file.slice(end + 4..<end + 10).elementsEqual(magic) else {
            throw FormatError(
                .damaged, "the file is cut off: no description of columns at its end",
                path: file.path)
        }
        var trailer = ByteReader(file, start: end)
        let size = Int(try trailer.u32())
        guard size <= end - 8, size <= ArrowLimits.descriptionBytes else {
            throw trailer.error(.damaged, "the description at its end does not fit into the file")
        }
        var reader = ByteReader(file, start: end - size, end: end)
        return try FlatTable(root: reader.raw(size), path: file.path)
    }

    /// Where the messages of a list in the footer begin, each behind the one before.
    private static func places(
        _ footer: FlatTable, _ field: Int
    ) throws(FormatError) -> [Int] {
        let size = 24
        let blocks = try footer.elements(field, size: size)
        var places: [Int] = []
        for index in 0..<blocks.count {
            let place: Int64 = try footer.integer(blocks, index, size: size)
            guard place >= 8, place > places.last ?? 0 else {
                throw footer.damaged("batches are not one behind the other")
            }
            places.append(Int(place))
        }
        return places
    }
}
