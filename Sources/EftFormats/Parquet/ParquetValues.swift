// SPDX-License-Identifier: Apache-2.0
// The values of a page, one at a time, in each encoding that is read.
import EftConfig

/// A value as it is stored.
enum ParquetValue {
    case bool(Bool)
    case integer(Int64)
    case real(Double)
    case bytes(ArraySlice<UInt8>)
}

/// Gives the values of a page one after the other.
protocol ValueDecoder {
    /// The next value.
    /// - Throws: `FormatError` (`damaged`) at the end.
    mutating func next() throws(FormatError) -> ParquetValue
}

/// Values one behind the other, each in its own bytes (`PLAIN`).
struct PlainDecoder: ValueDecoder {
    private(set) var page: PageBytes
    private let storage: ParquetSchemaElement.Storage
    private var bit = 0

    init(_ page: PageBytes, _ storage: ParquetSchemaElement.Storage) {
        self.page = page
        self.storage = storage
    }

    mutating func next() throws(FormatError) -> ParquetValue {
        switch storage {
        case .boolean:
            guard bit < page.remaining * 8 else {
                throw page.damaged("a page ends before its values do")
            }
            defer { bit += 1 }
            return .bool(page.bits(at: bit, count: 1) == 1)
        case .int32:
            let bits = UInt32(truncatingIfNeeded: try page.integer(bytes: 4))
            return .integer(Int64(Int32(bitPattern: bits)))
        case .int64: return .integer(Int64(bitPattern: try page.integer(bytes: 8)))
        case .float:
            let bits = UInt32(truncatingIfNeeded: try page.integer(bytes: 4))
            return .real(Double(Float(bitPattern: bits)))
        case .double: return .real(Double(bitPattern: try page.integer(bytes: 8)))
        case .bytes:
            let count = Int(try page.integer(bytes: 4))
            let start = try page.take(count)
            return .bytes(page.bytes[start..<start + count])
        case .int96, .fixedBytes: throw page.damaged("values of this type are not read")
        }
    }
}

/// The different values of a column, which its pages name by their places.
struct ParquetDictionary {
    private let page: PageBytes
    private let storage: ParquetSchemaElement.Storage
    /// Where each value begins.
    private var starts: [UInt32] = []

    /// Finds the values in a page: as many as there are bytes for.
    /// - Throws: `FormatError` (`damaged`) when there are fewer than `count`.
    init(
        _ page: PageBytes, _ storage: ParquetSchemaElement.Storage, count: Int
    ) throws(FormatError) {
        self.page = page
        self.storage = storage
        var decoder = PlainDecoder(page, storage)
        guard storage != .boolean else { throw page.damaged("a dictionary of truth values") }
        for _ in 0..<count {
            starts.append(UInt32(truncatingIfNeeded: decoder.page.position))
            _ = try decoder.next()
        }
    }

    /// The value at a place.
    /// - Throws: `FormatError` (`damaged`) outside of the dictionary.
    func value(_ place: Int) throws(FormatError) -> ParquetValue {
        guard place < starts.count else {
            throw page.damaged("a value outside of the dictionary of \(starts.count)")
        }
        var view = page
        _ = try view.take(Int(starts[place]))
        var decoder = PlainDecoder(view, storage)
        return try decoder.next()
    }
}

/// Places in a dictionary (`RLE_DICTIONARY`).
struct PlaceDecoder: ValueDecoder {
    var places: RunDecoder
    let dictionary: ParquetDictionary

    mutating func next() throws(FormatError) -> ParquetValue {
        try dictionary.value(try places.next())
    }
}

/// Truth values in runs (`RLE`).
struct TruthDecoder: ValueDecoder {
    var runs: RunDecoder

    mutating func next() throws(FormatError) -> ParquetValue { .bool(try runs.next() == 1) }
}

/// Integers by their differences (`DELTA_BINARY_PACKED`).
struct DifferenceDecoder: ValueDecoder {
    var values: DeltaDecoder
    /// Whether sums go round in 32 bits.
    let isNarrow: Bool

    mutating func next() throws(FormatError) -> ParquetValue {
        let value = try values.next()
        return .integer(isNarrow ? Int64(Int32(truncatingIfNeeded: value)) : value)
    }
}

/// Texts whose lengths stand in front of all of them (`DELTA_LENGTH_BYTE_ARRAY`).
struct LengthDecoder: ValueDecoder {
    private var lengths: DeltaDecoder
    private var data: PageBytes

    init(_ page: PageBytes) throws(FormatError) {
        lengths = try DeltaDecoder(page)
        data = try lengths.rest()
    }

    mutating func next() throws(FormatError) -> ParquetValue { .bytes(try text()) }

    /// The next text's bytes.
    mutating func text() throws(FormatError) -> ArraySlice<UInt8> {
        let length = try lengths.next()
        guard length >= 0, length <= data.remaining else {
            throw data.damaged("a text of \(length) bytes in a page that has \(data.remaining)")
        }
        let start = try data.take(Int(length))
        return data.bytes[start..<start + Int(length)]
    }
}

/// Texts that begin as the one before does (`DELTA_BYTE_ARRAY`).
struct PrefixDecoder: ValueDecoder {
    private var prefixes: DeltaDecoder
    private var suffixes: LengthDecoder
    private var previous: ArraySlice<UInt8> = []
    private let page: PageBytes

    init(_ page: PageBytes) throws(FormatError) {
        self.page = page
        prefixes = try DeltaDecoder(page)
        suffixes = try LengthDecoder(prefixes.rest())
    }

    mutating func next() throws(FormatError) -> ParquetValue {
        let length = try prefixes.next()
        guard length >= 0, length <= previous.count else {
            throw page.damaged("a text that shares \(length) bytes with one of \(previous.count)")
        }
        let suffix = try suffixes.text()
        previous = length == 0 ? suffix : previous.prefix(Int(length)) + suffix
        guard previous.count <= ParquetLimits.textBytes else {
            throw page.damaged("a text is longer than \(ParquetLimits.textBytes) bytes")
        }
        return .bytes(previous)
    }
}

/// The encodings of values that are read.
enum ValueEncoding {
    /// Begins with the first value of a page.
    /// - Parameters:
    ///   - page: the values, levels left out.
    ///   - encoding: as the format numbers them.
    /// - Throws: `FormatError` (`damaged`, `unsupported`).
    static func decoder(
        _ page: PageBytes, encoding: Int, _ storage: ParquetSchemaElement.Storage,
        _ dictionary: ParquetDictionary?
    ) throws(FormatError) -> any ValueDecoder {
        var page = page
        switch (encoding, storage) {
        case (0, _): return PlainDecoder(page, storage)
        case (2, _), (8, _):
            guard let dictionary else { throw page.damaged("the dictionary is missing") }
            // A page of nulls alone may leave the width out.
            let width = page.remaining > 0 ? Int(try page.u8()) : 0
            return PlaceDecoder(places: try RunDecoder(page, width: width), dictionary: dictionary)
        case (3, .boolean):
            let size = Int(try page.integer(bytes: 4))
            return TruthDecoder(runs: try RunDecoder(page.part(size), width: 1))
        case (5, .int32), (5, .int64):
            return DifferenceDecoder(values: try DeltaDecoder(page), isNarrow: storage == .int32)
        case (6, .bytes): return try LengthDecoder(page)
        case (7, .bytes): return try PrefixDecoder(page)
        default:
            throw FormatError(
                .unsupported,
                "column '\(excerpt(page.column))': values in encoding \(encoding) are not read; write "
                    + "the file again with pyarrow's usual encodings", path: page.path)
        }
    }
}
