// SPDX-License-Identifier: Apache-2.0
// Files and folders: mapping, replacing, copying.
import EftFormats
import EftTestSupport
import Testing

struct FileTests {
    @Test func `a file is replaced as a whole`() throws {
        let folder = try TemporaryFolder()
        for text in ["first", "", "second, which is longer"] {
            try AtomicFile.write(folder.file("a.json"), text)
            #expect(try FileSystem.read(folder.file("a.json")) == Array(text.utf8))
        }
        #expect(try FileSystem.list(folder.path) == ["a.json"])
    }

    @Test func `an unfinished file keeps the old content and goes away`() throws {
        let folder = try TemporaryFolder()
        try folder.write("a", "old")
        do {
            let file = try OutputFile(path: folder.file("a"))
            try file.write(Array("new".utf8))
            try file.seal()
            #expect(try FileSystem.read(folder.file("a")) == Array("old".utf8))
        }
        #expect(try FileSystem.list(folder.path) == ["a"])
    }

    @Test func `a full disk is reported with the system's words`() throws {
        // The name that the partial file gets is a link to the device that is always full.
        let folder = try TemporaryFolder()
        try folder.link("a.partial", to: "/dev/full")
        let file = try OutputFile(path: folder.file("a"))
        let error = #expect(throws: FormatError.self) { try file.write([1, 2, 3]) }
        #expect(error?.code == .io)
        #expect(error?.message.contains("No space left") == true)
    }

    @Test func `errors of writing name the file`() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("no/such/folder")
        let error = #expect(throws: FormatError.self) { try AtomicFile.write(path, "x") }
        #expect(error?.code == .io && error?.path == path)
        try folder.write("file", "x")
        #expect(throws: FormatError.self) { try FileSystem.createFolder(folder.file("file/below")) }
    }

    @Test(arguments: [0, 1, 4096, 3 << 20])
    func `copies are equal`(count: Int) throws {
        let folder = try TemporaryFolder()
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
        try folder.write("a", bytes)
        try FileSystem.copy(folder.file("a"), to: folder.file("b"))
        #expect(try FileSystem.read(folder.file("b")) == bytes)
    }

    @Test func `folders are made with those above and listed in order`() throws {
        let folder = try TemporaryFolder()
        try FileSystem.createFolder(folder.file("a/b/c"))
        try FileSystem.createFolder(folder.file("a/b/c"))
        for name in ["z", "B", "é", "10"] { try folder.write("a/b/" + name, "") }
        #expect(try FileSystem.list(folder.file("a/b")) == ["10", "B", "c", "z", "é"])
        #expect(FileSystem.isFolder(folder.file("a/b")))
        #expect(!FileSystem.isFolder(folder.file("a/b/z")))
        #expect(FileSystem.byteCount(folder.file("a/b/q")) == nil)
    }

    @Test(arguments: [
        ("/a/b", "/a", "b"), ("/a", "/", "a"), ("a", ".", "a"), ("a/b/c", "a/b", "c"),
    ])
    func `paths are taken apart`(path: String, folder: String, name: String) {
        #expect(FileSystem.folder(of: path) == folder)
        #expect(FileSystem.name(of: path) == name)
        #expect(FileSystem.join(folder, name) == path)
    }

    @Test func `a mapped file shows and copies its bytes after pages were given back`() throws {
        let folder = try TemporaryFolder()
        let bytes = (0..<20_000).map { UInt8(truncatingIfNeeded: $0) }
        let file = try MappedFile(path: folder.write("a", bytes))
        file.adviseSequential()
        #expect(file.withBytes(5000..<15_000) { Array($0) } == Array(bytes[5000..<15_000]))
        file.release(5000..<15_000)
        #expect(file.withBytes(0..<20_000) { Array($0) } == bytes)
        var part = [UInt8](repeating: 0, count: 100)
        try part.withUnsafeMutableBytes { try file.read(at: 19_900, into: $0) }
        #expect(part == Array(bytes[19_900...]))
    }

    @Test(arguments: ["missing", ".", "pipe"])
    func `what is no file is refused without waiting`(name: String) throws {
        let folder = try TemporaryFolder()
        folder.makePipe("pipe")
        let error = #expect(throws: FormatError.self) { try MappedFile(path: folder.file(name)) }
        #expect(error?.code == (name == "missing" ? .missing : .unreadable))
    }

    @Test func `a file that is too large for its kind is refused`() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("a", [1, 2, 3])
        #expect(throws: FormatError.self) { try FileSystem.read(path, limit: 2) }
        #expect(try FileSystem.read(path, limit: 3) == [1, 2, 3])
    }
}
