// SPDX-License-Identifier: Apache-2.0
// Walking through the header of a GGUF file, which is believed only as far as its bytes go.

/// Reads little-endian numbers and strings one after the other, through a window of the file.
struct GGUFScanner {
    /// Bytes of the window.
    private static let windowSize = 1 << 18

    let input: GGUFInput
    /// Where the next byte is read.
    private(set) var position: Int
    /// Where reading ends.
    private let end: Int
    private var window: [UInt8] = []
    private var windowStart: Int

    /// Starts at the beginning of a range of the file.
    init(_ input: GGUFInput, _ range: Range<Int>) {
        self.input = input
        position = range.lowerBound
        windowStart = range.lowerBound
        end = min(range.upperBound, input.byteCount)
    }

    /// Bytes that are left.
    var remaining: Int { end - position }

    /// An error about the place that is read.
    func error(_ message: String) -> GGUFError {
        GGUFError(.damaged, "\(message) (at byte \(position))", path: input.path)
    }

    /// Passes over bytes.
    /// - Throws: `GGUFError` (`damaged`) when there are not as many.
    mutating func skip(_ count: Int) throws(GGUFError) {
        guard count >= 0, count <= remaining else { throw error("the header is cut off") }
        position += count
    }

    /// Passes over elements of one size.
    /// - Throws: `GGUFError` (`damaged`) when there are not as many.
    mutating func skip(_ count: Int, of width: Int) throws(GGUFError) {
        guard count <= remaining / width else { throw error("the header is cut off") }
        position += count * width
    }

    /// The next number.
    /// - Throws: `GGUFError` (`damaged`) at the end.
    mutating func next<T: FixedWidthInteger>(_ type: T.Type) throws(GGUFError) -> T {
        let width = MemoryLayout<T>.size
        let place = try load(width)
        position += width
        return window.withUnsafeBytes {
            T(littleEndian: $0.loadUnaligned(fromByteOffset: place, as: T.self))
        }
    }

    /// The next 64-bit count or length, at most as many as there are elements of `width` bytes left.
    /// - Throws: `GGUFError` (`damaged`).
    mutating func nextCount(_ what: String, width: Int = 1) throws(GGUFError) -> Int {
        let count = try next(UInt64.self)
        guard count <= UInt64(remaining / width) else {
            throw error("it claims \(what) of \(count), more than the file can hold")
        }
        return Int(count)
    }

    /// Passes over the next string.
    mutating func skipString() throws(GGUFError) { try skip(nextCount("a string")) }

    /// The bytes of the next string.
    /// - Throws: `GGUFError` (`damaged`), also when it is longer than `limit`.
    mutating func nextString(into bytes: inout [UInt8], limit: Int) throws(GGUFError) {
        let count = try nextCount("a string")
        guard count <= limit else {
            throw error("it claims a string of \(count) bytes where \(limit) are the most")
        }
        bytes.removeAll(keepingCapacity: true)
        var left = count
        while left > 0 {
            let part = min(left, Self.windowSize / 2)
            let place = try load(part)
            bytes.append(contentsOf: window[place..<place + part])
            position += part
            left -= part
        }
    }

    /// The next string as text; bytes that are no UTF-8 become U+FFFD.
    mutating func nextText(limit: Int) throws(GGUFError) -> String {
        var bytes: [UInt8] = []
        try nextString(into: &bytes, limit: limit)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The next bytes.
    /// - Throws: `GGUFError` (`damaged`) when there are not as many.
    mutating func nextBytes(_ count: Int) throws(GGUFError) -> [UInt8] {
        let place = try load(count)
        position += count
        return Array(window[place..<place + count])
    }

    /// Brings bytes from `position` on into the window.
    /// - Returns: where they begin there.
    private mutating func load(_ count: Int) throws(GGUFError) -> Int {
        guard count <= remaining else { throw error("the header is cut off") }
        let place = position - windowStart
        if place >= 0, place + count <= window.count { return place }
        let size = min(remaining, max(Self.windowSize, count))
        if window.count != size { window = [UInt8](repeating: 0, count: size) }
        windowStart = position
        // Rethrown outside of the closure: its error type is not inferred.
        var fault: GGUFError?
        window.withUnsafeMutableBytes { buffer in
            do throws(GGUFError) {
                try input.read(at: position, into: buffer)
            } catch { fault = error }
        }
        if let fault { throw fault }
        return 0
    }
}
