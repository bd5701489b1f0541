// SPDX-License-Identifier: Apache-2.0
// Deflate data, decompressed in pieces by zlib.
import CZlib

/// A decompressor over bytes that outlive it.
final class Inflater {
    private var stream = z_stream()
    private let source: UnsafeRawBufferPointer
    /// Bytes of the source that have been used.
    private(set) var consumed = 0
    /// Whether the data have come to their own end.
    private(set) var isFinished = false
    private var isReady: Bool
    private let name: String
    private let path: String

    /// What stands around the data, as zlib's window bits.
    enum Form: Int32 {
        /// Nothing, as in zip archives.
        case raw = -15
        /// The header and trailer of gzip or of zlib.
        case gzip = 47
    }

    /// Begins at the first byte of `source`; `name` and `path` are for messages.
    init(_ source: UnsafeRawBufferPointer, name: String, path: String, form: Form = .raw) {
        self.source = source
        self.name = name
        self.path = path
        let size = Int32(MemoryLayout<z_stream>.size)
        isReady = inflateInit2_(&stream, form.rawValue, ZLIB_VERSION, size) == Z_OK
    }

    deinit { if isReady { inflateEnd(&stream) } }

    private var damaged: FormatError {
        FormatError(.damaged, "'\(name)' cannot be decompressed", path: path)
    }

    /// Decompresses until `target` is full.
    /// - Throws: `FormatError` (`damaged`) when the data end before or are broken.
    func fill(_ target: UnsafeMutableRawBufferPointer) throws(FormatError) {
        guard let start = target.bindMemory(to: UInt8.self).baseAddress else { return }
        var done = 0
        while done < target.count {
            let count = try step(start + done, target.count - done)
            guard count > 0 else { throw damaged }
            done += count
        }
    }

    /// Checks that nothing follows.
    func expectEnd() throws(FormatError) {
        var extra: UInt8 = 0
        guard try step(&extra, 1) == 0 else { throw damaged }
    }

    /// Decompresses at most `room` bytes; 0 at the end.
    /// - Throws: `FormatError` (`damaged`).
    func step(_ target: UnsafeMutablePointer<UInt8>, _ room: Int) throws(FormatError) -> Int {
        guard isReady else { throw damaged }
        // zlib counts in 32 bits and its input pointer is not const.
        let available = min(source.count - consumed, 1 << 30)
        let space = min(room, 1 << 30)
        if let base = source.baseAddress {
            let bytes = (base + consumed).assumingMemoryBound(to: UInt8.self)
            stream.next_in = UnsafeMutablePointer(mutating: bytes)
        }
        stream.avail_in = UInt32(available)
        stream.next_out = target
        stream.avail_out = UInt32(space)
        let result = CZlib.inflate(&stream, Z_NO_FLUSH)
        consumed += available - Int(stream.avail_in)
        guard result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR else {
            throw damaged
        }
        isFinished = result == Z_STREAM_END
        return space - Int(stream.avail_out)
    }
}
