// SPDX-License-Identifier: Apache-2.0
// ReLoRA: adapters that are added to the base and begin anew.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import Testing

@testable import EftTraining

@Suite struct AdapterRestartTests {
    @Test func `ten steps with three restarts follow PEFT and PyTorch`() throws {
        let trace = try TrainingTraceTests.Trace("relora")
        let json = try ConfigFile.read(Fixtures.path("relora/training.json"))
        let decoder = try DecoderLoader(
            folder: ModelFolder.open(Fixtures.path("models/gqa-tied")), options: LoadOptions()
        ).load(backend: CPUBackend(threads: 2, precision: .f32))
        let slot = try AdapterFile.load(Fixtures.path("lora/gqa-tied/adapter"), into: decoder)
        var attached = AttachedAdapter(slot: slot)
        (attached.start, attached.startTimes) = (slot + 1, 3)
        for (linear, ledger) in decoder.placedLinears {
            guard let adapter = linear.adapters[slot] else { continue }
            try adapter.makeTrainable(prefix: AdapterFile.prefix + linear.name, ledger: ledger)
            linear.adapters[slot + 1] = try LoRA(
                inputs: linear.weight.inputs, outputs: linear.weight.outputs,
                rank: 3 * adapter.rank, scale: -adapter.scale, dropout: 0, ledger: ledger)
        }
        var restarts = JaggedRestarts(interval: try json.required("interval").int())
        restarts.warmup = try json.required("warmup").int()
        restarts.anneal = try json.required("anneal").int()
        let folder = try TemporaryFolder()
        var settings = TrainingTraceTests.settings
        settings.learningRate = try json.required("lr").double()
        settings.outputDir = folder.path
        settings.jaggedRestarts = restarts
        let golden = trace.golden
        let trainer = try Trainer(
            decoder: decoder, settings: settings,
            objective: Trainer.objective(
                settings, trace.examples, trace.examples, attached.slots),
            restarts: AdapterRestarts(
                decoder, attached, AdapterRestartSettings(interval: restarts.interval), seed: 1,
                fill: { a, module, restart in
                    let found = try? golden.floats(of: "\(restart)/\(module)")
                    guard let found, found.count == a.count else {
                        Issue.record("no A of \(module) after restart \(restart)")
                        return
                    }
                    for (index, value) in found.enumerated() { a.pointer[index] = value }
                }),
            lengths: ExampleLengths(
                train: trace.examples.map(\.rowCount), validation: trace.examples.map(\.rowCount)),
            joined: 1, fingerprint: "", output: Trainer.Output { _ in })
        var (reports, lines) = ([StepReport](), [String]())
        try trainer.run(
            onEvent: {
                if case .step(let report) = $0 { reports.append(report) }
                if case .notice(let line) = $0 { lines.append(line) }
            }, shouldStop: { false })
        #expect(lines.count == 3)
        let losses = try reports.map(\.loss) + [trainer.evaluationLoss().loss]
        #expect(losses.count == 11)
        for (index, (loss, expected)) in zip(losses, trace.losses).enumerated() {
            #expect(abs(loss - expected) <= 1e-4 * expected, "step \(index): \(loss), \(expected)")
        }
        for (report, expected) in zip(reports, trace.norms) {
            #expect(abs(report.gradientNorm - expected) <= 2e-3 * expected, "\(report.step)")
        }
        let rates = try json.required("rates").doubles()
        for (report, expected) in zip(reports, rates) {
            #expect(abs(report.learningRate - expected) <= 1e-12, "\(report.step)")
        }
    }

    // MARK: Pruning

    /// A state of some numbers, in f32 or in codes.
    private func state(_ values: [Float], coded: Bool) throws -> (UpdateState, Buffer) {
        let count = values.count
        let blocks = (count + UpdateState.blockSize - 1) / UpdateState.blockSize
        let buffer = try Buffer(
            byteCount: coded ? 4 * blocks + count : 4 * count, ledger: nil, purpose: .optimizer)
        guard coded else {
            for (index, value) in values.enumerated() { buffer.floats[index] = value }
            return (UpdateState(buffer: buffer, offset: 0), buffer)
        }
        // Each block has another largest magnitude; codes are taken from the bits of the values.
        for block in 0..<blocks { buffer.floats[block] = Float(block + 1) }
        for (index, value) in values.enumerated() {
            let code = UInt8(truncatingIfNeeded: value.bitPattern >> 13)
            buffer.base.storeBytes(of: code, toByteOffset: 4 * blocks + index, as: UInt8.self)
        }
        return (UpdateState(buffer: buffer, offset: 4 * blocks, codes: (0, true)), buffer)
    }

    private func values(_ state: UpdateState, _ count: Int) -> [Float] {
        var all: [Float] = []
        state.forEach(count) { all.append($1) }
        return all
    }

    @Test(arguments: [1, 2, 7, 300, 5000], [false, true])
    func `the smallest are set to zero, as a sorted list has them`(
        _ count: Int, _ coded: Bool
    ) throws {
        var numbers = NormalGenerator(seed: UInt64(count))
        let drawn = (0..<count).map { _ in Float(numbers.normal() * 3) }
        for ratio in [0, 0.31, 0.5, 0.9, 0.999, 1] {
            let (state, buffer) = try state(drawn, coded: coded)
            let before = values(state, count)
            let sorted = before.map(abs).sorted()
            let place = Float(ratio) * Float(count - 1)
            let low = Int(place)
            let (a, b) = (sorted[low], sorted[min(low + 1, count - 1)])
            let bound = a + (place - Float(low)) * (b - a)
            state.pruneSmallest(count, ratio: ratio)
            let after = values(state, count)
            for index in 0..<count where abs(abs(before[index]) - bound) > 1e-6 * bound {
                #expect(after[index] == (abs(before[index]) > bound ? before[index] : 0))
            }
            withExtendedLifetime(buffer) {}
        }
    }

    @Test(arguments: [false, true])
    func `a share is set to zero at random`(_ coded: Bool) throws {
        let drawn = (0..<8192).map { Float($0 % 97) + 1 }
        let (state, buffer) = try state(drawn, coded: coded)
        let before = values(state, drawn.count)
        state.pruneAtRandom(drawn.count, ratio: 0.75, seed: 4)
        let after = values(state, drawn.count)
        let kept = zip(before, after).count { $0 == $1 && $0 != 0 }
        #expect(abs(Double(kept) / Double(before.count { $0 != 0 }) - 0.25) < 0.03)
        #expect(zip(before, after).allSatisfy { $0 == $1 || $1 == 0 })
        withExtendedLifetime(buffer) {}
    }

    // MARK: Runs

    private static func keys(_ interval: Int, _ more: String = "") -> String {
        "relora: true\njagged_restart_steps: \(interval)\njagged_restart_warmup_steps: 1\n" + more
    }

    @Test(
        arguments: [
            ("lora", 1, ""), ("qlora", 2, "optimizer: adamw_bnb_8bit"),
            ("lora", 2, "relora_prune_method: reset\noptimizer: paged_adamw_32bit"),
            ("lora", 9, ""),
        ])
    func `a resumed run equals one that never stopped, bit for bit`(
        _ adapter: String, _ interval: Int, _ more: String
    ) throws {
        let folder = try SmallJob.workplace()
        try SmallJob.checkGoingOn(folder) { output, lines in
            try SmallJob.job(
                SmallJob.config(
                    folder, adapter: adapter, output: output,
                    Self.keys(interval, more) + "\n" + lines), folder)
        }
    }

    @Test func `the saved adapter holds all that was added, and runs on the base as it is`() throws
    {
        let folder = try SmallJob.workplace()
        let lines = Self.keys(1, "lora_rank_pattern: {v_proj: 3}\nlora_alpha_pattern: {v_proj: 5}")
        let losses = try SmallJob.losses(
            SmallJob.job(SmallJob.config(folder, lines), folder))
        let config = try AdapterConfig.read(folder: folder.file("out"))
        #expect(config.rank == 8 && config.rankPattern == ["v_proj": 12])
        #expect(config.alpha == 16 && config.alphaPattern == ["v_proj": 20])
        let again = try SmallJob.losses(
            SmallJob.job(
                SmallJob.config(
                    folder, output: "again",
                    "lora_model_dir: \(folder.file("out"))\neval_on_start: true"), folder))
        let (last, first) = (try #require(losses.last), try #require(again.first))
        #expect(abs(first - last) <= 1e-5 * last, "\(first), \(last)")
    }

    @Test func `a run goes on from a shorter one's checkpoint`() throws {
        let folder = try SmallJob.workplace()
        let lines = Self.keys(2)
        _ = try SmallJob.losses(SmallJob.job(SmallJob.config(folder, lines), folder))
        var longer = try SmallJob.config(
            folder, lines + "\nresume_from_checkpoint: \(folder.file("out/checkpoint-4"))")
        longer.training.maxSteps = 7
        #expect(try SmallJob.losses(SmallJob.job(longer, folder)).allSatisfy(\.isFinite))
        #expect(try AdapterConfig.read(folder: folder.file("out")).rank == 2 * 4)
    }

    @Test(
        arguments: [
            ("relora: true", "jagged_restart_steps"),
            ("jagged_restart_warmup_steps: 3", "jagged_restart_steps"),
            ("relora_steps: 3", "now called jagged_restart_steps"),
            (keys(2, "relora_prune_method: half"), "magnitude, random, reset"),
            (keys(2, "relora_prune_ratio: 2"), "relora_prune_ratio"),
            (keys(2, "optimizer: lion_pytorch"), "adamw_torch"),
            (keys(2, "peft_use_dora: true"), "peft_use_dora"),
            (keys(2, "peft_init_lora_weights: pissa"), "pissa"),
            (keys(2, "lr_scheduler: one_cycle"), "one_cycle"),
            (keys(2, "load_best_model_at_end: true"), "load_best_model_at_end"),
            (keys(2, "rl: orpo"), "rl"),
        ])
    func `what does not go with restarts is refused by name`(_ lines: String, _ word: String) throws
    {
        let folder = try TemporaryFolder()
        let error = try #require(throws: ConfigError.self) {
            _ = try SmallJob.config(folder, lines)
        }
        #expect("\(error)".contains(word), "\(error)")
    }

    @Test func `all weights and embeddings have no restarts`() throws {
        let folder = try SmallJob.workplace()
        let error = try #require(throws: ConfigError.self) {
            _ = try SmallJob.config(folder, adapter: nil, Self.keys(2))
        }
        #expect("\(error)".contains("adapter: lora"))
        let config = try SmallJob.config(
            folder, targets: "[q_proj, embed_tokens]", Self.keys(2))
        let other = try #require(throws: TrainingError.self) {
            _ = try SmallJob.job(config, folder)
        }
        #expect(other.message.contains("embed_tokens"))
    }
}
