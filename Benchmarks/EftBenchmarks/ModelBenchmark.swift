// SPDX-License-Identifier: Apache-2.0
// Whole models of TinyLlama's shape: decoding, reading a prompt, a QLoRA step.
import EftGeneration
import EftModels
import EftNN
import EftPlanning
import EftTensor
import EftTraining

/// Times passes of a decoder of random weights.
package enum ModelBenchmark {
    /// What to run with.
    package struct Options: Sendable {
        /// Layers of the model; all 22 by default.
        package var layers = 22
        /// Tokens decoded.
        package var tokens = 32
        /// Tokens of the prompt, and of each sequence of a training step.
        package var promptTokens = 512

        /// Starts from the figures that are published.
        package init() {}
    }

    /// Weights of one token's products, without the embedding look-up.
    private static func productWeights(_ description: DecoderDescription) -> Double {
        Double(description.linearWeightCount + description.vocabulary * description.shape.hidden)
    }

    /// Tokens per second of decoding at batch 1, beside bandwidth divided by bytes a token.
    package static func decode(
        _ backend: CPUBackend, limits: MachineLimits, options: Options
    ) throws -> BenchmarkResult {
        let description = try NamedShape.tinyLlama.description(layers: options.layers)
        let format = PlannedFormat.exl2(bits: 4, headBits: 6)
        let decoder = try RandomWeights.decoder(description, format: format, backend: backend)
        let layouts = try DecoderLayouts(description, format: format)
        let bytes = Double(layouts.byteCount - layouts.embedding.byteCount)
        let need = GenerationNeed(contextLength: options.tokens * 2 + 16)
        let generator = try Generator(decoder: decoder, need: need)
        var times: [Double] = []
        var last = ContinuousClock.now
        let request = GenerationRequest(
            prompt: [1], parameters: GenerationParameters(maxTokens: options.tokens * 2))
        _ = try generator.run([request]) { _, _ in
            let now = ContinuousClock.now
            times.append((now - last).seconds)
            last = now
            return true
        }
        let median = times.dropFirst(4).sorted()[max(0, times.count - 4) / 2]
        return BenchmarkResult(
            "decode, EXL2 4 bits, batch 1, \(backend.precision.rawValue)", 1 / median, "tokens/s",
            limit: limits.readBandwidth / bytes, limitName: "bandwidth / bytes a token")
    }

    /// Tokens per second of reading a prompt, beside the arithmetic peak.
    package static func prefill(
        _ backend: CPUBackend, limits: MachineLimits, options: Options
    ) throws -> BenchmarkResult {
        let description = try NamedShape.tinyLlama.description(layers: options.layers)
        let format = PlannedFormat.exl2(bits: 4, headBits: 6)
        let decoder = try RandomWeights.decoder(
            description, format: format, backend: backend)
        let tokens = options.promptTokens
        let workspace = try DecoderWorkspace(
            DecoderWorkspaceNeed(rows: tokens, logitRows: 1), description: description,
            backend: backend)
        let cache = try PagedCache(
            pageCount: pageCount(tokens: tokens), layers: description.layers,
            shape: description.shape, kvType: .bf16, ledger: backend.ledger)
        _ = cache.extend(sequence: 0, to: tokens)
        let ids = (0..<tokens).map { Int32($0 * 37 % description.vocabulary) }
        let batch = DecoderBatch(sequences: [ids])
        let seconds = try Stopwatch.median(3) {
            _ = try decoder.forward(batch, cache: cache, workspace: workspace)
        }
        let operations = 2 * Double(description.linearWeightCount) * Double(tokens)
        return result(
            "prefill of \(tokens) tokens, EXL2 4 bits, \(backend.precision.rawValue)",
            tokens: Double(tokens), seconds,
            operations: operations, limits.peak(format, backend.precision))
    }

    /// Tokens per second of a QLoRA step, counted as three forward passes.
    package static func train(
        _ backend: CPUBackend, limits: MachineLimits, options: Options
    ) throws -> BenchmarkResult {
        let description = try NamedShape.tinyLlama.description(layers: options.layers)
        let format = PlannedFormat.nf4(ends: .bf16)
        let decoder = try RandomWeights.decoder(description, format: format, backend: backend)
        for linear in decoder.linears {
            let adapter = try LoRA(
                inputs: linear.weight.inputs, outputs: linear.weight.outputs, rank: 16, scale: 2,
                dropout: 0, ledger: backend.ledger)
            for index in 0..<adapter.a.count { adapter.a.pointer[index] = Float(index % 7) * 0.001 }
            try adapter.makeTrainable(prefix: linear.name, ledger: backend.ledger)
            linear.adapters[0] = adapter
        }
        var settings = TrainingSettings()
        settings.sequenceLen = options.promptTokens
        settings.microBatchSize = 2
        settings.gradientCheckpointing = .memory
        settings.learningRate = 1e-4
        let examples = (0..<2).map { sequence in
            TrainingExample(
                tokens: (0..<options.promptTokens).map {
                    Int32(($0 * 37 + sequence * 11) % description.vocabulary)
                })
        }
        let need = TrainingNeed(
            rows: 2 * options.promptTokens, sequences: 2, adapters: AdapterWidths(rank: 16),
            checkpointing: .memory)
        let pass = try TrainingPass(decoder: decoder, need: need)
        let optimizer = try Optimizer(
            parameters: decoder.parameters, settings: settings, devices: [backend])
        let micro = MicroBatch(examples, slots: [0])
        let seconds = try Stopwatch.median(3) {
            optimizer.zeroGradients()
            _ = try pass.run(
                micro.batch, labels: micro.labels, gradientScale: 1 / Float(micro.trainedTokens))
            try optimizer.step(learningRate: 1e-4)
        }
        let tokens = Double(micro.batch.count)
        return result(
            "QLoRA step on NF4, 2 x \(options.promptTokens) tokens, rank 16, "
                + backend.precision.rawValue, tokens: tokens, seconds,
            operations: 3 * 2 * productWeights(description) * tokens,
            limits.peak(format, backend.precision))
    }

    /// A speed in tokens per second, with the peak turned into the same unit.
    private static func result(
        _ name: String, tokens: Double, _ seconds: Double, operations: Double,
        _ peak: MachineLimits.Peak
    ) -> BenchmarkResult {
        BenchmarkResult(
            name, tokens / seconds, "tokens/s", limit: peak.value / (operations / tokens),
            limitName: "at the \(peak.name)")
    }
}
