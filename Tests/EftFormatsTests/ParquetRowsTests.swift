// SPDX-License-Identifier: Apache-2.0
// Rows of Parquet files that pyarrow wrote, in every encoding and compression that is read.
import EftConfig
import EftTensor
import EftTestSupport
import Testing

@testable import EftFormats

struct ParquetRowsTests {
    private static let folder = Fixtures.path("formats/parquet")

    private func path(_ name: String) -> String {
        FileSystem.join(Self.folder, name + ".parquet")
    }

    private func rows(_ path: String, most: Int = .max) throws -> [ConfigNode] {
        let rows = try DataRows(path)
        var nodes: [ConfigNode] = []
        while nodes.count < most, let row = try rows.next() { nodes.append(row.node) }
        return nodes
    }

    @Test(arguments: [
        "usual", "plain", "gzip", "zstd", "lz4", "pages", "pages-2", "pages-2-plain", "deltas",
        "deltas-2", "small-dictionary", "older-lists",
    ])
    func `a file gives the rows that were written`(name: String) throws {
        let expected = try rows(FileSystem.join(Self.folder, "rows.jsonl"))
        let found = try rows(path(name))
        #expect(found.count == expected.count && found.count == 60)
        for (place, (row, wanted)) in zip(found, expected).enumerated() {
            let isEqual = row == wanted
            #expect(
                isEqual, "row \(place): \(JSONWriter.text(row)), not \(JSONWriter.text(wanted))")
            #expect(row.line == place + 1)
        }
    }

    @Test(arguments: ["snappy", "lz4", "gzip", "zstd"])
    func `long texts are decompressed`(codec: String) throws {
        let letters = (0..<70_000).map { UInt8(97 + $0 * $0 % 26) }
        let texts = [
            String(repeating: "ab", count: 40_000), String(repeating: "x", count: 70_000),
            String(decoding: letters, as: UTF8.self),
        ]
        let found = try rows(path("long-" + codec))
        let isEqual =
            found.map { JSONWriter.text($0) } == (texts + texts).map { "{\"text\": \"\($0)\"}" }
        #expect(isEqual)
    }

    @Test func `what is not read is said`() throws {
        for (name, reason) in [("left-out", "no column"), ("brotli", "Brotli")] {
            let error = try #require(throws: FormatError.self) { try rows(path(name)) }
            #expect(error.code == .unsupported && error.message.contains(reason), "\(error)")
        }
        #expect(try rows(path("empty")).isEmpty)
        let folder = try TemporaryFolder()
        let text = try folder.write("rows.parquet", "{\"text\": \"no Parquet\"}\n")
        #expect(throws: FormatError.self) { try rows(text) }
        // Its first bytes tell a file whatever it is called.
        let renamed = folder.file("rows.json")
        try folder.link("rows.json", to: path("usual"))
        #expect(try rows(renamed).count == 60)
    }

    @Test func `errors name the row`() throws {
        let rows = try DataRows(path("usual"))
        _ = try rows.next()
        let second = try #require(try rows.next())
        let error = try #require(throws: ConfigError.self) { try second.required("text") }
        #expect(error.line == 2 && error.description.contains("usual.parquet:2"))
    }

    // MARK: Damaged files

    @Test(arguments: [
        "usual", "plain", "gzip", "lz4", "pages-2", "pages-2-plain", "deltas", "deltas-2",
        "small-dictionary", "older-lists", "long-snappy", "long-zstd",
    ])
    func `no altered file makes the reader crash or take what the file claims`(name: String) throws
    {
        let original = try FileSystem.read(path(name))
        let folder = try TemporaryFolder()
        var random = SplitMix64(seed: 5)
        let rounds = 250
        var refused = 0
        for round in 0..<rounds {
            var bytes = original
            if round % 5 == 0 {
                bytes = random.mutated(original, headBias: original.count)
            } else {
                // Places of pages stay right, so that what is in them is reached.
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    let place = Int.random(in: 4..<bytes.count - 8, using: &random)
                    bytes[place] =
                        Bool.random(using: &random) ? 0xFF : .random(in: 0...255, using: &random)
                }
            }
            let file = try folder.plainWrite("rows.parquet", bytes)
            do {
                _ = try rows(file, most: 500)
            } catch let error as FormatError {
                refused += 1
                #expect(!error.message.isEmpty)
            }
        }
        #expect(refused > rounds / 4)
    }

    @Test func `a file cut anywhere is refused`() throws {
        let original = try FileSystem.read(path("usual"))
        let folder = try TemporaryFolder()
        for end in stride(from: 0, to: original.count, by: 97) {
            let file = try folder.plainWrite("rows.parquet", Array(original[..<end]))
            #expect(throws: FormatError.self) { try rows(file) }
        }
    }
}

/// Numbers that claim more than is there.
struct ParquetClaimsTests {
    private func page(_ bytes: [UInt8]) -> PageBytes {
        PageBytes(bytes, column: "c", path: "rows.parquet")
    }

    private func decompress(_ codec: ParquetCodec, _ bytes: [UInt8], size: Int) throws {
        _ = try bytes.withUnsafeBytes {
            try codec.decompress($0, size: size, column: "c", path: "rows.parquet")
        }
    }

    @Test func `a run of any length takes no memory`() throws {
        // 2^61 times the value 5, in 3 bits.
        let run = [UInt8](repeating: 0x80, count: 8) + [0x40, 5]
        var decoder = try RunDecoder(page(run), width: 3)
        for _ in 0..<1000 { #expect(try decoder.next() == 5) }
        // Bit-packed groups are as many as there are bytes.
        var packed = try RunDecoder(page([0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 1, 2]), width: 8)
        #expect(throws: FormatError.self) { try packed.next() }
        #expect(throws: FormatError.self) { try RunDecoder(page([]), width: 33) }
    }

    @Test func `differences that go round do so as their writer's did`() throws {
        // Blocks of 128 in 4 parts, 3 values, the first Int64.max; the smallest difference is 1, the others 0 bits more.
        let first: [UInt8] = [0xFE] + [UInt8](repeating: 0xFF, count: 8) + [1]
        let bytes: [UInt8] = [0x80, 1, 4, 3] + first + [2, 0, 0, 0, 0]
        var decoder = try DeltaDecoder(page(bytes))
        #expect(try decoder.rest().remaining == 0)
        #expect(try (0..<3).map { _ in try decoder.next() } == [.max, .min, .min + 1])
        #expect(throws: FormatError.self) { try decoder.next() }
        for header: [UInt8] in [[0, 1, 1, 0], [0x80, 1, 0, 1, 0], [0x80, 1, 3, 1, 0], []] {
            #expect(throws: FormatError.self) { try DeltaDecoder(page(header)) }
        }
        // Two thousand million lengths, of which none is there.
        #expect(throws: FormatError.self) {
            try LengthDecoder(page([0x80, 1, 4, 0xFF, 0xFF, 0xFF, 0xFF, 7, 0, 0, 0, 0, 0, 0]))
        }
    }

    @Test func `a page is not believed to be larger than its bytes can make`() throws {
        for codec in [ParquetCodec.snappy, .lz4, .gzip, .zstd, .none] {
            #expect(throws: FormatError.self) {
                try decompress(
                    codec, [0xFF, 0xFF, 0xFF, 0x7F, 0, 0, 0], size: ParquetLimits.pageBytes)
            }
        }
        // Copies from before the beginning, of nothing, and past the end.
        for bytes: [UInt8] in [
            [4, 0x01, 1], [5, 0, 97, 0x01, 0], [2, 0, 97, 0x05, 1], [1], [3, 0, 97],
        ] {
            #expect(throws: FormatError.self) {
                try decompress(.snappy, bytes, size: Int(bytes[0]))
            }
        }
        for bytes: [UInt8] in [
            [0x10, 97, 0, 0, 0], [0x10, 97, 2, 0], [0xF0, 255], [0x1F, 97, 1, 0],
        ] {
            #expect(throws: FormatError.self) { try decompress(.lz4, bytes, size: 5) }
        }
        try decompress(.snappy, [5, 0, 97, 0x01, 1], size: 5)
        try decompress(.lz4, [0x10, 97, 1, 0, 0], size: 5)
    }

    @Test func `descriptions are bounded by their bytes`() throws {
        func read(_ bytes: [UInt8]) throws {
            try bytes.withUnsafeBytes { buffer in
                var reader = ThriftReader(ByteReader(buffer, path: "rows.parquet"))
                try reader.structure { (_, _) throws(FormatError) in false }
            }
        }
        // Lists and structures inside each other without an end, lists and texts of 2^31, a type that is none.
        let lists = [UInt8](repeating: 0x19, count: 1 << 16)
        let structures = [UInt8](repeating: 0x1C, count: 1 << 16)
        let many: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF, 0x07]
        for bytes in [
            lists, structures, [0x19, 0xFC] + many, [0x18] + many, [0x1B] + many, [0x1D],
        ] {
            #expect(throws: FormatError.self) { try read(bytes) }
        }
        try read([0x15, 2, 0x18, 1, 97, 0x19, 0x11, 1, 0x1B, 1, 0x88, 1, 97, 1, 98, 0x11, 0])
    }
}
