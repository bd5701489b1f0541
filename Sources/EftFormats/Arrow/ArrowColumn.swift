// SPDX-License-Identifier: Apache-2.0
// A column of a batch: where its values are, checked to be there.

/// Bytes of a batch, in the file or decompressed.
enum ArrowBuffer {
    case mapped(MappedFile, Range<Int>)
    case owned([UInt8])

    /// Nothing.
    static let empty = ArrowBuffer.owned([])

    /// The number of bytes.
    var count: Int {
        switch self {
        case .mapped(_, let range): range.count
        case .owned(let bytes): bytes.count
        }
    }

    private func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        switch self {
        case .mapped(let file, let range): body(file.slice(range))
        case .owned(let bytes): bytes.withUnsafeBytes(body)
        }
    }

    /// The integer of 1, 2, 4 or 8 bytes at a place, which must be there.
    func integer(_ place: Int, bytes width: Int) -> UInt64 {
        precondition(place >= 0 && place < count / width, "integer \(place) of \(count) bytes")
        return withBytes { bytes in
            bytes[place * width..<(place + 1) * width].reversed().reduce(0) {
                $0 << 8 | UInt64($1)
            }
        }
    }

    /// The same with a sign.
    func signed(_ place: Int, bytes width: Int) -> Int64 {
        let free = UInt64(64 - 8 * width)
        return Int64(bitPattern: integer(place, bytes: width) << free) >> Int64(free)
    }

    /// The bit at a place, which must be there.
    func bit(_ place: Int) -> Bool { integer(place / 8, bytes: 1) >> UInt64(place % 8) & 1 == 1 }

    /// Bytes as text; nil when they are no UTF-8. The range must be there.
    func text(_ range: Range<Int>) -> String? {
        withBytes { String(validating: $0[range], as: UTF8.self) }
    }
}

/// A column of a batch. Of fixed parts as many bytes are there as its length needs.
struct ArrowColumn {
    /// Values, nulls included.
    let length: Int
    /// A bit a value that is set where it is not null; nil when none is.
    let validity: ArrowBuffer?
    let values: Values

    /// The values.
    indirect enum Values {
        case nothing
        case bool(ArrowBuffer)
        case integer(ArrowBuffer, bytes: Int, isSigned: Bool)
        case real(ArrowBuffer, bytes: Int)
        case bytes(ArrowEnds, ArrowBuffer, isText: Bool)
        case list(ArrowEnds, ArrowColumn)
        case fixedList(ArrowColumn, count: Int)
        case structure([(name: String, column: ArrowColumn)])
        /// Places in a dictionary, which consists of the parts one behind the other.
        case places(ArrowBuffer, bytes: Int, isSigned: Bool, [ArrowColumn])
    }

    /// Whether the value at a place is not null.
    func isThere(_ place: Int) -> Bool { validity?.bit(place) ?? true }
}

/// Where the parts of a column begin and end: each begins where the one before ends.
struct ArrowEnds {
    let buffer: ArrowBuffer
    let width: Int

    /// The part at a place.
    /// - Returns: nil when it does not lie within `count`.
    func range(_ place: Int, within count: Int) -> Range<Int>? {
        let start = buffer.signed(place, bytes: width)
        let end = buffer.signed(place + 1, bytes: width)
        guard start >= 0, start <= end, end <= count else { return nil }
        return Int(start)..<Int(end)
    }
}
