// SPDX-License-Identifier: Apache-2.0
// Folders in GPTQ, AWQ, compressed-tensors and FP8 against transformers on the numbers that they stand for.
import EftFormats
import EftModels
import EftQuant
import EftTensor
import EftTestSupport
import Testing

struct QuantizedFolderTests {
    static let forms = ["gptq", "awq", "compressed", "fp8", "hqq"]

    @Test(arguments: forms)
    func `logits equal those of the numbers`(form: String) throws {
        let model = try GoldenModel("quantized-models/\(form)")
        var index = 0
        while let ids = try model.ids(index) {
            let expected = try model.golden.floats(of: "logits_\(index)")
            #expect(relativeError(try model.logits([ids]), expected) < 1e-4, "sequence \(index)")
            index += 1
        }
        #expect(index == 2)
    }

    @Test(arguments: InstructionSet.available)
    func `an order of inputs of its own is followed on every instruction set`(
        level: InstructionSet
    ) throws {
        let model = try GoldenModel("quantized-models/gptq", instructionSet: level)
        let ids = try #require(try model.ids(1))
        let expected = try model.golden.floats(of: "logits_1")
        #expect(relativeError(try model.logits([ids]), expected) < 1e-4)
    }

    @Test func `integers are quantized already, and FP8 is not`() throws {
        for form in Self.forms {
            let folder = try ModelFolder.open(Fixtures.path("quantized-models/\(form)"))
            #expect(try folder.isDense() == (form == "fp8"), "\(form)")
        }
        #expect(throws: FormatError.self) {
            try GoldenModel(
                "quantized-models/awq",
                options: LoadOptions(linears: .nf4(doubleQuantization: true)))
        }
        _ = try GoldenModel(
            "quantized-models/fp8", options: LoadOptions(linears: .nf4(doubleQuantization: true)))
    }

    @Test func `HQQ's numbers are those of its package, bit for bit`() throws {
        let folder = Fixtures.path("quantized-models/hqq")
        let checkpoint = try CheckpointFolder.open(folder)
        let golden = try CheckpointFolder.open(FileSystem.join(folder, "golden.safetensors"))
        let layers = golden.tensors.filter { $0.name.hasSuffix("_proj.weight") }
        #expect(layers.count == 7)
        for info in layers {
            let (outputs, inputs) = (info.shape.dims[0], info.shape.dims[1])
            let source = try LinearSource(
                module: String(info.name.dropLast(".weight".count)), checkpoint: checkpoint,
                inputs: inputs, outputs: outputs)
            let expected = try golden.floats(of: info.name)
            for rows in [0..<outputs, 1..<2, outputs / 2..<outputs] {
                var found = [Float](repeating: .nan, count: rows.count * inputs)
                try found.withUnsafeMutableBufferPointer {
                    try source.dequantize(outputs: rows, into: $0)
                }
                #expect(
                    found[...] == expected[rows.lowerBound * inputs..<rows.upperBound * inputs],
                    "\(info.name) \(rows)")
            }
        }
    }

    @Test(arguments: ["W_q", "scale", "zero"])
    func `HQQ's tensors of other sizes are errors by name`(_ suffix: String) throws {
        let folder = try TemporaryFolder()
        let source = Fixtures.path("quantized-models/hqq")
        try FileSystem.copy(
            FileSystem.join(source, "config.json"), to: folder.file("config.json"))
        let stored = try SafetensorsFile(path: FileSystem.join(source, "model.safetensors"))
        let name = "model.layers.0.mlp.up_proj." + suffix
        let tensors = try stored.tensors.map { info in
            try info.name == name
                ? TensorInfo(
                    name: name, dtype: info.dtype,
                    shape: Shape(info.shape.dims[0] - 1, info.shape.dims[1])) : info
        }
        let writer = try SafetensorsWriter(folder: folder.path, tensors: tensors)
        for info in stored.tensors {
            let bytes = try stored.bytes(of: info.name)
            let count = tensors.first { $0.name == info.name }?.byteCount ?? 0
            try writer.write(info.name, Array(bytes.prefix(count)))
        }
        _ = try writer.finish()
        let error = #expect(throws: FormatError.self) {
            try DecoderLoader(folder: ModelFolder.open(folder.path), options: LoadOptions())
                .load(backend: CPUBackend(threads: 1))
        }
        #expect(error?.tensor?.contains("up_proj") == true)
    }

    /// A copy of a folder whose tensors are changed.
    private func copy(
        _ form: String, _ change: (String, inout [UInt8]) -> Void
    ) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        let source = Fixtures.path("quantized-models/\(form)")
        try FileSystem.copy(
            FileSystem.join(source, "config.json"), to: folder.file("config.json"))
        let stored = try SafetensorsFile(path: FileSystem.join(source, "model.safetensors"))
        let writer = try SafetensorsWriter(folder: folder.path, tensors: stored.tensors)
        for info in stored.tensors {
            var bytes = try stored.bytes(of: info.name)
            change(info.name, &bytes)
            try writer.write(info.name, bytes)
        }
        _ = try writer.finish()
        return folder
    }

    @Test func `a bias that the configuration does not name is an error, not of zeros`() throws {
        let folder = try copy("gptq") { name, bytes in
            if name.hasSuffix("layers.1.self_attn.k_proj.bias") { bytes[5] = 60 }
        }
        let error = #expect(throws: ModelError.self) {
            try DecoderLoader(folder: ModelFolder.open(folder.path), options: LoadOptions())
                .load(backend: CPUBackend(threads: 1))
        }
        #expect(error?.code == .mismatch && error?.message.contains("k_proj.bias") == true)
    }

    @Test(arguments: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])
    func `a fault in any part of a layer is an error`(part: String) throws {
        let folder = try copy("gptq") { name, bytes in
            // An infinite scale.
            if name.contains("layers.0."), name.hasSuffix(part + ".scales") { bytes[1] = 0x7C }
            if name.contains("layers.0."), name.hasSuffix(part + ".scales") { bytes[0] = 0 }
        }
        let error = #expect(throws: FormatError.self) {
            try DecoderLoader(folder: ModelFolder.open(folder.path), options: LoadOptions())
                .load(backend: CPUBackend(threads: 1))
        }
        #expect(error?.tensor?.contains(part) == true)
    }
}
