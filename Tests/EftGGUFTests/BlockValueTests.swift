// SPDX-License-Identifier: Apache-2.0
// What the blocks of quantized types stand for, against the `gguf` package.
import CEftKernels
import EftConfig
import EftFormats
import EftGGUF
import EftTensor
import EftTestSupport
import Testing

struct BlockValueTests {
    private struct Golden: Sendable, CustomTestStringConvertible {
        let name: String
        let type: UInt32
        let numbers: Int
        let bytes: Int
        /// The high bytes of half-precision numbers, kept finite.
        let halves: [Int]
        let sha256: String
        let blocks: Int
        var testDescription: String { name }
    }

    private static func golden() throws -> [Golden] {
        let file = Fixtures.path("gguf/types/types.json")
        let root = ConfigCursor(try JSONParser.parse(FileSystem.read(file)))
        let blocks = try root.required("blocks").int()
        return try root.required("types").object().keys.map { name in
            let entry = try root.required("types").required(name)
            return Golden(
                name: name, type: UInt32(try entry.required("type").int()),
                numbers: try entry.required("numbers").int(),
                bytes: try entry.required("bytes").int(),
                halves: try entry.required("halves").elements().map { try $0.int() },
                sha256: try entry.required("sha256").string(), blocks: blocks)
        }
    }

    /// The blocks that the fixture's script made.
    private func blocks(_ golden: Golden) -> [UInt8] {
        var random = SplitMix64(seed: UInt64(golden.type))
        let count = golden.blocks * golden.bytes
        var bytes: [UInt8] = []
        while bytes.count < count {
            withUnsafeBytes(of: random.next().littleEndian) { bytes.append(contentsOf: $0) }
        }
        bytes.removeSubrange(count...)
        for block in 0..<golden.blocks {
            for half in golden.halves { bytes[block * golden.bytes + half] &= 0xBF }
        }
        return bytes
    }

    @Test(arguments: try golden())
    private func `values equal those of the format's package bit for bit`(golden: Golden) throws {
        let type = try #require(GGUFTensorType(rawValue: golden.type))
        #expect(type.name == golden.name)
        #expect(type.blockSize == golden.numbers)
        #expect(type.blockBytes == golden.bytes)
        var values = [Float](repeating: .nan, count: golden.blocks * golden.numbers)
        #expect(eft_gguf_values(golden.type, golden.blocks, blocks(golden), &values))
        let reader = try SafetensorsFile(path: Fixtures.path("gguf/types/types.safetensors"))
        let first = try reader.floats(of: golden.name)
        #expect(Array(values[..<golden.numbers]) == first)
        var digest = SHA256()
        values.withUnsafeBytes { digest.update($0) }
        #expect(digest.finish().hex == golden.sha256)
    }

    @Test func `types without a definition are refused`() {
        var value: Float = 0
        for type in [UInt32(0), 1, 4, 9, 15, 30, 41, 42, .max] {
            #expect(!eft_gguf_values(type, 0, [UInt8](), &value))
        }
    }
}
