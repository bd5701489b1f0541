// SPDX-License-Identifier: Apache-2.0
// Damaged and hostile .bin files under a limit of the system: whatever numbers they claim, little memory is taken.
import EftFormats
import EftTensor
import EftTestSupport
import Testing

private let prlimit = ["/usr/bin/prlimit", "/bin/prlimit"].first { FileSystem.exists($0) }

@Suite(.enabled(if: prlimit != nil, "prlimit (util-linux) is not there"), .serialized)
struct TorchMemoryTests {
    /// What the program holds in writable memory without any file, stacks of threads included, and what a file may add.
    private static let limit = (64 + 128) << 20

    /// Looks into a file where the system gives so much writable memory; a refusal by the system ends the program by a
    /// signal, or with another status than that of a damaged file.
    private func inspect(_ path: String) throws -> Program {
        try Program(
            path: "/bin/bash",
            [
                "-c", "ulimit -s 256; exec \"$0\" \"$@\"", "env", "OPENBLAS_NUM_THREADS=1",
                try #require(prlimit), "--data=\(TorchMemoryTests.limit)", Program.path,
                "inspect", path,
            ])
    }

    private func expectRead(_ path: String, _ what: String) throws {
        let program = try inspect(path)
        #expect(
            program.status == 0 || program.status == 4,
            "\(what): status \(program.status), \(program.errors.prefix(300))")
    }

    @Test func `the limit is one`() throws {
        let program = try Program(
            path: "/bin/bash",
            ["-c", "ulimit -d 1024; exec \"$0\" \"$@\"", Program.path, "inspect", "/nowhere"])
        #expect(program.status != 0 && program.status != 4)
    }

    @Test func `damaged checkpoints of both formats`() throws {
        let folder = try TemporaryFolder()
        let names = [
            "bin/many.bin", "bin/many.legacy.bin", "bin/nested.bin", "bin/views.legacy.bin",
            "bin-zips/deflated.bin", "bin-zips/zip64.bin",
        ]
        var random = SplitMix64(seed: 77)
        for name in names {
            let original = try FileSystem.read(Fixtures.path("formats/" + name))
            for round in 0..<25 {
                let path = folder.file("model.bin")
                try AtomicFile.write(path, random.mutated(original, headBias: 700))
                try expectRead(path, "\(name), round \(round)")
            }
        }
    }

    @Test func `sizes that are all ones, wherever they stand`() throws {
        let folder = try TemporaryFolder()
        var random = SplitMix64(seed: 5)
        for name in ["bin/many.bin", "bin/many.legacy.bin", "bin-zips/deflated.bin"] {
            let original = try FileSystem.read(Fixtures.path("formats/" + name))
            for round in 0..<40 {
                var bytes = original
                let width = [1, 2, 4, 8][round % 4]
                let place = Int.random(in: 0..<bytes.count - width, using: &random)
                for index in place..<place + width { bytes[index] = round % 3 == 0 ? 0x7F : 0xFF }
                let path = folder.file("model.bin")
                try AtomicFile.write(path, bytes)
                try expectRead(path, "\(name), \(width) bytes at \(place)")
            }
        }
    }

    @Test func `pickles of millions of values`() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("model.bin")
        let units: [(String, [UInt8])] = [
            ("tuples", Array(")".utf8)), ("marks", Array("(".utf8)), ("nothing", Array("N".utf8)),
            ("lists", Array("]".utf8)), ("dictionaries", Array("}".utf8)),
            ("pairs", [UInt8(ascii: "N"), UInt8(ascii: "N"), 0x86]),
            ("memo", [UInt8(ascii: "N"), 0x94]), ("text", Array("X\u{1}\u{0}\u{0}\u{0}a".utf8)),
            ("small texts", [0x8C, 1, 0x61]),
        ]
        for (name, unit) in units {
            var pickle = PickleBuilder()
            pickle.add(unit, times: 9_000_000 / unit.count)
            try AtomicFile.write(path, pickle.archive())
            let program = try inspect(path)
            #expect(
                program.status == 4, "\(name): \(program.status), \(program.errors.prefix(300))")
        }
    }

    /// A file of 8 GiB of which next to nothing is on the disk.
    @Test func `a long file without an end of anything`() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("model.bin")
        for head in ["\u{80}\u{2}I", "\u{80}\u{2}X\u{ff}\u{ff}\u{ff}\u{7f}", "\u{80}\u{2}S'"] {
            let bytes = head.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
            try AtomicFile.write(path, bytes)
            try extend(path, to: 8 << 30)
            let program = try inspect(path)
            #expect(program.status == 4, "\(program.errors.prefix(300))")
        }
    }

    private func extend(_ path: String, to size: Int) throws {
        let program = try Program(path: "/usr/bin/truncate", ["-s", "\(size)", path])
        #expect(program.status == 0, "\(program.errors)")
    }
}
