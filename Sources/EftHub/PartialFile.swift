// SPDX-License-Identifier: Apache-2.0
// A file that is being fetched in parts, and what is known of it after a kill.
import EftConfig
import EftFormats
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// A blob while it is fetched: `DIGEST.eft-partial`, of its full size from the start, and `DIGEST.eft-parts`.
///
/// The second file says how many bytes of each part are there: eight letters, then numbers of 64 bits, the lowest byte
/// first: the size, the size of a part, and the count of each part. A map that does not fit the file is forgotten.
final class PartialFile: Sendable {
    let size: Int
    /// The size of all parts but the last.
    let partBytes: Int
    /// Whether something was there already.
    let isResumed: Bool
    private let target: String
    private let descriptor: Int32
    private let map: Int32
    private let counts: Mutex<[Int]>

    private static let magic = Array("EFTPARTS".utf8)
    private static let headerBytes = 24

    /// How many parts there are.
    var partCount: Int { Self.partCount(size, partBytes) }

    private static func partCount(_ size: Int, _ partBytes: Int) -> Int {
        max(1, (size + partBytes - 1) / partBytes)
    }

    private static func partialPath(_ target: String) -> String { target + ".eft-partial" }
    private static func mapPath(_ target: String) -> String { target + ".eft-parts" }

    /// Bytes of a blob that a killed download has left behind, as the map tells.
    static func keptBytes(_ target: String, size: Int, partBytes: Int) -> Int {
        guard FileSystem.byteCount(partialPath(target)) == size,
            let bytes = try? FileSystem.read(mapPath(target), limit: 64 << 20),
            let counts = counts(in: bytes, size: size, partBytes: partBytes)
        else { return 0 }
        return counts.reduce(0, +)
    }

    /// Opens what is there of a blob, or begins it.
    /// - Throws: `HubError`.
    init(_ target: String, size: Int, partBytes: Int) throws(HubError) {
        self.target = target
        self.size = size
        self.partBytes = partBytes
        let (partial, mapped) = (Self.partialPath(target), Self.mapPath(target))
        let kept = FileSystem.byteCount(partial) == size ? try? FileSystem.read(mapped) : nil
        let known = kept.flatMap { Self.counts(in: $0, size: size, partBytes: partBytes) }
        let fresh = [Int](repeating: 0, count: Self.partCount(size, partBytes))
        counts = Mutex(known ?? fresh)
        isResumed = (known ?? fresh).contains { $0 > 0 }
        // Never through a link that somebody has put there.
        let flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW
        descriptor = open(partial, flags, 0o644)
        guard descriptor >= 0 else {
            throw HubError(.system(.io, "cannot make the file", path: partial, errno: errno))
        }
        map = open(mapped, flags, 0o644)
        guard map >= 0, known != nil || ftruncate(descriptor, off_t(size)) == 0 else {
            let number = errno
            close(descriptor)
            if map >= 0 { close(map) }
            throw HubError(.system(.io, "cannot make the file", path: mapped, errno: number))
        }
        if known == nil { try writeMap(fresh) }
    }

    deinit {
        close(descriptor)
        close(map)
    }

    private static func counts(in bytes: [UInt8], size: Int, partBytes: Int) -> [Int]? {
        let count = partCount(size, partBytes)
        guard bytes.count == headerBytes + 8 * count, Array(bytes.prefix(8)) == magic,
            number(bytes, 8) == size, number(bytes, 16) == partBytes
        else { return nil }
        let counts = (0..<count).map { number(bytes, headerBytes + 8 * $0) }
        for (part, count) in counts.enumerated() {
            guard (0...length(part, size, partBytes)).contains(count) else { return nil }
        }
        return counts
    }

    private static func number(_ bytes: [UInt8], _ offset: Int) -> Int {
        Int(
            truncatingIfNeeded: (0..<8).reduce(UInt64(0)) {
                $0 | UInt64(bytes[offset + $1]) << (8 * UInt64($1))
            })
    }

    private static func bytes(_ number: Int) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
    }

    private func writeMap(_ counts: [Int]) throws(HubError) {
        let bytes = Self.magic + ([size, partBytes] + counts).flatMap(Self.bytes)
        guard ftruncate(map, off_t(bytes.count)) == 0 else {
            throw HubError(
                .system(.io, "writing failed", path: Self.mapPath(target), errno: errno))
        }
        try bytes.withRawBytes { (raw) throws(HubError) in
            try Self.write(raw, to: map, at: 0, path: Self.mapPath(target))
        }
    }

    private static func write(
        _ bytes: UnsafeRawBufferPointer, to file: Int32, at offset: Int, path: String
    ) throws(HubError) {
        guard let start = bytes.baseAddress else { return }
        var done = 0
        while done < bytes.count {
            let count = pwrite(file, start + done, bytes.count - done, off_t(offset + done))
            if count >= 0 {
                done += count
            } else if errno != EINTR {
                throw HubError(.system(.io, "writing failed", path: path, errno: errno))
            }
        }
    }

    // MARK: Parts

    private static func length(_ part: Int, _ size: Int, _ partBytes: Int) -> Int {
        min(partBytes, size - part * partBytes)
    }

    /// The bytes of a part that are not there yet.
    func rest(of part: Int) -> Range<Int> {
        let start = part * partBytes
        let count = counts.withLock { $0[part] }
        return start + count..<start + Self.length(part, size, partBytes)
    }

    /// The parts of which something is missing.
    var openParts: [Int] { (0..<partCount).filter { !rest(of: $0).isEmpty } }

    /// Bytes that are there.
    var keptBytes: Int { counts.withLock { $0.reduce(0, +) } }

    /// Adds bytes to a part, as many as belong to it.
    /// - Returns: how many were taken.
    /// - Throws: `HubError`.
    func append(_ bytes: UnsafeRawBufferPointer, to part: Int) throws(HubError) -> Int {
        let rest = rest(of: part)
        let taken = UnsafeRawBufferPointer(rebasing: bytes.prefix(rest.count))
        try Self.write(taken, to: descriptor, at: rest.lowerBound, path: Self.partialPath(target))
        let count = rest.lowerBound - part * partBytes + taken.count
        counts.withLock { $0[part] = count }
        try Self.bytes(count).withRawBytes { (raw) throws(HubError) in
            try Self.write(
                raw, to: map, at: Self.headerBytes + 8 * part, path: Self.mapPath(target))
        }
        return taken.count
    }

    /// Forgets all bytes.
    /// - Throws: `HubError`.
    func reset() throws(HubError) {
        let fresh = [Int](repeating: 0, count: partCount)
        counts.withLock { $0 = fresh }
        try writeMap(fresh)
    }

    // MARK: The end

    /// Whether the content has a digest.
    /// - Throws: `HubError`.
    func has(_ digest: BlobDigest) throws(HubError) -> Bool {
        try withFiles { () throws(FormatError) in
            try digest.isOf(file: Self.partialPath(target))
        }
    }

    /// Gives the whole file its name, once its bytes are on the disk; a name that a power cut loses is fetched again.
    /// - Throws: `HubError`.
    func publish() throws(HubError) {
        guard fsync(descriptor) == 0 else {
            throw HubError(.system(.io, "writing failed", path: target, errno: errno))
        }
        try withFiles { () throws(FormatError) in
            try FileSystem.move(Self.partialPath(target), to: target)
            try FileSystem.remove(Self.mapPath(target))
        }
    }

    /// Removes all that is there.
    /// - Throws: `HubError`.
    func discard() throws(HubError) {
        try withFiles { () throws(FormatError) in
            try FileSystem.remove(Self.mapPath(target))
            try FileSystem.remove(Self.partialPath(target))
        }
    }
}
