// SPDX-License-Identifier: Apache-2.0
// Altered indexes of sharded checkpoints: refused or read, never a crash.
import EftConfig
import EftFormats
import EftTensor
import EftTestSupport
import Testing

struct IndexMutationTests {
    @Test(arguments: [
        ("sharded", "model.safetensors.index.json"),
        ("bin-sharded", "pytorch_model.bin.index.json"),
    ])
    func `no altered index makes the reader crash`(model: String, name: String) throws {
        let source = Fixtures.path("models/" + model)
        let folder = try TemporaryFolder()
        for file in try FileSystem.list(source) where file != name {
            try folder.link(file, to: FileSystem.join(source, file))
        }
        let original = try FileSystem.read(FileSystem.join(source, name))
        let document = try JSONParser.parse(original)
        var random = SplitMix64(seed: 21)
        var accepted = 0
        let rounds = 800
        for round in 0..<rounds {
            let bytes =
                round % 2 == 0
                ? random.mutated(original, headBias: original.count)
                : Array(JSONWriter.text(random.mutated(document)).utf8)
            _ = try folder.plainWrite(name, bytes)
            do {
                let checkpoint = try CheckpointFolder.open(folder.path)
                for tensor in checkpoint.tensors { _ = try checkpoint.bytes(of: tensor.name) }
                accepted += 1
            } catch {
                #expect(!error.message.isEmpty)
            }
        }
        #expect(accepted > 0 && accepted < rounds)
    }
}
