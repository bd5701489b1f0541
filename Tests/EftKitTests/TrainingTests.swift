// SPDX-License-Identifier: Apache-2.0
// From training to a served adapter, through the public interface.
import EftBenchmarks
import EftConfig
import EftKit
import EftTestSupport
import Testing

struct TrainingTests {
    /// A run of two steps on the demo's rows.
    private func configuration(_ folder: TemporaryFolder) -> TrainingConfiguration {
        var configuration = TrainingConfiguration(
            baseModel: KitModel.folder, method: .lora,
            datasets: [
                .init(
                    path: Fixtures.packageRoot + "/Examples/demo/lantern.jsonl", type: "alpaca")
            ], output: folder.path + "/adapter")
        configuration.rank = 4
        configuration.sequenceLength = 64
        configuration.maxSteps = 2
        configuration.learningRate = 0.01
        return configuration
    }

    @Test func `a run states its plan, makes its steps, and leaves an adapter`() async throws {
        let folder = try TemporaryFolder()
        var training = Training(configuration(folder), memoryLimit: 4 << 30)
        training.threads = 2
        let planned = try await training.plan()
        #expect(planned.fits)
        var losses: [Double] = []
        var plan: MemoryPlan?
        var summary: TrainingUpdate.Summary?
        for try await update in training.run() {
            switch update {
            case .planned(let memory, let examples, _, _):
                plan = memory
                #expect(examples > 100)
            case .step(let step): losses.append(step.loss)
            case .finished(let end): summary = end
            default: break
            }
        }
        #expect(plan?.items.map(\.purpose) == planned.items.map(\.purpose))
        #expect(losses.count == 2 && losses.allSatisfy { $0 > 0 && $0.isFinite })
        let output = try #require(summary?.output)
        #expect(summary?.loss == losses.last)

        // The adapter changes answers, under its name only, and merged it gives the same ones.
        let base = try await KitModel.load { $0.precision = .f32 }
        let model = try await KitModel.load {
            $0.precision = .f32
            $0.maxAdapters = 1
        }
        try await model.loadAdapter(output, name: "lantern")
        #expect(model.adapterNames == ["lantern"])
        var options = GenerationOptions.greedy
        options.maxTokens = 16
        let prompt = "### Instruction:\nWho cooks?\n\n### Response:\n"
        let plain = try await model.complete(prompt, options: options).text
        #expect(plain == (try await base.complete(prompt, options: options).text))
        options.adapter = "lantern"
        let adapted = try await model.complete(prompt, options: options).text
        #expect(adapted != plain)
        let merged = folder.path + "/merged"
        try await ModelFiles.merge(
            base: KitModel.folder, adapter: output, into: merged, type: .f32)
        let whole = try await LanguageModel.load(merged, options: KitModel.options)
        options.adapter = nil
        #expect(try await whole.complete(prompt, options: options).text == adapted)
        try await model.unloadAdapter("lantern")
        options.adapter = "lantern"
        let gone = options
        let failure = await #expect(throws: EftError.self) {
            try await model.complete(prompt, options: gone)
        }
        #expect(failure?.kind == .usage)
    }

    @Test func `settings win over properties and unknown ones are named`() async throws {
        let folder = try TemporaryFolder()
        var configuration = configuration(folder)
        configuration.settings = ["learning_rate": "no number"]
        let failure = await #expect(throws: EftError.self) {
            try await Training(configuration).plan()
        }
        #expect(failure?.kind == .usage)
        #expect(failure?.message.contains("learning_rate") == true)
    }

    @Test func `a model is quantized and runs`() async throws {
        let folder = try TemporaryFolder()
        var options = QuantizationOptions(bits: 4)
        options.rows = 4
        options.rowLength = 64
        let result = try await ModelFiles.quantize(
            KitModel.folder, into: folder.path + "/exl2", workFolder: folder.path + "/work",
            calibration: Fixtures.packageRoot + "/Examples/demo/calibration.txt",
            options: options)
        #expect(result.bitsPerWeight > options.bits - 0.1 && result.bitsPerWeight <= options.bits)
        #expect(result.errors.count > 4)
        let model = try await LanguageModel.load(
            folder.path + "/exl2", options: KitModel.options)
        #expect(
            try await model.complete("Once upon a time", options: .init(maxTokens: 4)).tokens > 0)
    }

    @Test func `GPTQ and FP8 folders are written and run`() async throws {
        let folder = try TemporaryFolder()
        var options = QuantizationOptions.gptq(groupSize: 64, isActivityOrdered: true)
        options.rows = 4
        options.rowLength = 64
        let result = try await ModelFiles.quantize(
            KitModel.folder, into: folder.path + "/gptq", workFolder: folder.path + "/work",
            calibration: Fixtures.packageRoot + "/Examples/demo/calibration.txt",
            options: options)
        #expect(result.bitsPerWeight > 4.25 && result.bitsPerWeight < 5)
        try await ModelFiles.quantizeToFP8(
            KitModel.folder, into: folder.path + "/fp8", blockSize: 64)
        for (name, method) in [("gptq", "gptq"), ("fp8", "fp8")] {
            let path = folder.path + "/" + name
            let config = try ConfigFile.read(path + "/config.json")
            let form = try config.required("quantization_config")
            #expect(try form.required("quant_method").string() == method)
            let model = try await LanguageModel.load(path, options: KitModel.options)
            #expect(
                try await model.complete("Once upon a time", options: .init(maxTokens: 4)).tokens
                    > 0)
        }
        options.format = .gptq(groupSize: 48)
        let failure = await #expect(throws: EftError.self) {
            try await ModelFiles.quantize(
                KitModel.folder, into: folder.path + "/no", workFolder: folder.path + "/no-work",
                calibration: Fixtures.packageRoot + "/Examples/demo/calibration.txt",
                options: options)
        }
        #expect(failure?.message.contains("32, 64 or 128") == true)
    }

    @Test func `a loaded model is served beside its use in the program`() async throws {
        let model = try await KitModel.load()
        let server = try model.serve(ModelServerOptions(port: 0))
        let target = try ServerTarget(url: server.url)
        let models = try target.fetchJSON("/v1/models")
        #expect("\(models)".contains("model"))
        var options = GenerationOptions.greedy
        options.maxTokens = 8
        let own = try await model.complete("Once upon a time", options: options).text
        let body = #"{"prompt": "Once upon a time", "max_tokens": 8, "temperature": 0}"#
        let (status, answer) = try target.fetch(
            "POST", "/v1/completions", body: Array(body.utf8))
        #expect(status == 200)
        let choice = try ConfigCursor(JSONParser.parse(answer)).required("choices").elements()[0]
        let text = try choice.required("text").string()
        #expect(text == own)
        let tags = try ConfigCursor(target.fetchJSON("/api/tags")).required("models").elements()
        #expect(try tags[0].required("details").required("family").string() == "llama")
        #expect(try tags[0].required("size").int() > 1 << 20)
        await server.stop(within: .seconds(1))
    }
}
