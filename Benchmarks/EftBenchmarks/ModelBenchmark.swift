// SPDX-License-Identifier: Apache-2.0
// Whole models of a known shape: decoding, reading a prompt, a QLoRA step.
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
        /// The model's shape.
        package var shape = NamedShape.tinyLlama
        /// Layers of the model; all, or as many as fit, when nil.
        package var layers: Int?
        /// Bytes that weights may take where the number of layers is not given.
        package var weightBytes = (MachineMemory.available ?? .max) / 4 * 3
        /// Tokens decoded.
        package var tokens = 32
        /// Tokens of the prompt, and of each sequence of a training step.
        package var promptTokens = 512

        /// Starts from the figures that are published.
        package init() {}
    }

    /// A model in a format, with as many layers as were asked for or fit.
    private struct Model {
        let description: DecoderDescription
        let layouts: DecoderLayouts
        /// What results call it; nothing for the usual shape.
        let label: String

        /// - Throws: `ConfigError` or `ModelError` for a shape that the format cannot hold, or of which no layer fits.
        init(_ options: Options, _ format: PlannedFormat) throws {
            let shape = options.shape
            let whole = try DecoderLayouts(shape.description(layers: shape.layers), format: format)
            let ends = whole.endBytes(.whole(layers: shape.layers))
            var (fitting, taken) = (0, ends)
            for layer in whole.layers {
                taken += layer.reduce(whole.layerVectorBytes) { $0 + $1.byteCount }
                guard taken <= options.weightBytes else { break }
                fitting += 1
            }
            guard let layers = options.layers ?? (fitting > 0 ? fitting : nil) else {
                throw ModelError(
                    .invalidInput,
                    "not even one layer of \(shape.name) fits the memory that is free; give --layers to try all the same"
                )
            }
            description = try shape.description(layers: layers)
            layouts = try DecoderLayouts(description, format: format)
            let share = layers == shape.layers ? "" : " (\(layers) of \(shape.layers) layers)"
            label =
                shape.name == NamedShape.tinyLlama.name && share.isEmpty
                ? "" : shape.name + share + ", "
        }

        /// A number of all linear layers that a token uses: of experts, of those that it chooses.
        private func used(_ number: (_ layer: Int, _ linear: Int) -> Int) -> Double {
            (0..<description.layers).reduce(0.0) { sum, layer in
                layouts.layers[layer].indices.reduce(sum) { sum, linear in
                    let experts = layouts.experts[layer]
                    let share =
                        experts.map { mixture in
                            mixture.linears.contains(linear)
                                ? Double(mixture.perRow) / Double(mixture.count) : 1
                        } ?? 1
                    return sum + share * Double(number(layer, linear))
                }
            }
        }

        /// Bytes that decoding reads for a token: all weights but the embedding and experts that are not chosen.
        var tokenBytes: Double {
            used { layouts.layers[$0][$1].byteCount } + Double(layouts.head.byteCount)
                + Double(description.layers * layouts.layerVectorBytes + layouts.finalNormBytes)
        }

        /// Weights of a token's products inside the layers.
        var layerWeights: Double {
            used { layouts.layers[$0][$1].inputs * layouts.layers[$0][$1].outputs }
        }

        /// Weights of a token's products, without the embedding look-up.
        var productWeights: Double {
            layerWeights + Double(description.vocabulary * description.shape.hidden)
        }
    }

    /// Tokens per second of decoding at batch 1, beside bandwidth divided by bytes a token.
    package static func decode(
        _ backend: CPUBackend, limits: MachineLimits, options: Options
    ) throws -> BenchmarkResult {
        let format = PlannedFormat.exl2(bits: 4, headBits: 6)
        let model = try Model(options, format)
        let decoder = try RandomWeights.decoder(
            model.description, format: format, backend: backend)
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
            "decode, \(model.label)EXL2 4 bits, batch 1, \(backend.precision.rawValue)", 1 / median,
            "tokens/s", limit: limits.readBandwidth / model.tokenBytes,
            limitName: "bandwidth / bytes a token")
    }

    /// Tokens per second of reading a prompt, beside the arithmetic peak.
    package static func prefill(
        _ backend: CPUBackend, limits: MachineLimits, options: Options
    ) throws -> BenchmarkResult {
        let format = PlannedFormat.exl2(bits: 4, headBits: 6)
        let model = try Model(options, format)
        let description = model.description
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
        let operations = 2 * model.layerWeights * Double(tokens)
        return result(
            "prefill of \(tokens) tokens, \(model.label)EXL2 4 bits, \(backend.precision.rawValue)",
            tokens: Double(tokens), seconds,
            operations: operations, limits.peak(format, backend.precision))
    }

    /// Tokens per second of a QLoRA step on all linear layers but experts and what chooses them, counted as three forward
    /// passes.
    package static func train(
        _ backend: CPUBackend, limits: MachineLimits, options: Options
    ) throws -> BenchmarkResult {
        let format = PlannedFormat.nf4(ends: .bf16)
        let model = try Model(options, format)
        let description = model.description
        let decoder = try RandomWeights.decoder(description, format: format, backend: backend)
        let adapted = Set(
            (0..<description.layers).flatMap { description.linears(layer: $0) }
                .filter { $0.expert == nil && !$0.role.isRouter }.map(\.name))
        for linear in decoder.linears where adapted.contains(linear.name) {
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
            "QLoRA step on NF4, \(model.label)2 x \(options.promptTokens) tokens, rank 16, "
                + backend.precision.rawValue, tokens: tokens, seconds,
            operations: 3 * 2 * model.productWeights * tokens,
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
