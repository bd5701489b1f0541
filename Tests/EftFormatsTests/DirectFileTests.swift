// SPDX-License-Identifier: Apache-2.0
// Reading past the page cache, and the checksum of what was read.
import EftFormats
import EftTensor
import EftTestSupport
import Testing

#if canImport(Glibc)
    import Glibc
#endif

@Suite struct DirectFileTests {
    @Test(arguments: [
        ("", "ef46db3751d8e999"), ("a", "d24ec4f1a98c6e5b"), ("abc", "44bc2cf5ad770999"),
        (
            "Nobody inspects the spammish repetition",
            "fbcea83c8a378bf1"
        ),
    ])
    func `XXH64 is that of its authors`(_ text: String, _ expected: String) {
        #expect(XXH64.hex(text) == expected)
    }

    @Test func `a checksum does not depend on how bytes come in`() {
        let bytes = (0..<4096 + 13).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 3) }
        let whole = bytes.withUnsafeBytes { XXH64.hash($0) }
        var state = XXH64()
        let last = bytes.withUnsafeBytes { raw in
            var start = 0
            for count in [32, 64, 320, 3680] {
                state.update(UnsafeRawBufferPointer(rebasing: raw[start..<start + count]))
                start += count
            }
            return state.finish(UnsafeRawBufferPointer(rebasing: raw[start...]))
        }
        #expect(last == whole)
    }

    private func pages(_ count: Int) throws -> Buffer {
        try Buffer(byteCount: count * 4096, ledger: nil, purpose: .window, pageAligned: true)
    }

    @Test(arguments: [true, false])
    func `whole pages are read from anywhere`(_ direct: Bool) throws {
        let folder = try TemporaryFolder()
        let bytes = (0..<5 * 4096).map { UInt8(truncatingIfNeeded: $0 / 7) }
        let file = try DirectFile(path: folder.write("f", bytes), direct: direct)
        #expect(file.byteCount == bytes.count)
        if !direct { #expect(!file.isDirect) }
        let target = try pages(3)
        #expect(try file.read(at: 2 * 4096, into: target.bytes))
        #expect(target.bytes.elementsEqual(bytes[(2 * 4096)...]))
        #expect(try !file.read(at: 0, into: target.bytes) { true })
    }

    @Test func `what the page cache holds is taken from there, and nothing else`() throws {
        let folder = try TemporaryFolder()
        let bytes = (0..<4 * 4096 + 100).map { UInt8(truncatingIfNeeded: $0 / 5) }
        let path = try folder.write("f", bytes)
        #expect(try FileSystem.read(path) == bytes)
        let file = try DirectFile(path: path)
        let target = try pages(3)
        // A file system without direct reads has nothing to choose from.
        let isThere = file.readCached(at: 2 * 4096, into: target.bytes, needed: 2 * 4096 + 100)
        #expect(isThere == file.isDirect)
        if isThere {
            #expect(target.bytes.prefix(2 * 4096 + 100).elementsEqual(bytes[(2 * 4096)...]))
        }
        #expect(!file.readCached(at: 2 * 4096, into: target.bytes, needed: 3 * 4096))
        #expect(!file.readCached(at: 9 * 4096, into: target.bytes, needed: 1))
        #expect(
            try !DirectFile(path: path, direct: false).readCached(
                at: 0, into: target.bytes, needed: 1))
    }

    @Test(arguments: [true, false], [4096 * 2, 4096 * 2 + 100, 10])
    func `a file that is too short is damaged`(_ direct: Bool, _ size: Int) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("f", [UInt8](repeating: 3, count: size))
        let file = try DirectFile(path: path, direct: direct)
        let target = try pages(3)
        let error = try #require(throws: FormatError.self) {
            try withExtendedLifetime(target) { try file.read(at: 0, into: target.bytes) }
        }
        #expect(error.code == .damaged && error.message.contains("ends at \(size)"))
    }

    @Test(arguments: [true, false])
    func `a file may end behind what is needed`(_ direct: Bool) throws {
        let folder = try TemporaryFolder()
        let bytes = (0..<4096 + 100).map { UInt8(truncatingIfNeeded: $0 / 3) }
        let file = try DirectFile(path: folder.write("f", bytes), direct: direct)
        let target = try pages(2)
        #expect(try file.read(at: 0, into: target.bytes, needed: bytes.count))
        #expect(target.bytes[..<bytes.count].elementsEqual(bytes))
        #expect(try file.read(at: 4096, into: target.bytes, needed: 100))
        #expect(target.bytes[..<100].elementsEqual(bytes[4096...]))
        if !direct { #expect(!file.isDirect) }
        let error = try #require(throws: FormatError.self) {
            try file.read(at: 4096, into: target.bytes, needed: 101)
        }
        #expect(error.code == .damaged && error.message.contains("1 bytes early"))
    }

    @Test func `what is no file is refused`() throws {
        let folder = try TemporaryFolder()
        let missing = try #require(throws: FormatError.self) {
            try DirectFile(path: folder.file("none"))
        }
        #expect(missing.code == .missing)
        let other = try #require(throws: FormatError.self) { try DirectFile(path: folder.path) }
        #expect(other.code == .unreadable)
    }

    // MARK: Several reads at once

    /// 9.5 pieces of a ring, where a page tells its number.
    private func large(_ folder: TemporaryFolder, cut: Int = 0) throws -> (path: String, pages: Int)
    {
        let pages = 9728
        var bytes = [UInt8](repeating: 0, count: pages * 4096 - cut)
        for index in bytes.indices where index % 512 < 2 {
            bytes[index] = UInt8(truncatingIfNeeded: index % 512 == 0 ? index >> 12 : index >> 20)
        }
        return (try folder.plainWrite("large", bytes), pages)
    }

    @Test(arguments: [true, false])
    func `a ring reads the same bytes as system calls`(_ isWanted: Bool) throws {
        let folder = try TemporaryFolder()
        let (path, count) = try large(folder)
        let file = try DirectFile(path: path)
        let ring = ReadRing(isWanted: isWanted)
        if !isWanted { #expect(ring.isRefused) }
        let (plain, target) = (try pages(count), try pages(count))
        #expect(try file.read(at: 0, into: plain.bytes))
        #expect(try file.read(at: 0, into: target.bytes, ring: ring))
        #expect(memcmp(plain.base, target.base, plain.byteCount) == 0)
        // From anywhere, any whole number of pages, over what was there before.
        for (start, length) in [(1, 1), (3, 1024), (1023, 1025), (700, 5000)] {
            memset(target.base, 0xEE, target.byteCount)
            let part = UnsafeMutableRawBufferPointer(rebasing: target.bytes[..<(length * 4096)])
            #expect(try file.read(at: start * 4096, into: part, ring: ring))
            #expect(memcmp(plain.base + start * 4096, target.base, part.count) == 0)
            #expect(target.bytes[part.count...].allSatisfy { $0 == 0xEE })
        }
    }

    @Test(arguments: [1, 100, 4096, 3 << 20, 5 << 20, 30 << 20])
    func `a ring meets the end of a file that is too short`(_ cut: Int) throws {
        let folder = try TemporaryFolder()
        let (path, count) = try large(folder, cut: cut)
        let file = try DirectFile(path: path)
        let target = try pages(count)
        let error = try #require(throws: FormatError.self) {
            try file.read(at: 0, into: target.bytes, ring: ReadRing())
        }
        #expect(error.code == .damaged)
        #expect(error.message.contains("ends at \(count * 4096 - cut), \(cut) bytes early"))
    }

    @Test func `a ring stops in the middle, with no read left in flight`() throws {
        let folder = try TemporaryFolder()
        let (path, count) = try large(folder)
        let file = try DirectFile(path: path)
        let ring = ReadRing()
        let target = try pages(count)
        for limit in 0..<8 {
            var asked = 0
            let isWhole = try file.read(at: 0, into: target.bytes, ring: ring) {
                asked += 1
                return asked > limit
            }
            // By system calls it is three pieces, and asked as often.
            #expect(!isWhole || (ring.isRefused && limit >= 3))
            // What would still be in flight would write over this.
            memset(target.base, 0xEE, target.byteCount)
            #expect(target.bytes.allSatisfy { $0 == 0xEE })
        }
        #expect(try file.read(at: 0, into: target.bytes, ring: ring))
        #expect(target.bytes[4096] == 1)
    }

    @Test func `a ring that is refused a read leaves the rest to system calls`() throws {
        let folder = try TemporaryFolder()
        let (path, count) = try large(folder)
        let file = try DirectFile(path: path)
        let ring = ReadRing()
        let target = try pages(count)
        // A descriptor that cannot be read stands for whatever the kernel may refuse.
        #expect(ring.read(-1, at: 0, into: target.bytes) { false } == 0)
        #expect(ring.isRefused)
        #expect(try file.read(at: 0, into: target.bytes, ring: ring))
        #expect(target.bytes[4096] == 1)
    }
}
