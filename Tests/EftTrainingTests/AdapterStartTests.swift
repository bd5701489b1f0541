// SPDX-License-Identifier: Apache-2.0
// Adapters that begin from the base's weights, against PEFT.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor
import EftTestSupport
@testable import EftTraining
import Testing

@Suite struct AdapterStartTests {
    /// A base of the fixtures with a fresh adapter.
    private struct Started {
        let decoder: Decoder
        let attached: AttachedAdapter
        let targets: AdapterTargets
    }

    private static let lines = [
        "pissa": "lora_alpha: 8\npeft_init_lora_weights: pissa\n",
        "pissa-rslora": "lora_alpha: 3\npeft_use_rslora: true\npeft_init_lora_weights: pissa\n",
        "olora": "lora_alpha: 2\npeft_init_lora_weights: olora\n",
        "loftq": "lora_alpha: 2\npeft: {loftq_config: {loftq_bits: 4}}\n",
    ]

    private func start(_ name: String, _ more: String? = nil) throws -> Started {
        let facts = try ConfigFile.read(Fixtures.path("adapter-forms/\(name)/case.json"))
        let path = Fixtures.path(try facts.required("base").string())
        let text = """
            base_model: \(path)
            datasets: [{path: d.json, type: alpaca}]
            learning_rate: 0.01
            adapter: lora
            lora_r: 4
            \(name == "loftq" ? "lora_target_linear: true" : "lora_target_modules: [q_proj, k_proj, down_proj]")
            \(more ?? Self.lines[name] ?? "")
            """
        let config = try AxolotlConfig(
            ConfigCursor(YAMLParser.parse(text, file: "c.yml"), file: "c.yml"))
        let settings = try #require(config.adapter)
        #expect(settings.quantizesBase == (name == "loftq"))
        let folder = try ModelFolder.open(path)
        let backend = try CPUBackend(threads: 2, precision: .f32)
        let options = LoadOptions(
            linears: settings.quantizesBase
                ? .nf4(doubleQuantization: config.model.doubleQuantization) : .asStored)
        let decoder = try DecoderLoader(folder: folder, options: options).load(backend: backend)
        let targets = try AdapterTargets(
            settings, description: folder.description, baseModel: "base")
        let attached = try targets.attach(
            to: decoder, seed: 1,
            start: AdapterStart(
                initialization: targets.initialization, folder: folder, seed: 1),
            resumed: nil, shouldStop: { false })
        return Started(decoder: decoder, attached: attached, targets: targets)
    }

    /// scale * B A of an adapter.
    private func product(_ adapter: LoRA) -> [Float] {
        let (a, b, rank) = (adapter.a, adapter.b, adapter.rank)
        return (0..<b.rows).flatMap { row in
            (0..<a.columns).map { column in
                (0..<rank).reduce(Float(0)) {
                    $0 + b.pointer[row * rank + $1] * a.pointer[$1 * a.columns + column]
                } * adapter.scale
            }
        }
    }

    private func error(_ found: [Float], _ wanted: [Float]) -> Float {
        let top = wanted.reduce(1e-30) { max($0, abs($1)) }
        return zip(found, wanted).reduce(0) { max($0, abs($1.0 - $1.1)) } / top
    }

    @Test(arguments: ["pissa", "pissa-rslora", "olora", "loftq"])
    func `A and B begin as PEFT's`(_ name: String) throws {
        let started = try start(name)
        let golden = try CheckpointFolder.open(
            Fixtures.path("adapter-forms/\(name)/start.safetensors"))
        var compared = 0
        for linear in started.decoder.linears where golden.find(linear.name) != nil {
            let adapter = try #require(linear.adapters[started.attached.slot])
            let wanted = try golden.floats(of: linear.name)
            #expect(error(product(adapter), wanted) < 1e-4, "\(linear.name)")
            if let start = started.attached.start {
                let taken = try #require(linear.adapters[start])
                #expect(zip(product(taken), product(adapter)).allSatisfy { $0 == -$1 })
                #expect(taken.trained.isEmpty)
            }
            compared += 1
        }
        #expect(compared == golden.tensors.count && compared == (name == "loftq" ? 7 : 3))
    }

    @Test(arguments: ["pissa", "pissa-rslora", "olora", "loftq"])
    func `training and what it saves follow PEFT`(_ name: String) throws {
        let path = "adapter-forms/\(name)"
        let started = try start(name)
        let trace = try TrainingTraceTests.Trace(path)
        let folder = try TemporaryFolder()
        var settings = TrainingTraceTests.settings
        settings.outputDir = folder.path
        let trainer = try Trainer(
            decoder: started.decoder, settings: settings, train: trace.examples,
            validation: trace.examples, slots: started.attached.slots, fingerprint: "",
            output: Trainer.Output { _ in })
        var losses: [Double] = []
        try trainer.run(
            onEvent: { if case .step(let report) = $0 { losses.append(report.loss) } },
            shouldStop: { false })
        losses.append(try trainer.evaluationLoss().loss)
        #expect(losses.count == trace.losses.count)
        let tolerance = name == "loftq" ? 1e-3 : 2e-4
        for (index, (loss, wanted)) in zip(losses, trace.losses).enumerated() {
            #expect(abs(loss - wanted) < tolerance * wanted, "step \(index): \(loss), \(wanted)")
        }
        // What the base's weights have changed by, NF4's rounding of them left out.
        let golden = try CheckpointFolder.open(Fixtures.path(path + "/final.safetensors"))
        for linear in started.decoder.linears where golden.find(linear.name) != nil {
            var found = [Float](repeating: 0, count: linear.weight.inputs * linear.weight.outputs)
            for slot in started.attached.slots {
                let part = product(try #require(linear.adapters[slot]))
                for index in found.indices { found[index] += part[index] }
            }
            if name == "loftq" { continue }
            let wanted = try golden.floats(of: linear.name)
            #expect(error(found, wanted) < 5e-3, "\(linear.name)")
        }
        guard name != "loftq" else { return }
        // The saved adapter alone on the base is the trained model, as PEFT's conversion is.
        let output = folder.file("adapter")
        try AdapterFile.save(
            started.decoder, slot: started.attached.slot, start: started.attached.start,
            config: started.targets.config, to: output)
        let config = try AdapterConfig.read(folder: output)
        let theirs = try AdapterConfig.read(folder: Fixtures.path(path + "/adapter"))
        #expect(config.rank == theirs.rank && config.rankStabilized == theirs.rankStabilized)
        #expect(abs(config.alpha - theirs.alpha) < 1e-9)
        let facts = try ConfigFile.read(Fixtures.path(path + "/case.json"))
        let base = try ModelFolder.open(Fixtures.path(facts.required("base").string()))
        let decoder = try DecoderLoader(folder: base)
            .load(backend: CPUBackend(threads: 2, precision: .f32))
        let slot = try AdapterFile.load(output, into: decoder)
        for linear in decoder.linears {
            try linear.adapters[slot]?.makeTrainable(prefix: linear.name, ledger: nil)
        }
        let again = try Trainer(
            decoder: decoder, settings: settings, train: trace.examples,
            validation: trace.examples, slots: [slot], fingerprint: "",
            output: Trainer.Output { _ in })
        let loss = try again.evaluationLoss().loss
        #expect(abs(loss - (losses.last ?? 0)) < 1e-4 * loss)
    }

    @Test func `a rank beyond the weight and a scale without a root are refused`() throws {
        for line in [
            "lora_alpha: 8\npeft_init_lora_weights: pissa\nlora_rank_pattern: {k_proj: 4000}\n",
            "lora_alpha: -8\npeft_init_lora_weights: pissa\n",
            "lora_alpha: 8\npeft_init_lora_weights: orthogonal\nlora_rank_pattern: {k_proj: 3}\n",
        ] {
            let error = try #require(throws: TrainingError.self) { try start("pissa", line) }
            #expect(error.code == .configuration)
        }
    }

    @Test(arguments: [
        "peft_init_lora_weights: eva", "peft_init_lora_weights: corda",
        "peft_init_lora_weights: loftq", "peft_init_lora_weights: pissa_niter_x",
        "peft_init_lora_weights: pissa\npeft_use_dora: true",
        "peft: {loftq_config: {loftq_bits: 8}}",
        "peft: {loftq_config: {loftq_bits: 4, loftq_iter: 5}}", "peft: {other: 1}",
        "peft_init_lora_weights: pissa\npeft_use_rslora: true\nlora_rank_pattern: {q_proj: 2}",
    ])
    func `what cannot begin so is refused with its key`(_ line: String) throws {
        let error = try #require(throws: ConfigError.self) {
            try start("pissa", "lora_alpha: 8\n" + line + "\n")
        }
        #expect(error.keyPath.hasPrefix("peft"))
    }

    @Test func `a base in 4 bits and PiSSA are refused`() throws {
        let folder = try SmallJob.workplace()
        let error = try #require(throws: ConfigError.self) {
            try SmallJob.config(folder, adapter: "qlora", "peft_init_lora_weights: olora\n")
        }
        #expect(error.description.contains("loftq"))
    }
}
