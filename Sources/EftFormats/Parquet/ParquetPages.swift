// SPDX-License-Identifier: Apache-2.0
// The pages of a column, and what stands in front of their values.
import CZlib
import EftConfig

/// What stands in front of a page (`PageHeader`).
struct ParquetPageHeader {
    /// Kinds of pages; others are passed over.
    enum Kind: Int {
        case data = 0
        case index
        case dictionary
        case dataV2
    }

    private(set) var kind: Kind?
    /// Bytes of the page after decompression, and before.
    private(set) var size = 0
    private(set) var compressedSize = 0
    private(set) var checksum: UInt32?
    /// Values, nulls included.
    private(set) var valueCount = 0
    private(set) var encoding = 0
    /// The encodings of definition and repetition levels, of the older kind of data pages.
    private(set) var levelEncodings = (definition: 3, repetition: 3)
    /// The bytes of definition and repetition levels, of the newer kind, which are not compressed.
    private(set) var levelSizes = (definition: 0, repetition: 0)
    private(set) var isCompressed = true

    /// Reads a header.
    /// - Throws: `FormatError` (`damaged`).
    init(_ reader: inout ThriftReader) throws(FormatError) {
        var header = self
        try reader.structure { (reader, field) throws(FormatError) in
            switch field.id {
            case 1: header.kind = Kind(rawValue: try reader.integer(field))
            case 2: header.size = try reader.size(field)
            case 3: header.compressedSize = try reader.size(field)
            case 4: header.checksum = UInt32(truncatingIfNeeded: try reader.integer(field))
            case 5, 7, 8:
                try reader.structure { (reader, inner) throws(FormatError) in
                    try header.read(&reader, inner, of: field.id)
                }
            default: return false
            }
            return true
        }
        self = header
    }

    private init() {}

    /// A field of the header of one kind of page: 5 data, 7 dictionary, 8 newer data.
    private mutating func read(
        _ reader: inout ThriftReader, _ field: ThriftReader.Field, of kind: Int16
    ) throws(FormatError) -> Bool {
        switch (kind, field.id) {
        case (_, 1): valueCount = try reader.size(field)
        case (5, 2), (7, 2), (8, 4): encoding = try reader.integer(field)
        case (5, 3): levelEncodings.definition = try reader.integer(field)
        case (5, 4): levelEncodings.repetition = try reader.integer(field)
        case (8, 5): levelSizes.definition = try reader.size(field)
        case (8, 6): levelSizes.repetition = try reader.size(field)
        case (8, 7): isCompressed = try reader.bool(field)
        default: return false
        }
        return true
    }
}

/// A data page: levels and values, decoded as they are asked for.
struct ParquetPage {
    /// Values that are left, nulls included.
    private(set) var count: Int
    private var definitions: RunDecoder?
    private var repetitions: RunDecoder?
    private var values: any ValueDecoder
    private let column: ParquetColumn
    private let page: PageBytes

    /// Takes the parts of a decompressed page apart.
    /// - Throws: `FormatError` (`damaged`, `unsupported`).
    init(
        _ page: PageBytes, _ header: ParquetPageHeader, _ column: ParquetColumn,
        _ dictionary: ParquetDictionary?
    ) throws(FormatError) {
        var rest = page
        func levels(_ most: Int, encoding: Int, size: Int) throws(FormatError) -> RunDecoder? {
            guard most > 0 else {
                _ = try rest.take(header.kind == .dataV2 ? size : 0)
                return nil
            }
            guard encoding == 3 else {
                throw FormatError(
                    .unsupported,
                    "column '\(excerpt(column.path))': levels of an outdated encoding",
                    path: page.path)
            }
            let size = header.kind == .dataV2 ? size : Int(try rest.integer(bytes: 4))
            return try RunDecoder(rest.part(size), width: Int.bitWidth - most.leadingZeroBitCount)
        }
        let (encodings, sizes) = (header.levelEncodings, header.levelSizes)
        repetitions = try levels(
            column.repetition, encoding: encodings.repetition, size: sizes.repetition)
        definitions = try levels(
            column.definition, encoding: encodings.definition, size: sizes.definition)
        values = try Self.decoder(rest, header, column, dictionary)
        count = header.valueCount
        self.column = column
        self.page = page
    }

    private static func decoder(
        _ page: PageBytes, _ header: ParquetPageHeader, _ column: ParquetColumn,
        _ dictionary: ParquetDictionary?
    ) throws(FormatError) -> any ValueDecoder {
        // A page of nulls may have no bytes at all for values.
        if page.remaining == 0 { return PlainDecoder(page, column.storage) }
        return try ValueEncoding.decoder(
            page, encoding: header.encoding, column.storage, dictionary)
    }

    /// The levels of the next value.
    /// - Throws: `FormatError` (`damaged`).
    mutating func levels() throws(FormatError) -> (definition: Int, repetition: Int) {
        count -= 1
        let repetition = try repetitions?.next() ?? 0
        let definition = try definitions?.next() ?? 0
        guard definition <= column.definition, repetition <= column.repetition else {
            throw page.damaged("a level that the column does not have")
        }
        return (definition, repetition)
    }

    /// The value whose levels were read last, which must not be null.
    /// - Throws: `FormatError` (`damaged`).
    mutating func value() throws(FormatError) -> ParquetValue { try values.next() }
}

/// Reads the pages of a column's portion of rows, one after the other.
struct ParquetPageReader {
    private let file: MappedFile
    private let column: ParquetColumn
    private let codec: ParquetCodec
    private var position: Int
    private let end: Int
    private var left: Int
    private var dictionary: ParquetDictionary?

    /// Begins at the first page.
    /// - Throws: `FormatError` (`damaged`, `unsupported`).
    init(
        _ file: MappedFile, _ column: ParquetColumn, _ chunk: ParquetChunk
    ) throws(FormatError) {
        self.file = file
        self.column = column
        codec = try ParquetCodec(chunk.codec, path: file.path)
        (position, end) = (chunk.range.lowerBound, chunk.range.upperBound)
        left = chunk.valueCount
        guard chunk.storage == column.storage else {
            throw FormatError(
                .damaged, "column '\(excerpt(column.path))' has two types", path: file.path)
        }
    }

    private func damaged(_ message: String) -> FormatError {
        FormatError(.damaged, "column '\(excerpt(column.path))': \(message)", path: file.path)
    }

    /// The next data page with a value; nil after the last.
    /// - Throws: `FormatError` (`damaged`, `unsupported`).
    mutating func next() throws(FormatError) -> ParquetPage? {
        while left > 0 {
            var reader = ThriftReader(ByteReader(file, start: position, end: end))
            let header = try ParquetPageHeader(&reader)
            let start = reader.reader.position
            guard header.compressedSize <= end - start else {
                throw damaged("a page of \(header.compressedSize) bytes reaches out of the column")
            }
            let body = start..<start + header.compressedSize
            defer {
                file.release(position..<body.upperBound)
                position = body.upperBound
            }
            switch header.kind {
            case .dictionary:
                guard header.encoding == 0 || header.encoding == 2 else {
                    throw damaged("a dictionary in encoding \(header.encoding)")
                }
                dictionary = try ParquetDictionary(
                    bytes(of: body, header), column.storage, count: header.valueCount)
            case .data, .dataV2:
                guard header.valueCount <= left else { throw damaged("more values than promised") }
                left -= header.valueCount
                let page = try ParquetPage(bytes(of: body, header), header, column, dictionary)
                if header.valueCount > 0 { return page }
            case .index, nil: break
            }
        }
        return nil
    }

    /// The bytes of a page, decompressed.
    private func bytes(
        of body: Range<Int>, _ header: ParquetPageHeader
    ) throws(FormatError) -> PageBytes {
        guard header.size <= ParquetLimits.pageBytes,
            header.compressedSize <= ParquetLimits.pageBytes
        else { throw damaged("a page of more than \(ParquetLimits.pageBytes >> 20) MiB") }
        let source = file.slice(body)
        if let checksum = header.checksum {
            let start = source.bindMemory(to: UInt8.self).baseAddress
            guard UInt32(truncatingIfNeeded: crc32(0, start, UInt32(body.count))) == checksum else {
                throw damaged("a page has another checksum than it should")
            }
        }
        // Levels of the newer pages stand in front of what is compressed.
        var plain = 0
        if header.kind == .dataV2 {
            plain = header.levelSizes.definition + header.levelSizes.repetition
            guard plain <= body.count, plain <= header.size else {
                throw damaged("levels that are longer than their page")
            }
        }
        let codec = header.isCompressed ? codec : .none
        var result = Array(source[..<plain])
        let rest = UnsafeRawBufferPointer(rebasing: source[plain...])
        if codec == .none || !rest.isEmpty || header.size > plain {
            let values = try codec.decompress(
                rest, size: header.size - plain, column: column.path, path: file.path)
            if result.isEmpty { result = values } else { result += values }
        }
        return PageBytes(result, column: column.path, path: file.path)
    }
}
