// SPDX-License-Identifier: Apache-2.0
// Quantized folders written as the numbers that they stand for.
import EftConfig
import EftConversion
import EftFormats
import EftModels
import EftQuant
import EftTensor
import EftTestSupport
import Testing

struct DequantizeTests {
    private let backend: CPUBackend

    init() throws { backend = try CPUBackend(threads: 2) }

    @Test(arguments: [
        "quantized-models/gptq", "quantized-models/awq", "quantized-models/compressed",
        "quantized-models/hqq",
        "exl2-model", "nf4-model/bnb-4bit", "int8-model/bnb-8bit",
    ])
    func `all weights come out as the numbers that codes stand for`(name: String) throws {
        let folder = try TemporaryFolder()
        let source = Fixtures.path(name)
        try AdapterMerger(
            base: source, adapter: nil, output: folder.file("out"),
            options: AdapterMerger.Options(dtype: .f32), backend: backend
        ).run()
        let (old, new) = (try ModelFolder.open(source), try ModelFolder.open(folder.file("out")))
        #expect(try new.isDense())
        #expect(try new.config.optional("quantization_config") == nil)
        // What AutoGPTQ writes for layers without a bias is left behind.
        if name.hasSuffix("gptq") {
            #expect(new.checkpoint?.tensors.contains { $0.name.hasSuffix(".bias") } == false)
        }
        #expect(new.checkpoint?.tensors.contains { $0.name.hasSuffix(".nbits") } == false)
        for linear in old.description.linears(layer: 1) {
            func values(_ model: ModelFolder) throws -> [Float] {
                let checkpoint = try #require(model.checkpoint)
                var values = [Float](repeating: .nan, count: linear.inputs * linear.outputs)
                let source = try LinearSource(
                    module: linear.name, checkpoint: checkpoint, inputs: linear.inputs,
                    outputs: linear.outputs)
                try values.withUnsafeMutableBufferPointer {
                    try source.dequantize(outputs: 0..<linear.outputs, into: $0)
                }
                return values
            }
            #expect(try values(old) == values(new), "\(linear.name)")
        }
    }

    @Test func `FP8 is converted to what it stands for, without its description`() throws {
        let folder = try TemporaryFolder()
        let source = Fixtures.path("quantized-models/fp8")
        try CheckpointConverter(
            input: source, output: folder.file("out"), options: CheckpointConverter.Options(),
            backend: backend
        ).run()
        let (old, new) = (
            try CheckpointFolder.open(source), try CheckpointFolder.open(folder.file("out"))
        )
        #expect(old.tensors.map(\.name).sorted() == new.tensors.map(\.name).sorted())
        for info in new.tensors {
            #expect(try new.bytes(of: info.name) == old.bytes(of: info.name))
        }
        let config = try ConfigFile.read(folder.file("out/config.json"))
        #expect(try config.optional("quantization_config") == nil)
    }
}
