// SPDX-License-Identifier: Apache-2.0
// Reading past the page cache, and the checksum of what was read.
import EftFormats
import EftTensor
import EftTestSupport
import Testing

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
}
