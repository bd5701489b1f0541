// SPDX-License-Identifier: Apache-2.0
// Ten steps of AdamW against PyTorch, PEFT and bitsandbytes.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import EftTraining
import Testing

@Suite struct TrainingTraceTests {
    /// A trace made by PyTorch: see scripts/fixtures/README.md.
    struct Trace {
        /// Where it is not that of all traces.
        var rate: Double?
        let examples: [TrainingExample]
        let losses: [Double]
        let norms: [Double]
        let golden: any CheckpointReader

        init(_ folder: String, prefix: String = "") throws {
            golden = try CheckpointFolder.open(Fixtures.path("\(folder)/training.safetensors"))
            examples = try Trace.examples(golden)
            let json = try ConfigFile.read(Fixtures.path("\(folder)/training.json"))
            losses = try json.required("losses" + prefix).doubles()
            norms = try json.optional("grad_norms" + prefix)?.doubles() ?? []
        }

        /// The trace of a model of `architectures`.
        init(architecture: String) throws {
            golden = try CheckpointFolder.open(
                Fixtures.path("architectures/\(architecture)/lora-training.safetensors"))
            examples = try Trace.examples(golden)
            let json = try ConfigFile.read(Fixtures.path("architecture-traces/losses.json"))
                .required("losses").required(architecture)
            rate = try json.required("lr").double()
            losses = try json.required("f32").doubles()
            norms = []
        }

        private static func examples(
            _ golden: any CheckpointReader
        ) throws -> [TrainingExample] {
            func integers(_ name: String) throws -> [Int32] {
                let info = try golden.tensor(name)
                return try golden.bytes(of: name).withUnsafeBytes { raw in
                    (0..<info.shape.count).map {
                        Int32(raw.loadUnaligned(fromByteOffset: $0 * 8, as: Int64.self))
                    }
                }
            }
            return try (0..<2).map {
                TrainingExample(
                    tokens: try integers("ids_\($0)"), labels: try integers("labels_\($0)"))
            }
        }
    }

    /// The settings of all traces; ten steps of both examples.
    static var settings: TrainingSettings {
        var settings = TrainingSettings()
        settings.learningRate = 0.01
        settings.weightDecay = 0.01
        settings.schedule = .constant
        settings.numEpochs = 10
        settings.microBatchSize = 2
        settings.saves = .never
        return settings
    }

    private func decoder(
        _ folder: String, options: LoadOptions = LoadOptions()
    ) throws -> Decoder {
        let folder = try ModelFolder.open(Fixtures.path(folder))
        let backend = try CPUBackend(threads: 2, precision: .f32)
        return try DecoderLoader(folder: folder, options: options).load(backend: backend)
    }

    private func attach(_ adapter: String, to decoder: Decoder) throws -> Int {
        let slot = try AdapterFile.load(Fixtures.path(adapter), into: decoder)
        for (linear, ledger) in decoder.placedLinears {
            try linear.adapters[slot]?.makeTrainable(
                prefix: "base_model.model." + linear.name, ledger: ledger)
        }
        try decoder.embeddingAdapters[slot]?.makeTrainable(
            prefix: "base_model.model." + decoder.description.embeddingName, ledger: nil)
        return slot
    }

    /// A case of saved-modules: the model under its adapter, which is to be trained, and its slot.
    private func adapted(
        _ name: String, _ trained: TrainedWeights = .none
    ) throws -> (decoder: Decoder, slot: Int) {
        let adapter = "saved-modules/\(name)/adapter"
        let base = try ConfigFile.read(Fixtures.path("saved-modules/\(name)/case.json"))
            .required("base").string()
        let folder = try ModelFolder.open(Fixtures.path(base))
            .adapted(by: [Fixtures.path(adapter)])
        let backend = try CPUBackend(threads: 2, precision: .f32)
        let decoder = try DecoderLoader(folder: folder, options: LoadOptions(trained: trained))
            .load(backend: backend)
        return (decoder, try attach(adapter, to: decoder))
    }

    /// Compares trained parameters with those of a trace.
    private func expectFinals(
        _ parameters: some Sequence<Parameter>, _ trace: Trace
    ) throws {
        for parameter in parameters {
            let expected = try trace.golden.floats(of: "final/" + parameter.name)
            let found = UnsafeBufferPointer(start: parameter.value.floats, count: expected.count)
            let scale = expected.reduce(0) { max($0, abs($1)) }
            let error = zip(found, expected).reduce(0) { max($0, abs($1.0 - $1.1)) }
            #expect(error < 1e-3 * scale, "\(parameter.name)")
        }
    }

    /// Trains ten steps and compares the loss before each and after the last.
    private func follow(
        _ trace: Trace, _ decoder: Decoder, _ settings: TrainingSettings, slots: [Int],
        tolerance: Double, normTolerance: Double = 1e-3
    ) throws {
        let folder = try TemporaryFolder()
        var settings = settings
        settings.outputDir = folder.path
        let trainer = try Trainer(
            decoder: decoder, settings: settings, train: trace.examples,
            validation: trace.examples, slots: slots, fingerprint: "",
            output: Trainer.Output { _ in })
        var reports: [StepReport] = []
        try trainer.run(
            onEvent: { if case .step(let report) = $0 { reports.append(report) } },
            shouldStop: { false })
        #expect(reports.count == 10)
        let losses = try reports.map(\.loss) + [trainer.evaluationLoss().loss]
        for (index, (loss, expected)) in zip(losses, trace.losses).enumerated() {
            #expect(
                abs(loss - expected) <= tolerance * expected, "step \(index): \(loss), \(expected)")
        }
        for (report, expected) in zip(reports, trace.norms) {
            #expect(
                abs(report.gradientNorm - expected) <= normTolerance * expected, "\(report.step)")
        }
    }

    @Test(arguments: ["gqa-tied", "bias"], [true, false])
    func `training an adapter follows PEFT`(_ name: String, _ checkpointing: Bool) throws {
        let decoder = try decoder("models/\(name)")
        let slot = try attach("lora/\(name)/adapter", to: decoder)
        let trace = try Trace("lora/\(name)")
        var settings = Self.settings
        settings.gradientCheckpointing = checkpointing ? .memory : .none
        try follow(trace, decoder, settings, slots: [slot], tolerance: 1e-4)
        try expectFinals(decoder.parameters, trace)
    }

    /// All but those whose losses depend on the last digits: see scripts/fixtures/architecture_traces.py.
    @Test(arguments: Fixtures.architectures.filter { !["mixtral", "phimoe"].contains($0) })
    func `training an adapter of each architecture follows PEFT`(_ name: String) throws {
        let decoder = try decoder("architectures/\(name)")
        let slot = try attach("architectures/\(name)/adapter", to: decoder)
        let trace = try Trace(architecture: name)
        var settings = Self.settings
        settings.learningRate = try #require(trace.rate)
        try follow(trace, decoder, settings, slots: [slot], tolerance: 1e-4)
    }

    @Test(arguments: [
        ("tied-both", ["embed_tokens", "lm_head"]), ("tied-embedding", ["embed_tokens"]),
        ("untied-both", ["embed_tokens", "lm_head"]), ("head-lora", []),
    ])
    func `training embedding and head beside an adapter follows PEFT`(
        _ name: String, _ modules: [String]
    ) throws {
        let names = Set(modules.map { $0 == "lm_head" ? "lm_head.weight" : "model.\($0).weight" })
        let trained = TrainedWeights.named(names)
        let (decoder, slot) = try adapted(name, trained)
        try decoder.makeTrainable(trained)
        let trace = try Trace("saved-modules/\(name)")
        try follow(trace, decoder, Self.settings, slots: [slot], tolerance: 1e-4)
        let finals = trace.golden.tensors.filter { $0.name.hasPrefix("final/") }
        #expect(
            Set(finals.map(\.name)) == Set(decoder.parameters.map { "final/" + $0.name }))
        try expectFinals(
            decoder.parameters.filter { $0.name.contains("lora_") }, trace)
    }

    @Test(arguments: ["rows-tied", "rows-untied"])
    func `training rows of tokens follows PEFT`(_ name: String) throws {
        let adapter = Fixtures.path("saved-modules/\(name)/adapter")
        let (decoder, slot) = try adapted(name)
        try decoder.makeTrainable(AdapterConfig.read(folder: adapter).trainedTokens)
        let trace = try Trace("saved-modules/\(name)")
        try follow(trace, decoder, Self.settings, slots: [slot], tolerance: 1e-4)
        let finals = trace.golden.tensors.filter { $0.name.hasPrefix("final/") }
        #expect(
            Set(finals.map(\.name)) == Set(decoder.parameters.map { "final/" + $0.name }))
        try expectFinals(decoder.parameters, trace)
    }

    @Test(arguments: ["dora", "dora-bias", "dora-nf4", "embedding", "embedding-tied"])
    func `training other forms of adapters follows PEFT`(_ name: String) throws {
        let path = "adapter-forms/\(name)"
        let base = try ConfigFile.read(Fixtures.path(path + "/case.json")).required("base").string()
        let decoder = try decoder(base)
        let slot = try attach(path + "/adapter", to: decoder)
        let trace = try Trace(path)
        let finals = trace.golden.tensors.filter { $0.name.hasPrefix("final/") }
        #expect(Set(finals.map(\.name)) == Set(decoder.parameters.map { "final/" + $0.name }))
        let isExact = !name.hasSuffix("nf4")
        try follow(
            trace, decoder, Self.settings, slots: [slot], tolerance: isExact ? 1e-4 : 1e-3,
            normTolerance: isExact ? 1e-3 : 5e-3)
        if isExact { try expectFinals(decoder.parameters, trace) }
    }

    @Test(arguments: ["qwen3-moe", "gpt-oss", "granitemoe"])
    func `training parameters that hold all experts follows PEFT`(_ name: String) throws {
        let decoder = try decoder("architectures/\(name)")
        let path = "stacked-adapters/\(name)"
        let slot = try attach(path + "/adapter", to: decoder)
        let trace = try Trace(path)
        let finals = trace.golden.tensors.filter { $0.name.hasPrefix("final/") }
        #expect(Set(finals.map(\.name)) == Set(decoder.parameters.map { "final/" + $0.name }))
        try follow(trace, decoder, Self.settings, slots: [slot], tolerance: 1e-4)
        try expectFinals(decoder.parameters, trace)
    }

    @Test(arguments: ["gqa-tied", "bias"])
    func `micro-batches of a step count as one batch`(_ name: String) throws {
        let decoder = try decoder("models/\(name)")
        let slot = try attach("lora/\(name)/adapter", to: decoder)
        var settings = Self.settings
        settings.microBatchSize = 1
        settings.gradientAccumulationSteps = 2
        try follow(
            Trace("lora/\(name)"), decoder, settings, slots: [slot], tolerance: 1e-4)
    }

    @Test(arguments: ["gqa-tied", "bias"], [true, false])
    func `training all weights follows PyTorch`(_ name: String, _ packing: Bool) throws {
        let decoder = try decoder(
            "models/\(name)", options: LoadOptions(trained: .all))
        try decoder.makeTrainable(.all)
        var settings = Self.settings
        settings.samplePacking = packing
        settings.sequenceLen = packing ? 32 : 16
        settings.microBatchSize = packing ? 1 : 2
        try follow(Trace("full/\(name)"), decoder, settings, slots: [], tolerance: 1e-4)
    }

    @Test func `training an adapter on NF4 follows bitsandbytes`() throws {
        let decoder = try decoder("nf4-model/bnb-4bit")
        let slot = try attach("qlora/adapter", to: decoder)
        try follow(
            Trace("qlora", prefix: "_bnb_f32"), decoder, Self.settings, slots: [slot],
            tolerance: 1e-3,
            normTolerance: 5e-3)
    }

    @Test(arguments: ["bnb-8bit", "source"])
    func `training an adapter on 8 bits follows the definition of its weights`(
        _ name: String
    ) throws {
        let decoder = try decoder(
            "int8-model/" + name,
            options: LoadOptions(linears: name == "source" ? .int8 : .asStored))
        let slot = try attach("int8-model/adapter", to: decoder)
        let trace = try Trace("int8-model")
        // A row with one large value makes gradients of the norm sensitive.
        try follow(
            trace, decoder, Self.settings, slots: [slot], tolerance: 1e-4, normTolerance: 5e-3)
        try expectFinals(decoder.parameters, trace)
    }

    @Test func `training an adapter on GPTQ follows the numbers of its weights`() throws {
        let decoder = try decoder("quantized-models/gptq")
        let slot = try attach("quantized-models/adapter", to: decoder)
        let trace = try Trace("quantized-models")
        try follow(trace, decoder, Self.settings, slots: [slot], tolerance: 1e-4)
        try expectFinals(decoder.parameters, trace)
    }

    @Test func `NF4 made while loading trains like NF4 that was stored`() throws {
        let decoder = try decoder(
            "nf4-model/source",
            options: LoadOptions(linears: .nf4(doubleQuantization: true)))
        let slot = try attach("qlora/adapter", to: decoder)
        try follow(
            Trace("qlora", prefix: "_bnb_f32"), decoder, Self.settings, slots: [slot],
            tolerance: 1e-3,
            normTolerance: 5e-3)
    }
}
