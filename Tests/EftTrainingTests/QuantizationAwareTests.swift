// SPDX-License-Identifier: Apache-2.0
// Training with numbers that are rounded as a quantized model will have them.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftTensor
import EftTestSupport
@testable import EftTraining
import Testing

@Suite struct QuantizationAwareTests {
    /// A trace by a definition in PyTorch: see scripts/fixtures/qat.py.
    private struct Case {
        let trace: TrainingTraceTests.Trace
        let settings: QuantizationAwareSettings
        let decoder: Decoder

        init(_ name: String) throws {
            trace = try TrainingTraceTests.Trace("qat/\(name)")
            let json = try ConfigFile.read(Fixtures.path("qat/\(name)/training.json"))
            settings = QuantizationAwareSettings(
                rounding: FakeQuantization(
                    groupSize: try json.int("group_size", default: 0),
                    roundsInputs: try json.required("int8").bool(),
                    roundsEmbedding: try json.required("embedding").bool()),
                afterSteps: try json.int("after", default: 0))
            let model = try json.required("model").string()
            decoder = try DecoderLoader(
                folder: ModelFolder.open(Fixtures.path("models/\(model)")),
                options: LoadOptions(trained: .all)
            ).load(backend: CPUBackend(threads: 2, precision: .f32))
            try settings.rounding.check(decoder.description)
            try decoder.makeTrainable(.all)
            try decoder.makeFakeQuantized(settings.rounding)
        }
    }

    private static let names = ["tied", "tied-embedding", "untied"]

    @Test(arguments: names, [true, false])
    func `ten steps follow PyTorch`(_ name: String, _ checkpointing: Bool) throws {
        let golden = try Case(name)
        let folder = try TemporaryFolder()
        var settings = TrainingTraceTests.settings
        settings.microBatchSize = checkpointing ? 2 : 1
        settings.gradientAccumulationSteps = checkpointing ? 1 : 2
        settings.gradientCheckpointing = checkpointing ? .memory : .none
        settings.outputDir = folder.path
        settings.quantizationAware = golden.settings
        let trainer = try Trainer(
            decoder: golden.decoder, settings: settings, train: golden.trace.examples,
            validation: golden.trace.examples, slots: [], fingerprint: "",
            output: Trainer.Output { _ in })
        var reports: [StepReport] = []
        try trainer.run(
            onEvent: { if case .step(let report) = $0 { reports.append(report) } },
            shouldStop: { false })
        #expect(reports.count == 10)
        let losses = try reports.map(\.loss) + [trainer.evaluationLoss().loss]
        for (index, (loss, expected)) in zip(losses, golden.trace.losses).enumerated() {
            #expect(abs(loss - expected) <= 1e-4 * expected, "step \(index): \(loss), \(expected)")
        }
        for (report, expected) in zip(reports, golden.trace.norms) {
            #expect(
                abs(report.gradientNorm - expected) <= 1e-3 * expected,
                "step \(report.step): \(report.gradientNorm), \(expected)")
        }
    }

    @Test(arguments: names)
    func `gradients equal PyTorch's`(_ name: String) throws {
        let golden = try Case(name)
        let decoder = golden.decoder
        decoder.turnFakeQuantization(on: true)
        let examples = golden.trace.examples
        let labels = examples.flatMap { $0.labels.dropFirst() + [-100] }
        let scored = labels.count { $0 >= 0 }
        let pass = try TrainingPass(
            decoder: decoder,
            need: TrainingNeed(
                rows: labels.count, sequences: 2, adapters: decoder.adapterWidths,
                checkpointing: .none))
        for parameter in decoder.parameters { parameter.zeroGradient() }
        let losses = try pass.run(
            DecoderBatch(sequences: examples.map(\.tokens)), labels: labels,
            gradientScale: 1 / Float(scored))
        decoder.finishGradients()
        let loss = losses.reduce(0, +) / Float(scored)
        let expected = try golden.trace.golden.floats(of: "loss")[0]
        #expect(abs(loss - expected) < 1e-4 * expected)
        let wanted = golden.trace.golden.tensors.filter { $0.name.hasPrefix("grad/") }
        #expect(wanted.count == 2)
        for info in wanted {
            let parameter = try #require(
                decoder.parameters.first { "grad/" + $0.name == info.name })
            let found = try Matrix(
                rows: parameter.shape.rows, columns: parameter.shape.columns, ledger: nil)
            decoder.devices[0].read(parameter.gradient, parameter.shape, into: found)
            let expected = try golden.trace.golden.floats(of: info.name)
            let scale = expected.reduce(0) { max($0, abs($1)) }
            let error = zip(found.array, expected).reduce(0) { max($0, abs($1.0 - $1.1)) }
            #expect(error < 1e-4 * scale, "\(info.name)")
        }
    }

    // MARK: Runs

    private static let block = "qat: {weight_dtype: int4, activation_dtype: int8"

    @Test(arguments: [
        "group_size: 16", "group_size: 256, quantize_embedding: true",
        "fake_quant_after_n_steps: 2",
    ])
    func `the ledger's peak is what was stated, and rounding changes the losses`(
        _ keys: String
    ) throws {
        let folder = try SmallJob.workplace()
        let plain = try SmallJob.losses(
            SmallJob.job(SmallJob.config(folder, adapter: nil), folder))
        let config = try SmallJob.config(folder, adapter: nil, "\(Self.block), \(keys)}")
        let found = try SmallJob.losses(SmallJob.job(config, folder))
        #expect(found.count == plain.count)
        // An evaluation, then loss and norm of two steps.
        let isLater = keys.contains("after")
        #expect((Array(found.prefix(5)) == Array(plain.prefix(5))) == isLater)
        #expect(found.last != plain.last)
    }

    @Test func `a resumed run equals one that never stopped, bit for bit`() throws {
        try SmallJob.checkFullResume(
            "\(Self.block), group_size: 16, fake_quant_after_n_steps: 1}")
    }

    @Test func `two devices compute what one computes`() throws {
        let folder = try SmallJob.workplace()
        let config = try SmallJob.config(folder, adapter: nil, "\(Self.block), group_size: 16}")
        let one = try SmallJob.losses(SmallJob.job(config, folder))
        let whole = try SmallJob.job(config, folder).plan.placed.total.total
        let first = try CPUBackend(
            ledger: MemoryLedger(limit: whole * 2 / 3), threads: 2, precision: .f32)
        let second = CPUBackend(sharing: first, ledger: MemoryLedger(limit: whole))
        let job = try TrainingJob(config, devices: [first, second])
        #expect(job.plan.placed.placement.devices.allSatisfy { !$0.part.isEmpty })
        var losses: [Double] = []
        _ = try job.run(onEvent: {
            switch $0 {
            case .training(.step(let report)): losses += [report.loss, report.gradientNorm]
            case .training(.evaluation(let report)): losses.append(report.loss)
            default: break
            }
        })
        #expect(losses == one)
        for (device, table) in zip([first, second], job.plan.placed.devices) {
            #expect(device.ledger.peakTotal <= table.total)
        }
    }

    // MARK: Refusals

    @Test(arguments: [
        ("{group_size: 32}", "weight_dtype is missing"), ("{weight_dtype: int8}", "set int4"),
        ("{weight_dtype: nvfp4, activation_dtype: nvfp4}", "nvfp4 is not supported"),
        ("{weight_dtype: fp8}", "fp8 is not supported"),
        ("{weight_dtype: in4}", "no type of weights"),
        ("{weight_dtype: int4, activation_dtype: float8}", "'float8' is not supported"),
        ("{weight_dtype: int4, group_size: 1}", "group_size"),
        ("{weight_dtype: int4}\nunfrozen_parameters: [lm_head]", "unfrozen_parameters"),
        ("{weight_dtype: int4}\nrl: orpo", "reward models"),
    ])
    func `what is not supported is refused by name`(_ block: String, _ words: String) throws {
        let folder = try TemporaryFolder()
        let error = try #require(throws: ConfigError.self) {
            _ = try SmallJob.config(folder, adapter: nil, "qat: \(block)")
        }
        #expect("\(error)".contains(words), "\(error)")
    }

    @Test func `adapters, experts and groups that do not fit are refused`() throws {
        let folder = try SmallJob.workplace()
        #expect(throws: ConfigError.self) {
            _ = try SmallJob.config(folder, adapter: "lora", "qat: {weight_dtype: int4}")
        }
        let config = try SmallJob.config(
            folder, adapter: nil, "qat: {weight_dtype: int4, group_size: 24}")
        let error = try #require(throws: ModelError.self) {
            _ = try SmallJob.job(config, folder)
        }
        #expect(error.message.contains("does not divide the 32 inputs"))
    }

    @Test func `unknown keys of the block are named`() throws {
        let folder = try TemporaryFolder()
        let config = try SmallJob.config(
            folder, adapter: nil, "qat: {weight_dtype: int4, groupsize: 16}")
        #expect(config.notices.contains { $0.contains("groupsize") })
    }
}
