// SPDX-License-Identifier: Apache-2.0
// How fast a folder's disk reads and writes, by a file that is written, read and removed.
import EftFormats
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// Measures disks.
package struct DiskProbe: Sendable {
    /// Bytes of the file.
    package var byteCount = 512 << 20
    /// Seconds after which writing, and then reading, ends with fewer bytes.
    package var seconds = 1.2
    /// Bytes that must stay free beside the file.
    package var margin = 1 << 30
    /// Says how many bytes can still be written to a folder; nil when that is not known.
    package var freeBytes: @Sendable (_ folder: String) -> Int? = { FileSystem.freeBytes($0) }

    /// Bytes written at a time, and asked of the reader at a time.
    private static let piece = 16 << 20
    static let fileName = ".eft-disk-probe"

    /// Measures with the sizes that calibrations take.
    package init() {}

    /// The number that the system gives the file system on which a folder lies, or would lie once it is made.
    package static func device(of folder: String) -> UInt64? {
        existing(folder).flatMap { path in
            var status = stat()
            return stat(path, &status) == 0 ? UInt64(status.st_dev) : nil
        }
    }

    /// The folder, or the nearest one above it that is there.
    private static func existing(_ folder: String) -> String? {
        var folder = folder.isEmpty ? "." : folder
        while !FileSystem.isFolder(folder) {
            let parent = FileSystem.folder(of: folder)
            guard parent != folder else { return nil }
            folder = parent
        }
        return folder
    }

    /// Measures the disk of a folder, which need not be there yet; nil when there is no room or no right to write.
    package func measure(_ folder: String) -> Calibration.DiskRates? {
        guard let folder = DiskProbe.existing(folder) else { return nil }
        if let free = freeBytes(folder), free < byteCount + margin { return nil }
        // A disk that cannot be measured has no rates; what is wrong with it is said when it is really used.
        return try? rates(FileSystem.join(folder, DiskProbe.fileName))
    }

    private func rates(_ path: String) throws -> Calibration.DiskRates {
        let buffer = try Buffer(
            byteCount: DiskProbe.piece, ledger: nil, purpose: .window, pageAligned: true)
        var generator = SplitMix64(seed: 1)
        let words = buffer.base.assumingMemoryBound(to: UInt64.self)
        for index in 0..<buffer.byteCount / 8 { words[index] = generator.next() }
        // Never published, so that the partial file goes away with this object, whatever happens.
        let file = try OutputFile(path: path)
        return try withExtendedLifetime(file) {
            let (written, writing) = try write(buffer, to: file)
            let reading = try read(path + OutputFile.partialSuffix, written, into: buffer)
            return Calibration.DiskRates(
                read: Double(reading.bytes) / reading.seconds,
                write: Double(written) / writing)
        }
    }

    private func write(_ buffer: Buffer, to file: OutputFile) throws -> (Int, Double) {
        let start = ContinuousClock.now
        var done = 0
        while done < byteCount, done == 0 || (ContinuousClock.now - start).seconds < seconds {
            // No two pages of the file are equal, for disks that keep equal ones once.
            for page in stride(from: 0, to: buffer.byteCount, by: DirectFile.alignment) {
                buffer.base.storeBytes(of: done + page, toByteOffset: page, as: Int.self)
            }
            let count = min(buffer.byteCount, byteCount - done)
            try file.write(UnsafeRawBufferPointer(rebasing: buffer.bytes[..<count]))
            done += count
            // Else a slow disk would be found out only at the end.
            if done % (4 * DiskProbe.piece) == 0 { try file.flush() }
        }
        try file.flush()
        return (done, (ContinuousClock.now - start).seconds)
    }

    private func read(
        _ path: String, _ written: Int, into buffer: Buffer
    ) throws -> (bytes: Int, seconds: Double) {
        let file = try DirectFile(path: path)
        let ring = ReadRing()
        let whole = written / DirectFile.alignment * DirectFile.alignment
        let start = ContinuousClock.now
        var done = 0
        while done < whole, done == 0 || (ContinuousClock.now - start).seconds < seconds {
            let count = min(buffer.byteCount, whole - done)
            try file.read(
                at: done, into: UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<count]),
                ring: ring)
            done += count
        }
        return (done, (ContinuousClock.now - start).seconds)
    }
}
