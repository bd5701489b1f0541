// SPDX-License-Identifier: Apache-2.0
// Every architecture besides Llama against transformers, PEFT and PyTorch, and against itself.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor
import EftTestSupport
import Testing

@Suite struct ArchitectureGoldenTests {
    static let names = Fixtures.architectures

    private static func path(_ name: String) -> String { "architectures/\(name)" }

    private static func golden(_ name: String, _ file: String) throws -> any CheckpointReader {
        try CheckpointFolder.open(Fixtures.path("\(path(name))/\(file).safetensors"))
    }

    // MARK: Forward

    @Test(arguments: names, InstructionSet.available)
    func `logits equal those of transformers in f32`(
        _ name: String, _ level: InstructionSet
    ) throws {
        let model = try GoldenModel(Self.path(name), instructionSet: level)
        for index in 0..<3 {
            let ids = try #require(try model.ids(index))
            let expected = try model.golden.floats(of: "logits_\(index)")
            #expect(relativeError(try model.logits([ids]), expected) < 1e-4, "sequence \(index)")
        }
    }

    @Test(arguments: names)
    func `neither other rows nor threads change a bit`(_ name: String) throws {
        let model = try GoldenModel(Self.path(name), threads: 3)
        let single = try GoldenModel(Self.path(name), threads: 1)
        let one = try #require(try model.ids(1))
        let two = try #require(try model.ids(2))
        let together = try model.logits([one, two, one])
        let apart = try single.logits([one]) + single.logits([two]) + single.logits([one])
        #expect(together == apart)
    }

    @Test(arguments: names)
    func `token by token equals all at once`(_ name: String) throws {
        for level in InstructionSet.available {
            let model = try GoldenModel(Self.path(name), instructionSet: level)
            let ids = try #require(try model.ids(2))
            func last(_ chunks: [Int]) throws -> [Float]? {
                try DecodingTests.logits(
                    model.decoder, ids, chunks: chunks, kvType: .bf16, length: ids.count
                ).last
            }
            let one = try last([ids.count])
            #expect(try last(ids.map { _ in 1 }) == one, "\(level)")
            #expect(try last([ids.count / 2, ids.count - ids.count / 2]) == one, "\(level)")
        }
    }

    @Test(arguments: names)
    func `losses equal those of transformers`(_ name: String) throws {
        let model = try GoldenModel(Self.path(name))
        let ids = try #require(try model.ids(2))
        let expected = try model.golden.floats(of: "loss_2")[0]
        let pass = try EvaluationPass(decoder: model.decoder, rows: ids.count, sequences: 1)
        let losses = try pass.losses(
            DecoderBatch(sequences: [ids]), labels: Array(ids.dropFirst()) + [-100])
        #expect(abs(losses.reduce(0, +) / Float(ids.count - 1) - expected) < 1e-4 * expected)
    }

    @Test(arguments: names)
    func `an adapter made by PEFT gives PEFT's logits`(_ name: String) throws {
        let model = try GoldenModel(Self.path(name))
        let golden = try GoldenModel(Self.path(name), file: "lora")
        let slot = try AdapterFile.load(
            Fixtures.path(Self.path(name) + "/adapter"), into: model.decoder)
        for index in 0..<3 {
            let ids = try #require(try golden.ids(index))
            let expected = try golden.golden.floats(of: "logits_\(index)")
            #expect(relativeError(try model.logits([ids], slots: [slot]), expected) < 1e-4)
        }
    }

    @Test(arguments: names)
    func `an adapter acts on the rows of its sequences only`(_ name: String) throws {
        let model = try GoldenModel(Self.path(name))
        let slot = try AdapterFile.load(
            Fixtures.path(Self.path(name) + "/adapter"), into: model.decoder)
        let one = try #require(try model.ids(1))
        let two = try #require(try model.ids(2))
        let (first, second) = (0..<one.count, one.count..<one.count + two.count)
        let batch = DecoderBatch(
            tokens: one + two,
            runs: [
                DecoderBatch.Run(sequence: 0, rows: first),
                DecoderBatch.Run(sequence: 1, rows: second),
            ],
            adapterSegments: [AdapterSegment(rows: second, slots: [slot])])
        let apart = try model.logits([one]) + model.logits([two], slots: [slot])
        #expect(try model.logits(batch) == apart)
    }

    @Test func `of experts that a router finds equal the first ones act, half and half`() throws {
        let model = try GoldenModel(Self.path("mixtral"))
        let reference = try GoldenModel(Self.path("mixtral"))
        let ids = try #require(try model.ids(1))
        func fill(_ weight: PackedWeight, _ value: Float) {
            weight.panels.floats.update(repeating: value, count: weight.panels.floatCount)
        }
        for layer in model.decoder.layers {
            guard case .mixture(let mixture) = layer.feedForward else { continue }
            fill(mixture.router.weight, 0)
            // What does not act is never looked at.
            for expert in mixture.experts.dropFirst(2) {
                expert.linears.forEach { fill($0.weight, .nan) }
            }
        }
        let found = try model.logits([ids])
        for layer in reference.decoder.layers {
            guard case .mixture(let mixture) = layer.feedForward else { continue }
            fill(mixture.router.weight, 0)
        }
        #expect(found.allSatisfy { $0.isFinite })
        #expect(try reference.logits([ids]) == found)
    }

    @Test func `a damaged router does not trap`() throws {
        let model = try GoldenModel(Self.path("mixtral"))
        guard case .mixture(let mixture) = model.decoder.layers[0].feedForward else { return }
        let panels = mixture.router.weight.panels
        panels.floats.update(repeating: .nan, count: panels.floatCount)
        let logits = try model.logits([[1, 2, 3]])
        #expect(logits.allSatisfy { $0.isNaN })
    }

    // MARK: Backward

    private func withAdapter(_ name: String) throws -> (decoder: Decoder, slot: Int) {
        let decoder = try GoldenModel(Self.path(name)).decoder
        let slot = try AdapterFile.load(Fixtures.path(Self.path(name) + "/adapter"), into: decoder)
        for linear in decoder.linears {
            try linear.adapters[slot]?.makeTrainable(
                prefix: "base_model.model." + linear.name, ledger: nil)
        }
        return (decoder, slot)
    }

    @Test(arguments: names, [true, false])
    func `gradients of adapters equal PyTorch's`(_ name: String, _ checkpointing: Bool) throws {
        let (decoder, slot) = try withAdapter(name)
        let golden = try Self.golden(name, "lora-training")
        let (loss, found) = try GradientGoldenTests.gradients(
            decoder, .init(golden), slots: [slot], checkpointing: checkpointing)
        #expect(abs(loss - (try golden.floats(of: "loss"))[0]) < 1e-4 * abs(loss))
        let compared = try GradientGoldenTests.compareAdapters(found, golden)
        #expect(compared == found.count && compared > 0)
    }

    private func fullyTrainable(_ name: String) throws -> Decoder {
        let decoder = try GoldenModel(
            Self.path(name), options: LoadOptions(trained: .all)
        ).decoder
        try decoder.makeTrainable(.all)
        return decoder
    }

    @Test(arguments: names, [true, false])
    func `gradients of all weights equal PyTorch's`(_ name: String, _ checkpointing: Bool) throws {
        let decoder = try fullyTrainable(name)
        let golden = try Self.golden(name, "training")
        let (_, found) = try GradientGoldenTests.gradients(
            decoder, .init(golden), slots: [], checkpointing: checkpointing)
        let turned =
            decoder.description.storesByInputs ? decoder.linears.map { $0.name + ".weight" } : []
        let compared = try GradientGoldenTests.compareWeights(
            found, golden, turned: Set(turned))
        #expect(compared == decoder.parameters.count)
    }

    /// A small step along each parameter's own gradient changes the loss by the gradient's norm.
    @Test(arguments: names)
    func `gradients equal finite differences of the loss`(_ name: String) throws {
        let decoder = try fullyTrainable(name)
        let batch = try GradientGoldenTests.Batch(Self.golden(name, "training"))
        let (_, found) = try GradientGoldenTests.gradients(
            decoder, batch, slots: [], checkpointing: true)
        let pass = try EvaluationPass(decoder: decoder, rows: batch.labels.count, sequences: 2)
        func loss() throws -> Double {
            try pass.losses(DecoderBatch(sequences: batch.sequences), labels: batch.labels)
                .reduce(0) { $0 + Double($1) } / Double(batch.trained)
        }
        for (name, parameter) in found {
            let count = parameter.value.floatCount
            let gradient = UnsafeBufferPointer(start: parameter.gradient.floats, count: count)
            let norm = gradient.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
            let saved = Array(UnsafeBufferPointer(start: parameter.value.floats, count: count))
            func moved(_ step: Double) throws -> Double {
                for index in 0..<count {
                    parameter.value.floats[index] =
                        saved[index] + Float(step * Double(gradient[index]) / norm)
                }
                return try loss()
            }
            // A short step loses digits, on a long one steep losses bend.
            let slopes = try [4e-3, 8e-4, 2e-4].map { try (moved($0) - moved(-$0)) / (2 * $0) }
            for index in 0..<count { parameter.value.floats[index] = saved[index] }
            let isNear = slopes.contains { abs($0 - norm) < 1e-2 * norm + 2e-4 }
            #expect(isNear, "\(name): \(slopes), \(norm)")
        }
    }
}

@Suite struct ArchitectureConfigTests {
    private func describe(_ text: String) throws -> DecoderDescription {
        try ArchitectureRegistry.describe(ConfigCursor(JSONParser.parse(Array(text.utf8))))
    }

    private func config(_ type: String, _ more: String = "") -> String {
        """
        {"model_type": "\(type)", "vocab_size": 64, "hidden_size": 64, "intermediate_size": 96,
         "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 256\(more)}
        """
    }

    @Test func `a config without a list of architectures has that of its type`() throws {
        let experts = ", \"num_local_experts\": 3, \"num_experts_per_tok\": 2"
        for (type, name) in [
            ("llama", "Llama"), ("mistral", "Mistral"), ("mixtral", "Mixtral"),
            ("qwen2", "Qwen2"), ("qwen3", "Qwen3"),
        ] {
            #expect(try describe(config(type, experts)).architecture == name + "ForCausalLM")
        }
    }

    @Test func `Qwen 3 norms heads, whose size does not follow from the hidden one`() throws {
        let model = try describe(config("qwen3"))
        #expect(model.shape.normsHeads && model.shape.headDim == 128)
        #expect(!model.queryKeyValueBias && !model.outputBias)
        let explicit = try describe(config("qwen3", ", \"head_dim\": 32, \"attention_bias\": true"))
        #expect(explicit.shape.headDim == 32)
        #expect(explicit.queryKeyValueBias && explicit.outputBias)
        #expect(
            explicit.norms(layer: 1).map(\.name) == [
                "model.layers.1.input_layernorm", "model.layers.1.self_attn.q_norm",
                "model.layers.1.self_attn.k_norm", "model.layers.1.post_attention_layernorm",
            ])
        #expect(explicit.norms(layer: 0).map(\.count) == [64, 32, 32, 64])
        let plain = try describe(config("llama", ", \"head_dim\": 32"))
        let biases = 2 * (4 * 32 * 3 + 64)
        #expect(explicit.parameterCount == plain.parameterCount + 2 * 2 * 32 + biases)
        #expect(explicit.vectorBytes == plain.vectorBytes + 4 * (2 * 2 * 32 + biases))
    }

    @Test func `Mixtral has a router and experts in place of the MLP`() throws {
        let experts = ", \"num_local_experts\": 3, \"num_experts_per_tok\": 2"
        let model = try describe(config("mixtral", experts))
        #expect(model.shape.mixture == MixtureShape(experts: 3, expertsPerRow: 2))
        let names = model.linears(layer: 1).dropFirst(4).map(\.name)
        let path = "model.layers.1.block_sparse_moe."
        #expect(names.first == path + "gate")
        #expect(
            names.dropFirst()
                == ["0.w1", "0.w3", "0.w2", "1.w1", "1.w3", "1.w2", "2.w1", "2.w3", "2.w2"]
                .map { path + "experts." + $0 }[...])
        let plain = try describe(config("mistral"))
        let more = 2 * (3 * 64 + 2 * 3 * 64 * 96)
        #expect(model.parameterCount == plain.parameterCount + more)
        #expect(model.vectorBytes == plain.vectorBytes)
    }

    @Test(
        arguments: [
            (
                "mixtral",
                ", \"num_local_experts\": 8, \"num_experts_per_tok\": 2, \"sliding_window\": 9",
                [9, 9]
            ),
            ("qwen3", ", \"use_sliding_window\": true, \"max_window_layers\": 1", [nil, 4096]),
            ("qwen3", ", \"sliding_window\": 16, \"use_sliding_window\": false", [nil, nil]),
            (
                "qwen3",
                ", \"use_sliding_window\": true, \"sliding_window\": 5, \"layer_types\": "
                    + "[\"full_attention\", \"sliding_attention\"]", [nil, 5]
            ),
            ("mistral", ", \"sliding_window\": 255", [255, 255]), ("mistral", "", [4096, 4096]),
            ("mistral", ", \"sliding_window\": null", [nil, nil]), ("llama", "", [nil, nil]),
            ("gemma3_text", ", \"sliding_window\": 8, \"sliding_window_pattern\": 2", [8, nil]),
            ("exaone4", ", \"sliding_window_pattern\": \"GL\", \"sliding_window\": 7", [nil, 7]),
        ] as [(String, String, [Int?])])
    func `windows are those of the config`(
        _ type: String, _ more: String, _ windows: [Int?]
    ) throws {
        let model = try describe(config(type, more))
        #expect((0..<2).map { model.kind(layer: $0).window } == windows)
    }

    @Test(arguments: [
        ("mistral", ", \"sliding_window\": 0"),
        ("gemma2", ", \"layer_types\": [\"full_attention\"]"),
        ("gemma2", ", \"layer_types\": [\"full_attention\", \"linear_attention\"]"),
        ("gemma2", ", \"query_pre_attn_scalar\": -1"),
        ("gemma3_text", ", \"hidden_activation\": \"snake\""),
        ("smollm3", ", \"no_rope_layers\": [1]"), ("phi", ", \"partial_rotary_factor\": 0"),
        ("stablelm", ", \"partial_rotary_factor\": 1.5"), ("cohere", ", \"use_qk_norm\": true"),
        ("granite", ", \"logits_scaling\": 0"), ("exaone4", ", \"sliding_window_pattern\": 0"),
        (
            "llama",
            ", \"rope_scaling\": {\"type\": \"longrope\", \"short_factor\": [1], \"long_factor\": [1]}"
        ),
        ("falcon", ", \"alibi\": true"),
        ("falcon", ", \"new_decoder_architecture\": true, \"num_kv_heads\": 3"),
        ("baichuan", ", \"hidden_size\": 5120"), ("gpt_oss", ""),
        ("gpt_oss", ", \"num_local_experts\": 4, \"num_experts_per_tok\": 5"),
        ("gpt_oss", ", \"num_local_experts\": 4, \"num_experts_per_tok\": 2, \"swiglu_limit\": 5"),
        ("phimoe", ", \"num_local_experts\": 4, \"num_experts_per_tok\": 3"),
        (
            "glm4_moe",
            ", \"n_routed_experts\": 6, \"num_experts_per_tok\": 2, \"moe_intermediate_size\": 8, \"n_group\": 4"
        ),
        (
            "glm4_moe",
            ", \"n_routed_experts\": 6, \"num_experts_per_tok\": 3, \"moe_intermediate_size\": 8, \"n_group\": 3"
        ),
        (
            "dots1",
            ", \"n_routed_experts\": 6, \"num_experts_per_tok\": 2, \"moe_intermediate_size\": 8, "
                + "\"n_shared_experts\": -1"
        ),
        ("ernie4_5_moe", ", \"use_bias\": true"),
    ])
    func `what contradicts itself is refused by name`(_ type: String, _ more: String) throws {
        #expect(throws: (any Error).self) { try describe(config(type, more)) }
    }

    @Test(arguments: [
        ("{\"quant_method\": \"torchao\", \"quant_type\": {}}", "torchao"),
        ("{\"quant_method\": \"aqlm\"}", "AQLM"), ("{\"quant_method\": \"mxfp4\"}", "MXFP4"),
        ("{\"quant_method\": \"new\"}", "new"),
        ("{\"load_in_4bit\": true, \"bnb_4bit_quant_type\": \"int4\"}", "int4"),
    ])
    func `weights of a form that is not read are refused with what to take`(
        _ value: String, _ name: String
    ) throws {
        let error = try #require(throws: ModelError.self) {
            try describe(config("llama", ", \"quantization_config\": " + value))
        }
        #expect(error.code == .unsupported)
        #expect(error.description.contains(name) && error.description.contains("unquantized"))
    }

    @Test(arguments: [
        "{\"quant_method\": \"exl2\", \"bits\": 4.0}", "null",
        "{\"quant_method\": \"gptq\", \"bits\": 4}", "{\"quant_method\": \"awq\"}",
        "{\"quant_method\": \"fp8\"}",
        "{\"load_in_4bit\": true, \"bnb_4bit_quant_type\": \"nf4\"}",
        "{\"load_in_4bit\": true, \"bnb_4bit_quant_type\": \"fp4\"}",
        "{\"quant_method\": \"bitsandbytes\", \"load_in_8bit\": true}",
    ])
    func `weights of a form that is read are not`(_ value: String) throws {
        #expect(
            try describe(config("llama", ", \"quantization_config\": " + value)).layers == 2)
    }

    @Test func `layers without experts stand beside layers that have some`() throws {
        let model = try describe(
            config(
                "glm4_moe",
                ", \"n_routed_experts\": 6, \"num_experts_per_tok\": 2, \"moe_intermediate_size\": 8"
            ))
        #expect(model.shape(layer: 0).mixture == nil && model.shape(layer: 1).mixture != nil)
        let dense = model.linears(layer: 0)
        #expect(dense.count == 7 && dense[4].name == "model.layers.0.mlp.gate_proj")
        #expect(dense[4].outputs == 96)
        #expect(model.linears(layer: 1).count == 4 + 1 + 3 * 6)
        #expect(model.distinctLayers.map(\.count) == [1, 1])
        let weights = (0..<2).flatMap { model.linears(layer: $0) }
            .reduce(0) { $0 + $1.inputs * $1.outputs }
        #expect(model.linearWeightCount == weights)
    }

    @Test(arguments: [
        ("deepseek_v32", "latent attention"), ("kimi_linear", "linear attention"),
        ("lamma", "'llama'"), ("bloom", "alibi"), ("phi4", "'phi'"),
    ])
    func `a type that is not read is refused with its reason or the nearest one`(
        _ type: String, _ words: String
    ) throws {
        let error = try #require(throws: ModelError.self) { try describe(config(type)) }
        #expect(error.description.contains(words), "\(error)")
    }

    @Test func `an architecture that is not there is named beside those that are`() throws {
        let error = try #require(throws: ModelError.self) { try describe(config("whisper")) }
        #expect(error.description.contains("'whisper'"))
        #expect(error.description.contains("llama, mistral"))
    }
}
