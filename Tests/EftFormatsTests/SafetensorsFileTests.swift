// SPDX-License-Identifier: Apache-2.0
// Reading safetensors files: right ones, and ones that lie.
import EftConfig
import EftFormats
import EftTensor
import EftTestSupport
import Testing

struct SafetensorsFileTests {
    private static let folder = "formats/safetensors-hostile"

    @Test func `reads every dtype and shape as the format's own library wrote it`() throws {
        let reader = try SafetensorsFile(
            path: Fixtures.path("formats/safetensors/dtypes.safetensors"))
        let json = try FileSystem.read(Fixtures.path("formats/safetensors/dtypes.json"))
        let golden = try ConfigCursor(JSONParser.parse(json))
        let names = try golden.object().keys
        #expect(Set(reader.tensors.map(\.name)) == Set(names))
        for name in names {
            let expected = try golden.required(name)
            let info = try reader.tensor(name)
            #expect(info.dtype.rawValue == (try expected.required("dtype").string()))
            #expect(
                info.shape.dims == (try expected.required("shape").elements().map { try $0.int() }))
            let bytes = try reader.bytes(of: name)
            #expect(hex(bytes) == (try expected.required("bytes").string()), "\(name)")
            #expect(try reader.withBytes(of: name) { Array($0) } == bytes)
        }
        #expect(reader.metadata == ["note": "naïve \"quoted\" ≤ 1"])
    }

    @Test func `a file without tensors is a checkpoint without tensors`() throws {
        let path = Fixtures.path("formats/safetensors/no-tensors.safetensors")
        #expect(try SafetensorsFile(path: path).tensors.isEmpty)
    }

    @Test(arguments: try Fixtures.list(folder).filter { $0.hasSuffix(".safetensors") })
    func `refuses a file that lies`(name: String) throws {
        let path = Fixtures.path("\(Self.folder)/\(name)")
        let error = #expect(throws: FormatError.self) { try SafetensorsFile(path: path) }
        #expect(error?.path == path)
        #expect(error?.code == (name.hasPrefix("unknown-dtype") ? .unsupported : .damaged))
    }

    @Test(arguments: [
        (#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#, 1, "cut off"),
        (#"{"a":{"dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,2]}}"#, 2, "takes"),
        (#"{"a":{"dtype":"U8","shape":2,"data_offsets":[0,2]}}"#, 2, "shape"),
        (#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,1,2]}}"#, 2, "pair"),
        (#"{"a":{"dtype":"U8","shape":[2.0],"data_offsets":[0,2]}}"#, 2, "natural numbers"),
        (#"{"a":{"dtype":8,"shape":[2],"data_offsets":[0,2]}}"#, 2, "dtype"),
        (#"{"a":[1]}"#, 2, "mapping"),
        (
            #"{"a":{"dtype":"I64","shape":[2305843009213693952],"data_offsets":[0,0]}}"#, 0,
            "64 bits"
        ),
        (#"{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}"#, 1, "whole bytes"),
        (#" {"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, 1, "begin with '{'"),
        ("{}", 3, "before the end"),
    ])
    func `says what is wrong with a header`(header: String, dataCount: Int, words: String) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("a.safetensors", file(header, dataCount: dataCount))
        let error = #expect(throws: FormatError.self) { try SafetensorsFile(path: path) }
        #expect(error?.message.contains(words) == true, "\(String(describing: error))")
    }

    @Test func `a zero extent makes the others harmless`() throws {
        let header =
            #"{"a":{"dtype":"I64","shape":[0,4611686018427387904,8],"data_offsets":[0,0]}}"#
        let folder = try TemporaryFolder()
        let reader = try SafetensorsFile(path: folder.write("a", file(header, dataCount: 0)))
        #expect(try reader.tensor("a").byteCount == 0)
        #expect(try reader.bytes(of: "a").isEmpty)
        #expect(try reader.withBytes(of: "a") { $0.count } == 0)
    }

    @Test func `tensors of foreign types are listed, and refused when read`() throws {
        let header = """
            {"b":{"dtype":"F8_E5M2","shape":[2,2],"data_offsets":[1,5]},
            "a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}
            """
        let folder = try TemporaryFolder()
        let reader = try SafetensorsFile(path: folder.write("a", file(header, dataCount: 5)))
        #expect(reader.tensors.map(\.name) == ["a"])
        #expect(reader.opaqueTensors.map(\.typeName) == ["F8_E5M2"])
        let error = #expect(throws: FormatError.self) { try reader.bytes(of: "b") }
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("F8_E5M2") == true)
        #expect(#expect(throws: FormatError.self) { try reader.bytes(of: "c") }?.code == .missing)
    }

    @Test func `parts of a tensor are read by bytes and by elements`() throws {
        let folder = try TemporaryFolder()
        let values = (0..<100_000).map { Float($0) * 0.5 }
        let info = try TensorInfo(name: "w", dtype: .f32, shape: Shape(100, 1000))
        let writer = try SafetensorsWriter(folder: folder.path, tensors: [info])
        try values.withUnsafeBytes { try writer.write("w", $0) }
        try writer.finish()
        let reader = try CheckpointFolder.open(folder.path)
        var part = [UInt8](repeating: 0, count: 4)
        try part.withUnsafeMutableBytes { try reader.read("w", bytes: 12..<16, into: $0) }
        #expect(part.withUnsafeBytes { $0.loadUnaligned(as: Float.self) } == 1.5)
        // More than one piece of the converter's scratch memory.
        var floats = [Float](repeating: 0, count: 90_001)
        try floats.withUnsafeMutableBufferPointer {
            try reader.readFloats("w", elements: 9_999..<100_000, into: $0)
        }
        #expect(floats == Array(values[9_999...]))
        reader.releasePages(of: "w")
        #expect(try reader.floats(of: "w") == values)
    }

    @Test func `no altered file makes the reader crash`() throws {
        let original = try FileSystem.read(
            Fixtures.path("formats/safetensors/dtypes.safetensors"))
        let folder = try TemporaryFolder()
        var accepted = 0
        var random = SplitMix64(seed: 7)
        for round in 0..<3000 {
            let bytes = random.mutated(original, headBias: 1500)
            let path = try folder.plainWrite("fuzz\(round % 4)", bytes)
            guard let reader = try? SafetensorsFile(path: path) else { continue }
            accepted += 1
            for tensor in reader.tensors { _ = try? reader.bytes(of: tensor.name) }
        }
        #expect(accepted > 0 && accepted < 3000)
    }

    private func file(_ header: String, dataCount: Int) -> [UInt8] {
        let length = UInt64(header.utf8.count)
        return (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + Array(header.utf8)
            + [UInt8](repeating: 0, count: dataCount)
    }

    private func hex(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
