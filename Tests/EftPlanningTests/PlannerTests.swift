// SPDX-License-Identifier: Apache-2.0
// A plan is what the components then hold, to the byte.
import EftModels
import EftNN
import EftPlanning
import EftQuant
import EftTensor
import EftTestSupport
import Testing

@Suite struct PlannerTests {
    static let folders =
        ["plain", "gqa-tied", "bias", "odd-head", "bf16", "f16"].map { "models/" + $0 }
        + ["architectures/qwen3", "architectures/mixtral"]

    private func planner(_ folder: ModelFolder, limit: Int = .max) throws -> Planner {
        Planner(
            description: folder.description, limits: [limit], programBytes: 0,
            backend: try CPUBackend(threads: 2))
    }

    @Test(arguments: folders, [1, 17, 40])
    func `a run holds what was planned`(_ name: String, _ context: Int) throws {
        let folder = try ModelFolder.open(Fixtures.path(name))
        let loader = try DecoderLoader(folder: folder)
        let need = GenerationNeed(contextLength: context, sequences: 2, prefillChunk: 8)
        let plan = try planner(folder).run(
            name: "run", layouts: DecoderLayouts(loader), load: loader.loadNeed(),
            need: need)
        let ledger = MemoryLedger(limit: plan.memory.total)
        let backend = try CPUBackend(ledger: ledger, threads: 2)
        let decoder = try loader.load(backend: backend)
        let description = decoder.description
        let cache = try PagedCache(
            pageCount: need.pages, layers: description.layers, shape: description.shape,
            kvType: need.kvType, ledger: ledger)
        let workspace = try DecoderWorkspace(
            need.workspace, description: description, backend: backend)
        try decoder.reserveScratch(rows: need.rows, headRows: need.sequences)
        for purpose in [MemoryPurpose.weights, .kvCache, .activations] {
            #expect(ledger.current[purpose] == plan.memory[purpose], "\(purpose.rawValue)")
        }
        #expect(ledger.peakTotal == plan.memory.total)
        _ = (cache, workspace)
    }

    @Test(arguments: folders, [true, false])
    func `a training pass holds what was planned`(_ name: String, _ checkpointing: Bool) throws {
        let folder = try ModelFolder.open(Fixtures.path(name))
        let loader = try DecoderLoader(folder: folder)
        let options = Planner.TrainingOptions(
            rank: 3, sequenceLen: 21, microBatchSize: 2,
            checkpointing: checkpointing ? .memory : .none)
        let plan = try planner(folder).train(
            name: "train", layouts: DecoderLayouts(loader), options: options)
        let ledger = MemoryLedger()
        let backend = try CPUBackend(ledger: ledger, threads: 2)
        let decoder = try loader.load(backend: backend)
        for linear in decoder.linears {
            let adapter = try LoRA(
                inputs: linear.weight.inputs, outputs: linear.weight.outputs, rank: 3, scale: 1,
                dropout: 0, ledger: ledger)
            try adapter.makeTrainable(prefix: linear.name, ledger: ledger)
            linear.adapters[0] = adapter
        }
        let pass = try TrainingPass(
            decoder: decoder,
            need: TrainingNeed(
                rows: 42, sequences: 2, adapters: AdapterWidths(rank: 3),
                checkpointing: checkpointing ? .memory : .none))
        for purpose in [MemoryPurpose.weights, .adapters, .gradients, .activations] {
            #expect(ledger.current[purpose] == plan.memory[purpose], "\(purpose.rawValue)")
        }
        let before = plan.memory[.workspace]
        try backend.reserveScratch(before)
        let batch = DecoderBatch(
            sequences: [Array(repeating: 1, count: 21), Array(repeating: 2, count: 21)], slots: [0])
        _ = try pass.run(
            batch, labels: batch.tokens.map { $0 }, gradientScale: 1)
        // Nothing grew: the plan named the neediest product.
        #expect(ledger.current[.workspace] == before)
    }

    @Test func `a stage that does not fit says what would`() throws {
        let folder = try ModelFolder.open(Fixtures.path("models/plain"), needsWeights: false)
        let options = Planner.TrainingOptions(
            rank: 4, sequenceLen: 512, microBatchSize: 4, checkpointing: .none)
        let free = try planner(folder)
        let layouts = try DecoderLayouts(folder.description, format: .dense(.f32))
        let whole = free.train(name: "train", layouts: layouts, options: options)
        let tight = try planner(folder, limit: whole.memory.total - 1)
        let plan = tight.train(name: "train", layouts: layouts, options: options)
        #expect(!plan.fits(tight.limits))
        #expect(plan.remedy?.contains("gradient_checkpointing") == true)
        let report = PlanReport(stages: [plan], limits: tight.limits)
        #expect(!report.fits && report.advice.count == 1)
        #expect(whole.fits([whole.memory.total]))
    }

    /// The model of the demo, whose 4 layers are most of it.
    private func demo() throws -> (folder: ModelFolder, loader: DecoderLoader) {
        let folder = try ModelFolder.open(Fixtures.packageRoot + "/Examples/demo/model")
        return (folder, try DecoderLoader(folder: folder))
    }

    @Test(arguments: [0, 1])
    func `a streamed run holds what was planned`(_ resident: Int) throws {
        let (folder, loader) = try demo()
        let layouts = try DecoderLayouts(loader)
        let need = GenerationNeed(contextLength: 40, prefillChunk: 8)
        func plan(_ limit: Int) throws -> StagePlan {
            try planner(folder, limit: limit).run(
                name: "run", layouts: layouts, load: loader.loadNeed(), need: need)
        }
        let whole = try plan(.max)
        #expect(whole.streaming == nil && whole.disk == 0)
        let placement = layouts.streaming(4 - resident)
        // Loading fewer weights may take less room for what is temporary.
        let limit = try plan(
            whole.memory.total - whole.memory[.weights] + placement.weightBytes
                + placement.windowBytes
        ).memory.total
        let streamed = try plan(limit)
        #expect(streamed.placement == placement && streamed.memory.total == limit)
        #expect(streamed.disk == placement.diskBytes && streamed.fits([limit]))
        let less = try plan(limit - 1)
        #expect(less.fits([limit - 1]) == (resident > 0))
        #expect(less.placement?.residentLayers == 0)

        let ledger = MemoryLedger(limit: limit)
        let backend = try CPUBackend(ledger: ledger, threads: 2)
        let caches = try TemporaryFolder()
        let base = StreamedBase(
            placement: placement,
            cache: try PanelCache(loader, layouts: layouts, below: caches.path))
        try base.cache.fill(placement.streamed, backend: backend)
        let decoder = try loader.load(backend: backend, streaming: base)
        let description = decoder.description
        let cache = try PagedCache(
            pageCount: need.pages, layers: description.layers, shape: description.shape,
            kvType: need.kvType, ledger: ledger)
        let workspace = try DecoderWorkspace(
            need.workspace, description: description, backend: backend)
        try backend.reserveScratch(streamed.memory[.workspace])
        for purpose in [MemoryPurpose.weights, .window, .kvCache, .activations, .workspace] {
            #expect(ledger.current[purpose] == streamed.memory[purpose], "\(purpose.rawValue)")
        }
        #expect(ledger.peakTotal == limit)
        _ = (cache, workspace)
    }

    @Test func `what does not fit streamed either is refused with the size that would`() throws {
        let (folder, loader) = try demo()
        let layouts = try DecoderLayouts(loader)
        let plan = try planner(folder, limit: 1 << 20).run(
            name: "run", layouts: layouts, load: loader.loadNeed(),
            need: GenerationNeed(contextLength: 40))
        #expect(!plan.fits([1 << 20]) && plan.placement?.residentLayers == 0)
        let size = "--memory \((plan.memory.total >> 20) + 1)MiB"
        #expect(plan.remedy == size)
        let report = PlanReport(stages: [plan], limits: [1 << 20])
        let advice = try #require(report.advice.first)
        #expect(advice.contains("0 of 4 layers resident") && advice.contains(size))
        let score = try planner(folder, limit: 1 << 20).evaluate(
            name: "eval", layouts: layouts, rows: 16)
        #expect(score.remedy?.hasPrefix("--memory") == true)
        #expect(score.placement?.streamed.count == 4)
    }

    @Test func `no length is advised that is shorter than the longest row`() throws {
        let (folder, loader) = try demo()
        let layouts = try DecoderLayouts(loader)
        func plan(_ rows: Int, least: Int = 64, limit: Int) throws -> StagePlan {
            try planner(folder, limit: limit).evaluate(
                name: "eval", layouts: layouts, rows: rows, least: least)
        }
        // With all layers read from disk 200 tokens fit, and no more.
        let limit = try plan(200, limit: 1 << 20).memory.total
        #expect(try plan(1024, limit: limit).remedy == "--length 128")
        #expect(try plan(1024, least: 200, limit: limit).remedy == "--length 200")
        let remedy = try #require(try plan(1024, least: 201, limit: limit).remedy)
        #expect(remedy.hasPrefix("--memory"))
    }

    @Test func `only the base of an adapter is streamed`() throws {
        let (folder, loader) = try demo()
        let layouts = try DecoderLayouts(loader)
        var options = Planner.TrainingOptions(rank: 4, sequenceLen: 32, microBatchSize: 1)
        let whole = try planner(folder).train(name: "train", layouts: layouts, options: options)
        let limit = whole.memory.total - 1
        let streamed = try planner(folder, limit: limit).train(
            name: "train", layouts: layouts, options: options)
        #expect(streamed.fits([limit]) && streamed.placement?.isStreaming == true)
        let rows = PlanReport(stages: [streamed], limits: [limit]).rows
        #expect(rows[0].contains("I/O window") && rows[1].last == "streamed")
        options.rank = 0
        let full = try planner(folder, limit: limit).train(
            name: "train", layouts: layouts, options: options)
        #expect(!full.fits([limit]) && full.streaming == nil)
    }

    @Test(arguments: [
        #""num_local_experts": 16, "num_experts_per_tok": 16, "hidden_size": 1048576, "intermediate_size": 1048576, "num_hidden_layers": 16, "num_attention_heads": 1024"#,
        #""hidden_size": 8192, "intermediate_size": 1048576, "num_hidden_layers": 64, "num_attention_heads": 64"#,
        #""hidden_size": 2, "intermediate_size": 16384, "num_hidden_layers": 4096, "num_attention_heads": 1"#,
        #""hidden_size": 1048576, "intermediate_size": 2, "num_hidden_layers": 8, "num_attention_heads": 1024"#,
    ])
    func `the largest models that are believed are planned without overflow`(
        _ extents: String
    ) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(
            "config.json",
            """
            {"model_type": "\(extents.contains("experts") ? "mixtral" : "llama")", "vocab_size": 16777216, "max_position_embeddings": 16777216,
             \(extents)}
            """)
        let model = try ModelFolder.open(path, needsWeights: false)
        let report = try planner(model, limit: 1 << 30).report(
            folder: model,
            training: Planner.TrainingOptions(
                rank: 65536, sequenceLen: 1 << 24, microBatchSize: 16),
            generation: GenerationNeed(contextLength: 1 << 24, sequences: 256, kvType: .f32))
        #expect(!report.fits)
        #expect(report.stages.allSatisfy { $0.memory.total > 1 << 40 })
    }

    @Test(arguments: [
        "architectures/gpt-oss-mxfp4", "quantized-models/gptq", "quantized-models/fp8",
    ])
    func `a config is planned in the format that it names`(_ name: String) throws {
        let folder = try ModelFolder.open(Fixtures.path(name))
        let stored = try DecoderLayouts(DecoderLoader(folder: folder))
        let bare = try ModelFolder.open(Fixtures.path(name + "/config.json"), needsWeights: false)
        #expect(bare.checkpoint == nil)
        let format = try #require(try bare.publishedFormat())
        let planned = try DecoderLayouts(bare.description, format: format)
        #expect(planned.layers == stored.layers)
        let report = try planner(bare, limit: 1 << 30).report(
            folder: bare,
            training: Planner.TrainingOptions(rank: 8, sequenceLen: 64, microBatchSize: 1),
            generation: GenerationNeed(contextLength: 64))
        let stage = try #require(report.stage(.runStored))
        #expect(stage.memory[.weights] == planned.byteCount)
        for kind in [StageKind.runFP8, .runGPTQ(bits: 4)] {
            #expect(try #require(report.stage(kind)).memory[.weights] > 0)
        }
    }

    @Test func `a bare config is planned in every format`() throws {
        let folder = try ModelFolder.open(
            Fixtures.packageRoot + "/Examples/demo/model/config.json", needsWeights: false)
        let report = try planner(folder, limit: 1 << 30).report(
            folder: folder,
            training: Planner.TrainingOptions(rank: 8, sequenceLen: 64, microBatchSize: 1),
            generation: GenerationNeed(contextLength: 64))
        #expect(report.stages.count >= 8)
        #expect(report.fits)
        let widths = EXL2Geometry.uniformWidths.reversed().map {
            report.stage(.runEXL2(bits: $0))?.memory[.weights] ?? 0
        }
        #expect(widths == widths.sorted(by: >) && (widths.last ?? 0) > 0)
        // Only widths that a quantization makes.
        #expect(report.stages.filter { $0.name.contains("EXL2") }.count == widths.count)
    }
}
