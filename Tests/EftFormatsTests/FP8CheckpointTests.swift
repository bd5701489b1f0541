// SPDX-License-Identifier: Apache-2.0
// 8-bit floating point weights against torch's numbers.
import EftFormats
import EftTensor
import EftTestSupport
import Testing

struct FP8CheckpointTests {
    private static let path = Fixtures.path("fp8/weights.safetensors")

    /// The fixture as a folder whose config.json says that its weights are in FP8.
    private func open(
        _ block: String = "[128, 128]", file: String = path
    ) throws -> (folder: TemporaryFolder, checkpoint: any CheckpointReader) {
        let folder = try TemporaryFolder()
        try FileSystem.copy(file, to: folder.file("model.safetensors"))
        try folder.write(
            "config.json",
            #"{"quantization_config": {"quant_method": "fp8", "weight_block_size": \#(block)}}"#)
        return (folder, try CheckpointFolder.open(folder.path))
    }

    @Test(arguments: ["block", "half", "row", "flat", "one", "none"])
    func `numbers are torch's, bit for bit`(name: String) throws {
        let (_, checkpoint) = try open()
        let expected = try checkpoint.bytes(of: "expected.\(name)")
        let info = try checkpoint.tensor("\(name).weight")
        #expect(info.dtype == .bf16)
        #expect(try checkpoint.bytes(of: info.name) == expected)
        // Pieces that begin and end within a row, and within a block.
        let count = expected.count / 2
        for range in [1..<2, 3..<count - 1, count / 3..<count / 2, count - 5..<count, 7..<7] {
            var piece = [UInt8](repeating: 0, count: range.count * 2)
            try piece.withUnsafeMutableBytes {
                try checkpoint.read(
                    info.name, bytes: range.lowerBound * 2..<range.upperBound * 2, into: $0)
            }
            #expect(piece == Array(expected[range.lowerBound * 2..<range.upperBound * 2]))
        }
    }

    @Test func `scales are not shown`() throws {
        let (_, checkpoint) = try open()
        let names = checkpoint.tensors.map(\.name)
        #expect(names.contains("row.weight") && !names.contains { $0.hasSuffix("scale") })
        #expect(checkpoint.find("row.weight_scale") == nil)
        #expect(checkpoint.find("row.input_scale") == nil)
        #expect(checkpoint.place(of: "row.weight") == nil)
    }

    @Test func `all bytes stand for torch's numbers`() throws {
        let stored = try SafetensorsFile(path: Self.path)
        let expected = try stored.floats(of: "bytes")
        let folder = try TemporaryFolder()
        let writer = try SafetensorsWriter(
            folder: folder.path,
            tensors: [
                TensorInfo(name: "w.weight", dtype: .f8e4m3, shape: Shape(16, 16)),
                TensorInfo(name: "w.weight_scale", dtype: .f32, shape: Shape(1)),
            ])
        try writer.write("w.weight", (0...255).map { UInt8($0) })
        try [Float(1)].withUnsafeBytes { try writer.write("w.weight_scale", $0) }
        _ = try writer.finish()
        try folder.write(
            "config.json", #"{"quantization_config": {"quant_method": "fp8"}}"#)
        let values = try CheckpointFolder.open(folder.path).floats(of: "w.weight")
        for (value, number) in zip(values, expected) {
            #expect(value.isNaN ? number.isNaN : value == number)
        }
    }

    @Test(arguments: ["[64, 128]", "[128, 0]", "[-1, 128]", "[128, 90]"])
    func `blocks that do not fit are refused`(block: String) throws {
        let error = #expect(throws: FormatError.self) { try open(block) }
        #expect(error?.code == .damaged)
    }

    @Test func `weights without scales are refused`() throws {
        let folder = try TemporaryFolder()
        let writer = try SafetensorsWriter(
            folder: folder.path,
            tensors: [TensorInfo(name: "w.weight", dtype: .f8e4m3, shape: Shape(2, 2))])
        try writer.write("w.weight", [0, 0, 0, 0])
        _ = try writer.finish()
        try folder.write(
            "config.json", #"{"quantization_config": {"quant_method": "fp8"}}"#)
        let error = #expect(throws: FormatError.self) { try CheckpointFolder.open(folder.path) }
        #expect(error?.code == .missing && error?.message.contains("weight_scale_inv") == true)
    }
}
