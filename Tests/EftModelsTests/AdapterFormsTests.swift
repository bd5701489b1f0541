// SPDX-License-Identifier: Apache-2.0
// Forms of LoRA adapters other than plain ones, against PEFT.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor
import EftTestSupport
import Testing

@Suite struct AdapterFormsTests {
    private static func path(_ name: String) -> String { Fixtures.path("adapter-forms/\(name)") }

    private func model(_ name: String) throws -> GoldenModel {
        let facts = try ConfigFile.read(Self.path(name) + "/case.json")
        return try GoldenModel(
            facts.required("base").string(), golden: "adapter-forms/\(name)",
            adapter: Self.path(name) + "/adapter")
    }

    @Test(arguments: [
        "dora", "dora-bias", "dora-nf4", "pissa", "pissa-rslora", "olora", "embedding",
        "embedding-tied",
    ])
    func `logits equal those of PEFT`(_ name: String) throws {
        let model = try model(name)
        let slot = try AdapterFile.load(Self.path(name) + "/adapter", into: model.decoder)
        for index in 0..<3 {
            let ids = try #require(try model.ids(index))
            let expected = try model.golden.floats(of: "logits_\(index)")
            #expect(
                relativeError(try model.logits([ids], slots: [slot]), expected)
                    < (name.hasSuffix("nf4") ? 1e-3 : 1e-4))
        }
    }

    @Test(arguments: ["dora", "dora-bias", "embedding", "embedding-tied"], [true, false])
    func `gradients equal PyTorch's`(_ name: String, _ checkpointing: Bool) throws {
        let decoder = try model(name).decoder
        let slot = try AdapterFile.load(Self.path(name) + "/adapter", into: decoder)
        for linear in decoder.linears {
            try linear.adapters[slot]?.makeTrainable(
                prefix: "base_model.model." + linear.name, ledger: nil)
        }
        try decoder.embeddingAdapters[slot]?.makeTrainable(
            prefix: "base_model.model.model.embed_tokens", ledger: nil)
        let golden = try CheckpointFolder.open(Self.path(name) + "/training.safetensors")
        let batch = try GradientGoldenTests.Batch(golden)
        let (loss, found) = try GradientGoldenTests.gradients(
            decoder, batch, slots: [slot], checkpointing: checkpointing)
        #expect(abs(loss - (try golden.floats(of: "loss"))[0]) < 1e-4 * abs(loss))
        let count = try GradientGoldenTests.compareAdapters(found, golden)
        #expect(count == decoder.parameters.count)
    }

    @Test(arguments: ["dora", "dora-bias", "dora-nf4"])
    func `lengths begin as the norms of the base's rows`(_ name: String) throws {
        let decoder = try model(name).decoder
        let golden = try CheckpointFolder.open(Self.path(name) + "/start.safetensors")
        var compared = 0
        try decoder.forEachLayer { layer, backend in
            for linear in layer.linears {
                let tensor = "base_model.model." + linear.name + Magnitude.suffix
                guard golden.find(tensor) != nil else { continue }
                let adapter = try LoRA(
                    inputs: linear.weight.inputs, outputs: linear.weight.outputs, rank: 2,
                    scale: 1, dropout: 0, hasMagnitude: true, ledger: nil)
                adapter.beginMagnitude(linear.weight, backend)
                let values = try #require(adapter.magnitude).values
                let found = Array(
                    UnsafeBufferPointer(start: values.floats, count: values.floatCount))
                #expect(relativeError(found, try golden.floats(of: tensor)) < 1e-3)
                compared += 1
            }
        }
        #expect(compared == golden.tensors.count && compared > 0)
    }

    @Test func `rows of one batch with other adapters and none keep their bits`() throws {
        let model = try GoldenModel("models/gqa-tied", golden: "adapter-forms/dora")
        let plain = try AdapterFile.load(
            Fixtures.path("lora/gqa-tied/adapter"), into: model.decoder)
        let dora = try AdapterFile.load(Self.path("dora") + "/adapter", into: model.decoder)
        let ids = try #require(try model.ids(1))
        func alone(_ slots: [Int]) throws -> [Float] { try model.logits([ids], slots: slots) }
        let expected = try alone([]) + alone([dora]) + alone([plain]) + alone([dora])
        let count = ids.count
        func segment(_ index: Int, _ slot: Int) -> AdapterSegment {
            AdapterSegment(rows: index * count..<(index + 1) * count, slots: [slot])
        }
        let batch = DecoderBatch(
            tokens: ids + ids + ids + ids,
            runs: (0..<4).map {
                DecoderBatch.Run(sequence: $0, rows: $0 * count..<($0 + 1) * count)
            }, adapterSegments: [segment(1, dora), segment(2, plain), segment(3, dora)])
        #expect(try model.logits(batch) == expected)
        #expect(try alone([dora]) != alone([plain]) && alone([dora]) != alone([]))
    }

    @Test func `what is saved is what was loaded`() throws {
        for name in ["dora", "dora-bias", "embedding", "embedding-tied"] {
            let decoder = try model(name).decoder
            let adapter = Self.path(name) + "/adapter"
            let slot = try AdapterFile.load(adapter, into: decoder)
            let folder = try TemporaryFolder()
            let config = try AdapterConfig.read(folder: adapter)
            try AdapterFile.save(decoder, slot: slot, config: config, to: folder.path)
            let (old, new) = try (
                CheckpointFolder.open(adapter, kind: .adapter),
                CheckpointFolder.open(folder.path, kind: .adapter)
            )
            #expect(Set(old.tensors.map(\.name)) == Set(new.tensors.map(\.name)))
            for info in old.tensors {
                #expect(try old.floats(of: info.name) == new.floats(of: info.name))
            }
            #expect(try AdapterConfig.read(folder: folder.path).json == config.json)
        }
    }

    @Test(arguments: StoredForm.allCases, [Float(0), 0.1])
    func `streamed layers change no bit of DoRA's gradients`(
        _ form: StoredForm, _ dropout: Float
    ) throws {
        let model = try StreamModel(form)
        func gradients(streamed: Int) throws -> (losses: [Float], all: [Float]) {
            let decoder = try model.decoder(streamed: streamed)
            try decoder.attachAdapter(dora: true, dropout: dropout)
            return try decoder.gradients(passes: 2, checkpointing: true)
        }
        let (resident, streamed) = (try gradients(streamed: 0), try gradients(streamed: 5))
        #expect(resident.losses == streamed.losses && resident.all == streamed.all)
        #expect(resident.losses.allSatisfy(\.isFinite) && resident.all.contains { $0 != 0 })
    }

    /// A folder of PEFT's with some settings changed.
    private func adapter(_ changes: [(String, String)]) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        let source = Fixtures.path("lora/gqa-tied/adapter/")
        try FileSystem.copy(
            source + "adapter_model.safetensors", to: folder.file("adapter_model.safetensors"))
        var object = try ConfigFile.read(source + "adapter_config.json").object()
        for (key, json) in changes { object[key] = try JSONParser.parse(json) }
        try folder.write("adapter_config.json", JSONWriter.text(ConfigNode(.object(object))))
        return folder
    }

    @Test(arguments: [
        ("peft_type", "\"LOHA\"", "LOHA"), ("bias", "\"all\"", "bias: all"),
        ("bias", "\"lora_only\"", "bias: lora_only"),
        ("use_qalora", "true", "use_qalora"), ("lora_bias", "true", "lora_bias"),
        ("use_bdlora", "{\"nblocks\": 2}", "use_bdlora"),
        ("alora_invocation_tokens", "[5, 6]", "alora_invocation_tokens"),
        ("arrow_config", "{\"top_k\": 3}", "arrow_config"),
        ("layer_replication", "[[0, 2], [1, 2]]", "layer_replication"),
        ("megatron_config", "{\"tensor_model_parallel_size\": 2}", "megatron_config"),
        ("modules_to_save", "[\"score\"]", "score"),
        ("init_lora_weights", "\"pissa_niter_4\"", "path_initial_model_for_weight_conversion"),
        ("init_lora_weights", "\"olora\"", "path_initial_model_for_weight_conversion"),
        ("init_lora_weights", "\"corda\"", "path_initial_model_for_weight_conversion"),
        ("init_lora_weights", "\"lora_ga\"", "path_initial_model_for_weight_conversion"),
    ])
    func `what would be computed wrongly is refused by its name`(
        _ key: String, _ value: String, _ word: String
    ) throws {
        let folder = try adapter([(key, value)])
        let error = try #require(throws: ModelError.self) {
            try AdapterConfig.read(folder: folder.path)
        }
        #expect(error.code == .unsupported && error.description.contains(word), "\(error)")
    }

    @Test func `an embedding and a head that share A and B are refused`() throws {
        let folder = try adapter([
            ("ensure_weight_tying", "true"), ("target_modules", "[\"q_proj\", \"embed_tokens\"]"),
        ])
        let error = try #require(throws: ModelError.self) {
            try AdapterConfig.read(folder: folder.path)
        }
        #expect(error.code == .unsupported && error.description.contains("ensure_weight_tying"))
    }

    @Test(arguments: [
        ("exclude_modules", "[\"lm_head\"]"), ("layers_pattern", "\"layers\""),
        ("layers_to_transform", "[0, 1]"), ("megatron_core", "\"megatron.core\""),
        ("runtime_config", "{\"ephemeral_gpu_offload\": false}"), ("qalora_group_size", "16"),
        ("init_lora_weights", "\"gaussian\""), ("init_lora_weights", "\"eva\""),
        ("init_lora_weights", "\"orthogonal\""), ("init_lora_weights", "false"),
        ("eva_config", "{\"rho\": 2.0}"), ("loftq_config", "{\"loftq_bits\": 4}"),
        ("target_parameters", "[]"), ("ensure_weight_tying", "true"),
        ("rank_pattern", "{}"), ("auto_mapping", "null"), ("revision", "\"main\""),
    ])
    func `settings that change nothing of what is loaded pass`(
        _ key: String, _ value: String
    ) throws {
        let folder = try adapter([(key, value)])
        let model = try GoldenModel("models/gqa-tied", golden: "lora/gqa-tied")
        let slot = try AdapterFile.load(folder.path, into: model.decoder)
        let ids = try #require(try model.ids(1))
        let expected = try model.golden.floats(of: "logits_1")
        #expect(relativeError(try model.logits([ids], slots: [slot]), expected) < 1e-4)
    }

    @Test func `an adapter without its lengths, or with some on a head, is refused`() throws {
        let folder = try TemporaryFolder()
        for name in ["adapter_config.json", "adapter_model.safetensors"] {
            try FileSystem.copy(
                Fixtures.path("lora/gqa-tied/adapter/\(name)"), to: folder.file(name))
        }
        let config = folder.file("adapter_config.json")
        let text = String(decoding: try FileSystem.read(config), as: UTF8.self)
        try folder.write(
            "adapter_config.json",
            text.replacing("\"use_dora\": false", with: "\"use_dora\": true"))
        let error = try #require(throws: ModelError.self) {
            try AdapterFile.load(folder.path, into: GoldenModel("models/gqa-tied").decoder)
        }
        #expect(error.code == .missing && error.description.contains("lora_magnitude_vector"))
    }
}
