// SPDX-License-Identifier: Apache-2.0
// Dozens of small runs: the ledgers' peaks are what was planned, to the byte, and one byte less is refused.
import EftFormats
import EftGeneration
import EftModels
import EftNN
import EftQuant
import EftTensor
import EftTestSupport
import Testing

@Suite struct PlannedGenerationTests {
    /// A run: a model, devices, and what is asked for.
    struct Run: Sendable, CustomTestStringConvertible {
        var model = "plain"
        var held = WeightTarget.asStored
        var devices = 1
        /// Room in hundredths of what a single device takes, all devices together; nil for as much as there is.
        var room: Int?
        var need = GenerationNeed(contextLength: 40, prefillChunk: 8)
        var adapters = 0

        var testDescription: String {
            "\(model) \(held) on \(devices), room \(room ?? 0), \(need.contextLength) x \(need.sequences) "
                + "\(need.kvType), adapters \(adapters)"
        }
    }

    static let runs: [Run] = {
        var runs: [Run] = []
        for model in ["plain", "gqa-tied", "bias", "odd-head", "bf16", "f16"] {
            runs.append(Run(model: model))
            runs.append(
                Run(
                    model: model,
                    need: GenerationNeed(contextLength: 17, sequences: 3, prefillChunk: 5)))
            runs.append(Run(model: model, devices: 2, room: 220))
        }
        for kvType in [KVType.f32, .f16, .q8, .q6, .q4] {
            runs.append(
                Run(
                    model: "demo", devices: 2, room: 140,
                    need: GenerationNeed(contextLength: 100, kvType: kvType)))
        }
        for (devices, room) in [(1, 85), (1, 95), (2, 150), (3, 250), (4, 280), (4, 400)] {
            for held in [WeightTarget.asStored, .nf4(doubleQuantization: true)] {
                runs.append(
                    Run(model: "demo", held: held, devices: devices, room: room, adapters: 2))
            }
        }
        // Their experts are read when they are chosen.
        for model in ["mixtral", "qwen3-moe", "gpt-oss"] {
            for (devices, room) in [(1, 97), (2, 190)] {
                runs.append(
                    Run(model: "architectures/" + model, devices: devices, room: room))
            }
        }
        return runs
    }()

    private struct Setting {
        let loader: DecoderLoader
        let layouts: DecoderLayouts
        var task: PlacementTask
    }

    private func setting(_ run: Run) throws -> Setting {
        let path =
            run.model == "demo"
            ? Fixtures.packageRoot + "/Examples/demo/model"
            : Fixtures.path(run.model.contains("/") ? run.model : "models/\(run.model)")
        let loader = try DecoderLoader(
            folder: ModelFolder.open(path), options: LoadOptions(linears: run.held))
        let layouts = try DecoderLayouts(loader)
        let description = loader.folder.description
        let adapters = (0..<run.adapters).map { AdapterExtents(description, rank: 3 + $0) }
        return Setting(
            loader: loader, layouts: layouts,
            task: PlacementTask(
                description: description, layouts: layouts,
                adapters: adapters.reduce(AdapterExtents(layers: description.layers), +),
                load: try loader.loadNeed(), limits: [.max], backend: try CPUBackend(threads: 2)))
    }

    /// Generates a few tokens and returns the ledgers' peaks.
    private func peaks(
        _ run: Run, _ setting: Setting, _ placed: PlacedMemory, limits: [Int], caches: String
    ) throws -> [Int] {
        let first = try CPUBackend(threads: 2)
        let devices = limits.map {
            CPUBackend(sharing: first, ledger: MemoryLedger(limit: $0))
        }
        var streaming: StreamedBase?
        if placed.placement.isStreaming {
            let base = StreamedBase(
                placement: placed.placement,
                cache: try PanelCache(setting.loader, layouts: setting.layouts, below: caches))
            try base.cache.fill(placed.placement, devices: devices) { _, _ in }
            streaming = base
        }
        let decoder = try setting.loader.load(
            devices: devices, parts: placed.placement.parts, streaming: streaming)
        for slot in 0..<run.adapters {
            for (linear, ledger) in decoder.placedLinears.dropLast() {
                linear.adapters[slot] = try LoRA(
                    inputs: linear.weight.inputs, outputs: linear.weight.outputs, rank: 3 + slot,
                    scale: 1, dropout: 0, ledger: ledger)
            }
        }
        let generator = try Generator(decoder: decoder, need: run.need)
        let requests = (0..<run.need.sequences).map { index in
            GenerationRequest(
                prompt: Array(repeating: Int32(index + 1), count: 9),
                parameters: GenerationParameters(maxTokens: 4),
                adapters: Array(0..<run.adapters))
        }
        _ = try generator.run(requests) { _, _ in true }
        return devices.map(\.ledger.peakTotal)
    }

    @Test(arguments: runs)
    func `ledgers peak where they were planned to`(_ run: Run) throws {
        var setting = try setting(run)
        let whole = setting.task.generation(run.need).devices[0].total
        if let room = run.room {
            setting.task.limits = Array(
                repeating: whole / 100 * room / run.devices, count: run.devices)
        }
        let first = setting.task.generation(run.need)
        try #require(first.fits)
        // Exactly what is planned must do.
        setting.task.limits = first.devices.map(\.total)
        let placed = setting.task.generation(run.need)
        #expect(placed.fits && placed.devices == first.devices)
        #expect(run.devices == 1 ? placed.notAtOnce == 0 : placed.notAtOnce >= 0)
        let folder = try TemporaryFolder()
        let limits = placed.devices.map(\.total)
        let found = try peaks(run, setting, placed, limits: limits, caches: folder.path)
        #expect(found == limits)
        for device in limits.indices where limits[device] > 0 {
            var less = limits
            less[device] -= 1
            let error = try #require(throws: TensorError.self) {
                try peaks(run, setting, placed, limits: less, caches: folder.file("\(device)"))
            }
            #expect(error.code == .outOfBudget)
        }
    }
}
