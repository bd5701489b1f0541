// SPDX-License-Identifier: Apache-2.0
// Altered config.json files and PEFT adapter folders: refused or used, never a crash.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor
import EftTestSupport
import Testing

struct ConfigMutationTests {
    static let models = [
        "models/plain", "models/bias", "models/gqa-tied", "models/rope-dynamic",
        "models/rope-llama3", "models/rope-yarn-explicit", "architectures/qwen3",
        "architectures/mixtral",
    ]

    /// Computes all that a description is asked for before any weight is read.
    private func use(_ model: DecoderDescription) {
        _ = (model.parameterCount, model.linearWeightCount, model.linears(layer: 0))
        let need = GenerationNeed(
            contextLength: model.contextLength, sequences: 4, adapters: AdapterWidths(rank: 64))
        _ = need.memory(model, part: model.wholePart).total
        let training = TrainingNeed(
            rows: model.contextLength, sequences: 4,
            adapters: AdapterWidths(rank: 64, changedInputs: 7),
            checkpointing: .memory)
        let shapes = TrainedShapes(layers: [[.vector(model.parameterCount)]])
        _ = OptimizerNeed.adamW.totalStateBytes(shapes)
        _ = training.byteCount(model, part: model.wholePart)
        if model.shape.headDim < 4096 {
            #expect(
                model.rotary.inverseFrequencies(length: 2 * model.contextLength).count
                    == model.shape.headDim / 2)
        }
        guard model.layers < 200 else { return }
        for format in [PlannedFormat.dense(.f32), .nf4(ends: .bf16), .exl2(bits: 4, headBits: 6)] {
            do {
                #expect(try DecoderLayouts(model, format: format).byteCount > 0)
            } catch {
                #expect(error is ModelError, "\(error)")
            }
        }
    }

    @Test(arguments: models)
    func `no altered config.json makes it crash`(_ name: String) throws {
        let document = try JSONParser.parse(
            FileSystem.read(Fixtures.path(name + "/config.json")))
        var random = SplitMix64(seed: UInt64(name.utf8.count) + 51)
        var (used, refused) = (0, 0)
        for round in 0..<1500 {
            do {
                use(try ArchitectureRegistry.describe(ConfigCursor(random.mutated(document))))
                used += 1
            } catch {
                #expect(error is ConfigError || error is ModelError, "round \(round): \(error)")
                refused += 1
            }
        }
        #expect(used > 100 && refused > 100)
    }

    @Test(arguments: [
        #""num_hidden_layers": 16777216"#, #""num_hidden_layers": 4097"#,
        #""head_dim": 1048576"#, #""hidden_size": 1048577"#, #""intermediate_size": 16777216"#,
        #""vocab_size": 16777217"#,
        #""num_hidden_layers": 4096, "intermediate_size": 16385"#,
        #""num_attention_heads": 1048576, "head_dim": 1048576"#,
    ])
    func `extents whose products would overflow are refused`(_ keys: String) throws {
        let text = """
            {"model_type": "llama", "vocab_size": 100, "hidden_size": 64, "intermediate_size": 96,
             "num_hidden_layers": 2, "num_attention_heads": 4}
            """
        let (base, changes) = (try JSONParser.parse(text), try JSONParser.parse("{\(keys)}"))
        var object = try ConfigCursor(base).object()
        for (key, node) in try ConfigCursor(changes).object().entries { object[key] = node }
        let error = #expect(throws: ConfigError.self) {
            try ArchitectureRegistry.describe(ConfigCursor(ConfigNode(object)))
        }
        #expect(error?.code == .badValue)
    }

    @Test(arguments: [
        #""num_local_experts": 0"#, #""num_local_experts": 4097"#, #""num_experts_per_tok": 0"#,
        #""num_experts_per_tok": 9"#, #""num_hidden_layers": 4096, "num_local_experts": 4096"#,
        #""num_local_experts": 4096, "intermediate_size": 65537"#,
    ])
    func `numbers of experts that no model has are refused`(_ keys: String) throws {
        let text = """
            {"model_type": "mixtral", "vocab_size": 100, "hidden_size": 64, "intermediate_size": 96,
             "num_hidden_layers": 2, "num_attention_heads": 4, "num_local_experts": 8,
             "num_experts_per_tok": 2}
            """
        var object = try ConfigCursor(try JSONParser.parse(text)).object()
        let changes = try ConfigCursor(try JSONParser.parse("{\(keys)}")).object()
        let plain = try ArchitectureRegistry.describe(ConfigCursor(ConfigNode(object)))
        #expect(plain.linears(layer: 1).count == 4 + 1 + 8 * 3)
        for (key, node) in changes.entries { object[key] = node }
        let error = #expect(throws: ConfigError.self) {
            try ArchitectureRegistry.describe(ConfigCursor(ConfigNode(object)))
        }
        #expect(error?.code == .badValue)
    }

    // MARK: Adapters

    @Test func `no altered adapter makes it crash`() throws {
        let source = Fixtures.path("lora/gqa-tied/adapter")
        let config = try FileSystem.read(FileSystem.join(source, "adapter_config.json"))
        let document = try JSONParser.parse(config)
        let weights = try FileSystem.read(FileSystem.join(source, "adapter_model.safetensors"))
        let decoder = try GoldenModel("models/gqa-tied", golden: "lora/gqa-tied").decoder
        let folder = try TemporaryFolder()
        var random = SplitMix64(seed: 61)
        var (used, refused) = (0, 0)
        for round in 0..<600 {
            let settings =
                switch round % 3 {
                case 0: random.mutated(config, headBias: config.count)
                case 1: Array(JSONWriter.text(random.mutated(document)).utf8)
                default: config
                }
            _ = try folder.plainWrite("adapter_config.json", settings)
            _ = try folder.plainWrite(
                "adapter_model.safetensors",
                round % 3 == 2 ? random.mutated(weights, headBias: 3000) : weights)
            do {
                #expect(
                    try AdapterFile.extents(folder.path, description: decoder.description).rank > 0)
                _ = try AdapterFile.load(folder.path, into: decoder)
                used += 1
            } catch {
                #expect(
                    error is ConfigError || error is ModelError || error is FormatError
                        || error is TensorError, "round \(round): \(error)")
                refused += 1
            }
        }
        #expect(used > 30 && refused > 30)
    }

    @Test func `an adapter of impossible extents is refused`() throws {
        let folder = try TemporaryFolder()
        // An empty tensor takes no bytes, however long its other side.
        let info = try TensorInfo(
            name: "base_model.model.x.lora_A.weight", dtype: .f32,
            shape: Shape(checking: [1 << 60, 0]))
        let writer = try SafetensorsWriter(
            folder: folder.path, baseName: "adapter_model", tensors: [info])
        try writer.finish()
        try folder.write("adapter_config.json", "{\"r\": 4, \"lora_alpha\": 8}")
        let model = try ModelFolder.open(Fixtures.path("models/plain")).description
        let error = #expect(throws: ModelError.self) {
            try AdapterFile.extents(folder.path, description: model)
        }
        #expect(error?.code == .mismatch)
    }
}
