// SPDX-License-Identifier: Apache-2.0
// Small integers as Parquet packs them: runs, bit-packed groups, differences. All are decoded one value at a time.
import EftConfig

/// Bytes of a page, shared by the decoders that read parts of it.
struct PageBytes {
    /// The whole page.
    let bytes: [UInt8]
    /// Where the next byte is.
    private(set) var position: Int
    private(set) var end: Int
    /// The column and the file, for messages.
    let column: String
    let path: String

    /// A view of a whole page.
    init(_ bytes: [UInt8], column: String, path: String) {
        self.bytes = bytes
        (position, end) = (0, bytes.count)
        (self.column, self.path) = (column, path)
    }

    /// Bytes left.
    var remaining: Int { end - position }

    func damaged(_ message: String) -> FormatError {
        FormatError(.damaged, "column '\(excerpt(column))': \(message)", path: path)
    }

    /// Steps over bytes.
    /// - Returns: the place of the first.
    mutating func take(_ count: Int) throws(FormatError) -> Int {
        guard count >= 0, count <= remaining else {
            throw damaged("a page ends before its values do")
        }
        defer { position += count }
        return position
    }

    /// The next bytes as a view of its own.
    mutating func part(_ count: Int) throws(FormatError) -> PageBytes {
        var part = self
        part.position = try take(count)
        part.end = position
        return part
    }

    mutating func u8() throws(FormatError) -> UInt8 { bytes[try take(1)] }

    /// A little-endian integer of 1 to 8 bytes.
    mutating func integer(bytes count: Int) throws(FormatError) -> UInt64 {
        let start = try take(count)
        var value: UInt64 = 0
        for place in (start..<start + count).reversed() {
            value = value << 8 | UInt64(bytes[place])
        }
        return value
    }

    /// A number of up to 64 bits, seven to a byte.
    mutating func unsigned() throws(FormatError) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 7) {
            let byte = try u8()
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return value }
        }
        throw damaged("a number has no end")
    }

    /// The same for numbers of either sign, which alternate.
    mutating func zigzag() throws(FormatError) -> Int64 {
        let value = try unsigned()
        return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
    }

    /// The bits from `bit` on, counted from the start of the view, the lowest first; 0 to 64 of them.
    func bits(at bit: Int, count: Int) -> UInt64 {
        var value: UInt64 = 0
        var done = 0
        while done < count {
            let place = position + (bit + done) / 8
            guard place < end else { return value }
            let offset = (bit + done) % 8
            let taken = min(8 - offset, count - done)
            let piece = UInt64(bytes[place]) >> UInt64(offset) & (1 << UInt64(taken) - 1)
            value |= piece << UInt64(done)
            done += taken
        }
        return value
    }
}

/// Runs of one value mixed with bit-packed groups of eight (`RLE`): levels, places in a dictionary, truth values.
struct RunDecoder {
    private var page: PageBytes
    private let width: Int
    /// Values left of the run, or of the packed groups.
    private var left: UInt64 = 0
    /// The run's value; nil in packed groups.
    private var repeated: UInt32?
    private var packed: PageBytes
    private var bit = 0

    /// Decodes values of `width` bits, 0 to 32.
    /// - Throws: `FormatError` (`damaged`) for another width.
    init(_ page: PageBytes, width: Int) throws(FormatError) {
        guard (0...32).contains(width) else { throw page.damaged("values of \(width) bits") }
        self.page = page
        self.width = width
        packed = page
    }

    /// The next value.
    /// - Throws: `FormatError` (`damaged`) at the end.
    mutating func next() throws(FormatError) -> Int {
        while left == 0 { try begin() }
        left -= 1
        if let repeated { return Int(repeated) }
        defer { bit += width }
        return Int(packed.bits(at: bit, count: width))
    }

    private mutating func begin() throws(FormatError) {
        let head = try page.unsigned()
        let count = head >> 1
        if head & 1 == 0 {
            repeated = UInt32(truncatingIfNeeded: try page.integer(bytes: (width + 7) / 8))
            left = count
        } else {
            // Groups may be cut off at the end of a page, where nothing of them is used.
            let most = UInt64(page.remaining / max(1, width)) + 1
            guard count <= most || width == 0 else {
                throw page.damaged("a page ends before its values do")
            }
            let wanted = width == 0 ? 0 : Int(count) * width
            packed = try page.part(min(wanted, page.remaining))
            (repeated, bit) = (nil, 0)
            left = width == 0 ? count.multipliedReportingOverflow(by: 8).partialValue : count * 8
            if width > 0 { left = min(left, UInt64(packed.remaining * 8 / width)) }
        }
    }
}

/// Differences between integers in blocks of their own widths (`DELTA_BINARY_PACKED`).
struct DeltaDecoder {
    private var page: PageBytes
    private var miniblocks = 0
    private var valuesPerMiniblock = 0
    /// Values that are left.
    private(set) var count: Int
    private var value: Int64
    private var isFirst = true

    // The block in which the next value is.
    private var smallest: Int64 = 0
    private var widths: ArraySlice<UInt8> = []
    private var packed: PageBytes
    private var bit = 0
    private var width = 0
    private var left = 0

    /// Begins at the header of the values.
    /// - Throws: `FormatError` (`damaged`).
    init(_ page: PageBytes) throws(FormatError) {
        var page = page
        let blockSize = try page.unsigned()
        let number = try page.unsigned()
        let total = try page.unsigned()
        value = try page.zigzag()
        guard number > 0, number <= blockSize, blockSize <= 1 << 20, blockSize % number == 0,
            blockSize / number % 8 == 0, total <= UInt64(Int32.max)
        else { throw page.damaged("differences in blocks of \(blockSize) values") }
        miniblocks = Int(number)
        valuesPerMiniblock = Int(blockSize / number)
        count = Int(total)
        packed = page
        self.page = page
    }

    /// The next value.
    /// - Throws: `FormatError` (`damaged`) at the end.
    mutating func next() throws(FormatError) -> Int64 {
        guard count > 0 else { throw page.damaged("a page ends before its values do") }
        count -= 1
        if isFirst {
            isFirst = false
            return value
        }
        if left == 0 { try begin() }
        left -= 1
        defer { bit += width }
        let difference = Int64(bitPattern: packed.bits(at: bit, count: width))
        value = value &+ smallest &+ difference
        return value
    }

    /// The bytes behind all values that are left, which are stepped over without being decoded.
    /// - Throws: `FormatError` (`damaged`).
    func rest() throws(FormatError) -> PageBytes {
        var copy = self
        var values = copy.count - (isFirst ? 1 : 0)
        while values > copy.left {
            values -= copy.left
            try copy.begin()
        }
        return copy.page
    }

    /// Goes on with the next miniblock.
    private mutating func begin() throws(FormatError) {
        if widths.isEmpty {
            smallest = try page.zigzag()
            let start = try page.take(miniblocks)
            widths = page.bytes[start..<start + miniblocks]
        }
        width = Int(widths.popFirst() ?? 0)
        guard width <= 64 else { throw page.damaged("differences of \(width) bits") }
        packed = try page.part(width * valuesPerMiniblock / 8)
        (bit, left) = (0, valuesPerMiniblock)
    }
}
