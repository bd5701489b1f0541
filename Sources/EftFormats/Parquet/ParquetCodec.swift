// SPDX-License-Identifier: Apache-2.0
// How the pages of a Parquet file are compressed.
import CZstd
import EftConfig

/// What may be in memory at once, whatever a file says of itself.
enum ParquetLimits {
    /// Bytes of a page, decompressed. Writers make pages of a megabyte.
    static let pageBytes = 256 << 20
    /// Bytes of all texts in a row.
    static let textBytes = 64 << 20
    /// Values in a row, nulls and empty lists included.
    static let values = 4 << 20
}

/// A compression that is read.
enum ParquetCodec: Int {
    case none = 0
    case snappy = 1
    case gzip = 2
    case zstd = 6
    case lz4 = 7

    /// Reads the number of a column's compression.
    /// - Throws: `FormatError` (`unsupported`) with its name.
    init(_ number: Int, path: String) throws(FormatError) {
        guard let codec = ParquetCodec(rawValue: number) else {
            let names = [3: "LZO", 4: "Brotli", 5: "LZ4 with Hadoop's frames"]
            throw FormatError(
                .unsupported,
                "compression by \(names[number] ?? "method \(number)") is not read; write the file "
                    + "again with compression='zstd' or 'snappy'", path: path)
        }
        self = codec
    }

    /// Decompresses a whole page.
    /// - Parameters:
    ///   - source: the compressed bytes.
    ///   - size: how many they are to become; taken in as they come, not believed.
    /// - Throws: `FormatError` (`damaged`).
    func decompress(
        _ source: UnsafeRawBufferPointer, size: Int, column: String, path: String
    ) throws(FormatError) -> [UInt8] {
        var result: [UInt8]?
        switch self {
        case .none: result = Array(source)
        case .snappy: result = Snappy.decompress(source, size: size)
        case .lz4: result = LZ4Block.decompress(source, size: size)
        case .zstd: result = try Self.zstd(source, size: size)
        case .gzip:
            let inflater = Inflater(source, name: column, path: path, form: .gzip)
            result = try Self.collect(size) { (target) throws(FormatError) in
                guard let start = target.baseAddress else { return 0 }
                return try inflater.step(start, target.count)
            }
            try inflater.expectEnd()
        }
        guard let result, result.count == size else {
            throw FormatError(
                .damaged, "column '\(excerpt(column))' cannot be decompressed", path: path)
        }
        return result
    }

    /// Takes bytes in until there are `size` or no more come, in buffers that grow with what came.
    private static func collect(
        _ size: Int,
        _ step: (UnsafeMutableBufferPointer<UInt8>) throws(FormatError) -> Int
    ) throws(FormatError) -> [UInt8] {
        var result: [UInt8] = []
        while result.count < size {
            let known = result.count
            let room = min(max(known, 64 << 10), size - known)
            result.append(contentsOf: repeatElement(0, count: room))
            let count = try result.withUnsafeMutableBufferPointer {
                (bytes) throws(FormatError) in
                try step(UnsafeMutableBufferPointer(rebasing: bytes[known...]))
            }
            result.removeLast(room - count)
            if count == 0 { break }
        }
        return result
    }

    /// Nil when the bytes are no whole zstd frame of the size.
    private static func zstd(
        _ source: UnsafeRawBufferPointer, size: Int
    ) throws(FormatError) -> [UInt8]? {
        guard let stream = ZSTD_createDStream() else { return nil }
        defer { ZSTD_freeDStream(stream) }
        var input = ZSTD_inBuffer(src: source.baseAddress, size: source.count, pos: 0)
        var isBroken = false
        var rest = 1
        let result = try collect(size) { (target) throws(FormatError) in
            var output = ZSTD_outBuffer(dst: target.baseAddress, size: target.count, pos: 0)
            while output.pos == 0 && !isBroken {
                let before = input.pos
                rest = ZSTD_decompressStream(stream, &output, &input)
                isBroken = ZSTD_isError(rest) != 0
                if output.pos == 0 && input.pos == before { break }
            }
            return isBroken ? 0 : output.pos
        }
        // What ends a frame may stand behind its last byte.
        var none = ZSTD_outBuffer(dst: nil, size: 0, pos: 0)
        if !isBroken, rest != 0 { rest = ZSTD_decompressStream(stream, &none, &input) }
        return isBroken || rest != 0 || input.pos != source.count ? nil : result
    }
}

/// Snappy's raw format (https://github.com/google/snappy/blob/main/format_description.txt).
enum Snappy {
    /// The most that a byte of the format can stand for: 64 bytes in 3.
    private static let mostGrowth = 22

    /// Decompresses; nil when the bytes are no whole block of the size.
    static func decompress(_ source: UnsafeRawBufferPointer, size: Int) -> [UInt8]? {
        var input = BlockReader(source)
        guard size <= source.count * mostGrowth, input.unsigned() == size else { return nil }
        var output = BlockWriter(size)
        while let tag = input.byte() {
            let kind = tag & 3
            var length = Int(tag >> 2) + 1
            if kind == 0 {
                if length > 60 {
                    guard let more = input.integer(bytes: length - 60) else { return nil }
                    length = more + 1
                }
                guard let bytes = input.take(length), output.append(bytes) else { return nil }
                continue
            }
            var distance: Int?
            switch kind {
            case 1:
                length = Int(tag >> 2 & 7) + 4
                distance = input.byte().map { Int(tag >> 5) << 8 | Int($0) }
            case 2: distance = input.integer(bytes: 2)
            default: distance = input.integer(bytes: 4)
            }
            guard let distance, output.copy(length, from: distance) else { return nil }
        }
        return output.finished
    }
}

/// LZ4's block format (https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md).
enum LZ4Block {
    /// The most that a byte of the format can stand for.
    private static let mostGrowth = 255

    /// Whether so many bytes can stand for `size`.
    static func canBecome(_ size: Int, from count: Int) -> Bool { size <= count * mostGrowth }

    /// Decompresses; nil when the bytes are no whole block of the size.
    static func decompress(_ source: UnsafeRawBufferPointer, size: Int) -> [UInt8]? {
        guard canBecome(size, from: source.count) else { return nil }
        var output = BlockWriter(size)
        return decompress(source, into: &output) ? output.finished : nil
    }

    /// Writes what a block stands for behind what is there; says whether it could.
    static func decompress(
        _ source: UnsafeRawBufferPointer, into output: inout BlockWriter
    ) -> Bool {
        var input = BlockReader(source)
        while let tag = input.byte() {
            guard let literals = input.length(Int(tag >> 4)), let bytes = input.take(literals),
                output.append(bytes)
            else { return false }
            // The last sequence has literals alone.
            guard !input.isAtEnd else { break }
            guard let distance = input.integer(bytes: 2), let length = input.length(Int(tag & 15)),
                output.copy(length + 4, from: distance)
            else { return false }
        }
        return true
    }
}

/// Bytes of a compressed block, never past its end.
struct BlockReader {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }

    mutating func byte() -> UInt8? {
        guard position < bytes.count else { return nil }
        defer { position += 1 }
        return bytes[position]
    }

    mutating func integer(bytes count: Int) -> Int? {
        guard let part = take(count) else { return nil }
        return part.reversed().reduce(0) { $0 << 8 | Int($1) }
    }

    mutating func take(_ count: Int) -> Slice<UnsafeRawBufferPointer>? {
        guard count >= 0, count <= bytes.count - position else { return nil }
        defer { position += count }
        return bytes[position..<position + count]
    }

    /// A length of up to 32 bits, seven to a byte.
    mutating func unsigned() -> Int? {
        var value = 0
        for shift in stride(from: 0, through: 28, by: 7) {
            guard let byte = byte() else { return nil }
            value |= Int(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return value }
        }
        return nil
    }

    /// A length that 15 continues in further bytes, each of which 255 continues.
    mutating func length(_ first: Int) -> Int? {
        guard first == 15 else { return first }
        var length = first
        while let byte = byte() {
            length += Int(byte)
            if byte < 255 { return length }
        }
        return nil
    }
}

/// Bytes of a decompressed block, never more than were asked for.
struct BlockWriter {
    private var bytes: [UInt8] = []
    private let size: Int

    init(_ size: Int) {
        self.size = size
        bytes.reserveCapacity(size)
    }

    /// The block, when it is whole.
    var finished: [UInt8]? { bytes.count == size ? bytes : nil }

    mutating func append(_ more: Slice<UnsafeRawBufferPointer>) -> Bool {
        guard more.count <= size - bytes.count else { return false }
        bytes.append(contentsOf: more)
        return true
    }

    /// Repeats bytes that were written before; the copy may run into itself.
    mutating func copy(_ count: Int, from distance: Int) -> Bool {
        guard distance > 0, distance <= bytes.count, count <= size - bytes.count else {
            return false
        }
        let start = bytes.count - distance
        if distance >= count {
            bytes.append(contentsOf: bytes[start..<start + count])
        } else {
            for place in start..<start + count { bytes.append(bytes[place]) }
        }
        return true
    }
}
