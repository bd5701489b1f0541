// SPDX-License-Identifier: Apache-2.0
// Random alterations of valid files, the same in every run.
import EftFormats
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

extension SplitMix64 {
    /// `bytes` with some bytes changed, removed, repeated or cut off; mostly among the first `headBias`.
    package mutating func mutated(_ bytes: [UInt8], headBias: Int) -> [UInt8] {
        var result = bytes
        for _ in 0..<Int.random(in: 1...3, using: &self) where !result.isEmpty {
            let bound = Bool.random(using: &self) ? min(headBias, result.count) : result.count
            let place = Int.random(in: 0..<bound, using: &self)
            switch Int.random(in: 0..<8, using: &self) {
            case 0: result.removeSubrange(place...)
            case 1: result.remove(at: place)
            case 2: result.insert(.random(in: 0...255, using: &self), at: place)
            case 3: result[place] ^= 1 << UInt8.random(in: 0..<8, using: &self)
            case 4: result[place] = 0xFF
            case 5: result[place] = UInt8(ascii: "0") + .random(in: 0...9, using: &self)
            default: result[place] = .random(in: 0...255, using: &self)
            }
        }
        return result
    }
}

private func writeAll(_ descriptor: Int32, _ bytes: [UInt8]) -> Bool {
    write(descriptor, bytes, bytes.count) == bytes.count
}

extension TemporaryFolder {
    /// Writes a file without bringing it onto the disk, which thousands of files would wait for.
    package func plainWrite(_ name: String, _ bytes: [UInt8]) throws -> String {
        let path = file(name)
        // A new file each time: the old one may still be mapped.
        unlink(path)
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL, 0o600)
        guard descriptor >= 0, writeAll(descriptor, bytes) else {
            throw FormatError(.io, "cannot write", path: path)
        }
        close(descriptor)
        return path
    }

    /// Makes a symbolic link.
    package func link(_ name: String, to target: String) throws {
        guard symlink(target, file(name)) == 0 else {
            throw FormatError(.io, "cannot link", path: file(name))
        }
    }

    /// Makes a named pipe.
    package func makePipe(_ name: String) { mkfifo(file(name), 0o600) }
}
