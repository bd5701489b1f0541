// SPDX-License-Identifier: Apache-2.0
// Rows of Arrow files and streams that pyarrow wrote, compressed and not.
import EftConfig
import EftTensor
import EftTestSupport
import Testing

@testable import EftFormats

struct ArrowRowsTests {
    private static let folder = Fixtures.path("formats/arrow")

    private func path(_ name: String) -> String {
        FileSystem.join(Self.folder, name + ".arrow")
    }

    private func rows(
        _ path: String, form: DataRows.Form? = nil, most: Int = .max
    ) throws -> [ConfigNode] {
        let rows = try DataRows(path, form: form)
        var nodes: [ConfigNode] = []
        while nodes.count < most, let row = try rows.next() { nodes.append(row.node) }
        return nodes
    }

    private func expectEqual(_ found: [ConfigNode], _ expected: [ConfigNode]) {
        #expect(found.count == expected.count)
        for (place, (row, wanted)) in zip(found, expected).enumerated() {
            let isEqual = row == wanted
            #expect(
                isEqual, "row \(place): \(JSONWriter.text(row)), not \(JSONWriter.text(wanted))")
            #expect(row.line == place + 1)
        }
    }

    @Test(arguments: [
        "stream", "stream-batches", "stream-zstd", "stream-lz4", "stream-old", "file", "file-zstd",
        "file-lz4",
    ])
    func `a file gives the rows that the same table gives as Parquet`(name: String) throws {
        let expected = try rows(Fixtures.path("formats/parquet/rows.jsonl"))
        #expect(expected.count == 60)
        expectEqual(try rows(path(name)), expected)
    }

    @Test(arguments: ["kinds-stream", "kinds-file"])
    func `columns of other kinds and dictionaries are read`(name: String) throws {
        let expected = try rows(FileSystem.join(Self.folder, "kinds.jsonl"))
        #expect(expected.count == 6)
        expectEqual(try rows(path(name)), expected)
    }

    @Test(arguments: ["deltas", "replaced"])
    func `dictionaries grow, and others take their place`(name: String) throws {
        let colors = ["red", "green", "red", "green", "blue", "black", "red"]
        #expect(try rows(path(name)) == colors.map { ["color": ConfigNode($0)] })
    }

    @Test(arguments: ["lz4", "zstd"])
    func `long texts are decompressed`(codec: String) throws {
        let letters = (0..<70_000).map { UInt8(97 + $0 * $0 % 26) }
        let texts = [
            String(repeating: "ab", count: 40_000), String(repeating: "x", count: 70_000),
            String(decoding: letters, as: UTF8.self),
        ]
        let found = try rows(path("long-" + codec)).map { JSONWriter.text($0) }
        let isEqual = found == (texts + texts).map { "{\"text\": \"\($0)\"}" }
        #expect(isEqual)
    }

    @Test func `what is not read is said`() throws {
        for (name, reason) in [("left-out", "no column"), ("views", "views of texts")] {
            let error = try #require(throws: FormatError.self) { try rows(path(name)) }
            #expect(error.code == .unsupported && error.message.contains(reason), "\(error)")
        }
        #expect(try rows(path("empty")).isEmpty)
        let folder = try TemporaryFolder()
        for text in ["", "{\"text\": \"no Arrow\"}\n", "FEA1 and more", "ARROW1"] {
            let file = try folder.write("rows.arrow", text)
            #expect(throws: FormatError.self) { try rows(file) }
        }
        // Its first bytes tell a file whatever it is called; a stream must be said to be one.
        try folder.link("rows.feather", to: path("file"))
        #expect(try rows(folder.file("rows.feather")).count == 60)
        try folder.link("rows.data", to: path("stream"))
        #expect(try rows(folder.file("rows.data"), form: .arrow).count == 60)
    }

    @Test func `errors name the row`() throws {
        let rows = try DataRows(path("stream"))
        _ = try rows.next()
        let second = try #require(try rows.next())
        let error = try #require(throws: ConfigError.self) { try second.required("text") }
        #expect(error.line == 2 && error.description.contains("stream.arrow:2"))
    }

    // MARK: Damaged files

    @Test(arguments: [
        "stream", "stream-batches", "stream-zstd", "stream-lz4", "file", "file-lz4",
        "kinds-stream", "kinds-file", "deltas", "replaced", "long-lz4", "views",
    ])
    func `no altered file makes the reader crash or take what the file claims`(name: String) throws
    {
        let original = try FileSystem.read(path(name))
        let folder = try TemporaryFolder()
        var random = SplitMix64(seed: 6)
        let rounds = 400
        var refused = 0
        for round in 0..<rounds {
            var bytes = original
            if round % 5 == 0 {
                bytes = random.mutated(original, headBias: original.count)
            } else {
                for _ in 0..<Int.random(in: 1...6, using: &random) {
                    let place = Int.random(in: 0..<bytes.count, using: &random)
                    bytes[place] =
                        Bool.random(using: &random)
                        ? [0, 1, 0x7F, 0xFF].randomElement(using: &random) ?? 0
                        : .random(in: 0...255, using: &random)
                }
            }
            let file = try folder.plainWrite("rows.arrow", bytes)
            do {
                _ = try rows(file, most: 500)
            } catch let error as FormatError {
                refused += 1
                #expect(!error.message.isEmpty)
            }
        }
        #expect(refused > rounds / 20)
    }

    @Test(arguments: ["stream", "stream-batches", "stream-lz4", "file", "file-zstd"])
    func `a file cut anywhere is refused`(name: String) throws {
        let original = try FileSystem.read(path(name))
        let folder = try TemporaryFolder()
        for end in stride(from: 0, to: original.count, by: 97) + [original.count - 8] {
            let file = try folder.plainWrite("rows.arrow", Array(original[..<end]))
            #expect(throws: FormatError.self) { try rows(file) }
        }
    }

    // MARK: Claims

    @Test func `an altered number never places a value outside of its batch`() throws {
        // Every byte of the descriptions becomes the largest there is.
        let original = try FileSystem.read(path("deltas"))
        let folder = try TemporaryFolder()
        var refused = 0
        for place in original.indices {
            var bytes = original
            bytes[place] = bytes[place] == 0xFF ? 0x7F : 0xFF
            let file = try folder.plainWrite("rows.arrow", bytes)
            do { _ = try rows(file, most: 500) } catch let error as FormatError {
                refused += 1
                #expect(!error.message.isEmpty)
            }
        }
        #expect(refused > original.count / 5)
    }

    @Test func `a frame of LZ4 is as large as it says and no larger`() throws {
        func decompress(_ bytes: [UInt8], size: Int) -> [UInt8]? {
            bytes.withUnsafeBytes { LZ4Frame.decompress($0, size: size) }
        }
        let head: [UInt8] = [0x04, 0x22, 0x4D, 0x18, 0x40, 0x40, 0]
        let end: [UInt8] = [0, 0, 0, 0]
        let stored: [UInt8] = [2, 0, 0, 0x80, 97, 98]
        // A block that repeats what stands in the one before it: four letters from two back, then one letter.
        let repeats: [UInt8] = [5, 0, 0, 0, 0, 2, 0, 0x10, 99]
        #expect(decompress(head + stored + end, size: 2) == Array("ab".utf8))
        #expect(decompress(head + stored + repeats + end, size: 7) == Array("abababc".utf8))
        #expect(decompress(head + stored + end, size: 3) == nil)
        #expect(decompress(head + stored + end, size: 1) == nil)
        #expect(decompress(head + stored, size: 2) == nil)
        #expect(decompress(head + stored + end + [0], size: 2) == nil)
        #expect(decompress(head + repeats + end, size: 5) == nil)
        #expect(decompress(head + [0xFF, 0xFF, 0xFF, 0xFF], size: 2) == nil)
        #expect(decompress(head + stored + end, size: 1 << 40) == nil)
        #expect(decompress([], size: 0) == nil)
    }
}
