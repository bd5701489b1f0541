// SPDX-License-Identifier: Apache-2.0
// Experts that stand in one tensor: seen apart, and written together again.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor
import EftTestSupport
import Testing

struct StackedCheckpointTests {
    private static let names = [
        "granitemoe", "granitemoeshared", "gpt-oss", "gpt-oss-mxfp4", "llama4",
    ]

    private static func folder(_ name: String) throws -> ModelFolder {
        try ModelFolder.open(Fixtures.path("architectures/\(name)"))
    }

    @Test func `a matrix of an expert has the numbers of the tensor of all`() throws {
        let folder = try Self.folder("gpt-oss")
        let raw = try CheckpointFolder.open(folder.path)
        let shown = try #require(folder.checkpoint)
        let (hidden, inner) = (
            folder.description.shape.hidden, folder.description.shape.intermediate
        )
        let path = "model.layers.1.mlp.experts."
        let stack = try raw.floats(of: path + "gate_up_proj")
        let found = try shown.floats(of: path + "3.gate_up_proj.weight")
        #expect(found.count == 2 * inner * hidden)
        for output in 0..<2 * inner {
            let stored = output < inner ? 2 * output : 2 * (output - inner) + 1
            for input in 0..<hidden {
                let place = (3 * hidden + input) * 2 * inner + stored
                #expect(found[output * hidden + input] == stack[place])
            }
        }
        let biases = try raw.floats(of: path + "gate_up_proj_bias")
        let bias = try shown.floats(of: path + "3.gate_up_proj.bias")
        for output in 0..<inner {
            #expect(bias[output] == biases[3 * 2 * inner + 2 * output])
            #expect(bias[inner + output] == biases[3 * 2 * inner + 2 * output + 1])
        }
        #expect(shown.find(path + "gate_up_proj") == nil)
        #expect(shown.tensors.contains { $0.name == path + "4.down_proj.weight" })
    }

    /// 0.5 times the first code of a block is 1, and so on; see `MXFP4`.
    @Test func `blocks are the numbers that they mean`() throws {
        let folder = try Self.folder("gpt-oss-mxfp4")
        let raw = try CheckpointFolder.open(folder.path)
        let shown = try #require(folder.checkpoint)
        let path = "model.layers.0.mlp.experts."
        let codes = try raw.bytes(of: path + "down_proj_blocks")
        let scales = try raw.bytes(of: path + "down_proj_scales")
        let values: [Float] = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
        for expert in 0..<3 {
            let found = try shown.floats(of: path + "\(expert).down_proj.weight")
            #expect(found.count == 32 * 32)
            for place in found.indices {
                let index = expert * 1024 + place
                let byte = codes[index / 2]
                let code = place % 2 == 0 ? byte & 15 : byte >> 4
                let value = values[Int(code & 7)] * (code & 8 == 0 ? 1 : -1)
                let scale = Float(
                    sign: .plus, exponent: Int(scales[index / 32]) - 127, significand: 1)
                #expect(found[place] == value * scale)
            }
        }
    }

    @Test func `experts in blocks stay so in memory, with the same numbers`() throws {
        let folder = try Self.folder("gpt-oss-mxfp4")
        let shown = try #require(folder.checkpoint)
        let backend = try CPUBackend(threads: 2, precision: .f32)
        let experts = folder.description.linears(layer: 1).filter { $0.expert != nil }
        #expect(!experts.isEmpty)
        for linear in experts {
            let source = try LinearSource(
                module: linear.name, checkpoint: shown, inputs: linear.inputs,
                outputs: linear.outputs)
            #expect(source.formName == "MXFP4")
            let weight = try source.load(as: .asStored, backend: backend)
            let panels = Double(weight.layout.panels * 16) * Double(linear.inputs)
            let held = weight.layout.byteCount - weight.layout.tableBytes
            #expect(Double(held) * 8 == 4.25 * panels)
            let numbers = try shown.floats(of: linear.name + ".weight")
            let out = try Matrix(rows: linear.outputs, columns: linear.inputs, ledger: nil)
            backend.gather(weight, rows: (0..<linear.outputs).map(Int32.init), into: out)
            #expect(out.array == numbers)
        }
    }

    @Test(arguments: names)
    func `any part of the bytes is that of the whole`(_ name: String) throws {
        let shown = try #require(try Self.folder(name).checkpoint)
        let parts = shown.tensors.filter { $0.name.contains(".experts.") }
        #expect(!parts.isEmpty)
        for info in parts {
            let whole = try shown.bytes(of: info.name)
            for (first, count) in [(0, 1), (3, 5), (info.byteCount / 2 - 7, 30), (0, whole.count)] {
                let range = first..<min(first + count, whole.count)
                var part = [UInt8](repeating: 0, count: range.count)
                try part.withUnsafeMutableBytes {
                    try shown.read(info.name, bytes: range, into: $0)
                }
                #expect(part == Array(whole[range]), "\(info.name)")
            }
        }
    }

    @Test(arguments: [
        "granitemoe", "granitemoeshared", "gpt-oss", "glm4-moe", "ernie4-5-moe", "phi3",
        "falcon-new",
        "qwen3-moe-mixed", "gpt2", "gpt-bigcode", "opt", "llama4",
    ])
    func `a model that is written has the tensors that it was read from`(_ name: String) throws {
        let source = try Self.folder(name)
        let backend = try CPUBackend(threads: 2, precision: .f32)
        let decoder = try DecoderLoader(folder: source, options: LoadOptions(trained: .all))
            .load(backend: backend)
        let output = try TemporaryFolder()
        try DecoderSaver(decoder: decoder, backend: backend, dtype: .f32).save(to: output.path)
        let written = try CheckpointFolder.open(output.path)
        let original = try CheckpointFolder.open(source.path)
        #expect(Set(written.tensors.map(\.name)) == Set(original.tensors.map(\.name)))
        for info in original.tensors {
            #expect(try written.tensor(info.name).shape == info.shape, "\(info.name)")
            #expect(
                try written.floats(of: info.name) == original.floats(of: info.name), "\(info.name)")
        }
    }

    @Test func `a stack of another shape is refused with its name`() throws {
        let source = try Self.folder("gpt-oss")
        let folder = try TemporaryFolder()
        let config = try ConfigFile.read(Fixtures.path("architectures/gpt-oss/config.json"))
        var object = try config.object()
        object["num_local_experts"] = ConfigNode(6)
        try folder.write("config.json", JSONWriter.text(ConfigNode(object)))
        try FileSystem.copy(
            FileSystem.join(source.path, "model.safetensors"), to: folder.file("model.safetensors"))
        let error = try #require(throws: FormatError.self) { try ModelFolder.open(folder.path) }
        #expect(error.description.contains("experts.gate_up_proj"))
    }
}
