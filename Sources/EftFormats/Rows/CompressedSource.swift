// SPDX-License-Identifier: Apache-2.0
// Text files compressed by gzip or zstd, read as if they were not.
import CZstd
import EftConfig

/// The bytes that a compressed file stands for.
final class CompressedSource: ByteSource {
    private enum Decoder {
        case gzip(Inflater)
        case zstd(OpaquePointer)
    }

    private let file: MappedFile
    private var decoder: Decoder
    private var input: ZSTD_inBuffer
    /// Whether a frame of zstd has begun and not ended.
    private var isInFrame = false
    private var isAtEnd = false
    /// Where the part of the file begins that is being decompressed; gzip files may be several, one after the other.
    private var start = 0

    /// The bytes of a file, decompressed when its name says so.
    /// - Throws: `ConfigError` (`unreadable`).
    static func open(_ path: String) throws(ConfigError) -> any ByteSource {
        let name = path.lowercased()
        let isGzip = name.hasSuffix(".gz")
        guard isGzip || name.hasSuffix(".zst") else { return try FileSource(path) }
        do {
            return try CompressedSource(MappedFile(path: path), isGzip: isGzip)
        } catch { throw ConfigError(.unreadable, error.message, file: path) }
    }

    /// A name in lower case without the ending of a compression.
    static func plainName(_ path: String) -> String {
        let name = path.lowercased()
        for ending in [".gz", ".zst"] where name.hasSuffix(ending) {
            return String(name.dropLast(ending.count))
        }
        return name
    }

    private init(_ file: MappedFile, isGzip: Bool) throws(FormatError) {
        self.file = file
        let bytes = file.slice(0..<file.byteCount)
        input = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
        if isGzip {
            decoder = .gzip(Inflater(bytes, name: file.path, path: file.path, form: .gzip))
        } else {
            guard let stream = ZSTD_createDStream() else {
                throw FormatError(.unreadable, "no memory to decompress it", path: file.path)
            }
            decoder = .zstd(stream)
        }
    }

    deinit { if case .zstd(let stream) = decoder { ZSTD_freeDStream(stream) } }

    func read(_ count: Int, into bytes: inout [UInt8]) throws(ConfigError) -> Int {
        guard !isAtEnd, file.byteCount > 0, count > 0 else { return 0 }
        var piece = [UInt8](repeating: 0, count: count)
        let read: Int?
        switch decoder {
        case .gzip(let inflater): read = gzip(inflater, &piece)
        case .zstd(let stream): read = zstd(stream, &piece)
        }
        guard let read else {
            throw ConfigError(
                .unreadable, "the file ends too early or is damaged; it cannot be decompressed",
                file: file.path)
        }
        isAtEnd = read == 0
        bytes += piece[..<read]
        return read
    }

    /// Fills a piece; nil when the data are broken.
    private func gzip(_ first: Inflater, _ piece: inout [UInt8]) -> Int? {
        var inflater = first
        while true {
            let current = inflater
            let count = piece.withUnsafeMutableBufferPointer { target -> Int? in
                guard let start = target.baseAddress else { return nil }
                return try? current.step(start, target.count)
            }
            guard let count else { return nil }
            if count > 0 { return count }
            guard inflater.isFinished else { return nil }
            start += inflater.consumed
            guard start < file.byteCount else { return 0 }
            inflater = Inflater(
                file.slice(start..<file.byteCount), name: file.path, path: file.path, form: .gzip)
            decoder = .gzip(inflater)
        }
    }

    private func zstd(_ stream: OpaquePointer, _ piece: inout [UInt8]) -> Int? {
        piece.withUnsafeMutableBytes { target -> Int? in
            while input.pos < input.size || isInFrame {
                var output = ZSTD_outBuffer(dst: target.baseAddress, size: target.count, pos: 0)
                let before = input.pos
                let rest = ZSTD_decompressStream(stream, &output, &input)
                guard ZSTD_isError(rest) == 0 else { return nil }
                isInFrame = rest != 0
                if output.pos > 0 { return output.pos }
                guard input.pos > before || !isInFrame else { return nil }
            }
            return 0
        }
    }
}
