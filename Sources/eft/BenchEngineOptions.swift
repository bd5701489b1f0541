// SPDX-License-Identifier: Apache-2.0
// What benchmarks of the engine are asked for on the command line.
import EftBenchmarks
import EftCommandLine
import EftModels
import EftNN
import EftPlanning
import EftTensor

/// The model and the bounds of an engine that is measured.
enum BenchEngineOptions {
    static let all = [
        OptionSpecification(
            "-m", "--model", kind: .value("DIR"), help: "a model's folder, instead of --shape",
            completion: .folder),
        BenchOptions.shape,
        BenchOptions.layers,
        BenchOptions.bits,
        EngineOptions.maxBatchedTokens(default: 2048),
        EngineOptions.blocks(default: "as many as all sequences can fill"),
        BenchOptions.seed,
        OptionSpecification(
            "--output-json", kind: .value("FILE"), help: "write the figures there too",
            completion: .file),
        CommonOptions.memory, CommonOptions.kvType, CommonOptions.threads,
        CommonOptions.servingPrecision, CommonOptions.json,
    ]

    /// Loads the model, or makes one of random weights.
    /// - Throws: `TensorError` when it does not fit the memory.
    static func decoder(_ arguments: ParsedArguments) throws -> Decoder {
        let backend = try CommonOptions.backend(
            arguments, limit: CommonOptions.limit(arguments))
        if arguments.isGiven("model") {
            guard !arguments.isGiven("shape"), !arguments.isGiven("layers") else {
                throw arguments.error("model", "and --shape or --layers exclude each other")
            }
            return try DecoderLoader(folder: ModelFolder.open(arguments.model("model"))).load(
                backend: backend)
        }
        let shape = BenchOptions.shape(arguments)
        let layers = try arguments.int(
            "layers", default: shape.layers, in: BenchCommand.layerRange)
        let bits = try arguments.double("bits", default: 4, in: 2...8)
        return try RandomWeights.decoder(
            shape.description(layers: layers), format: .exl2(bits: bits, headBits: 6),
            backend: backend)
    }

    /// The engine's bounds for sequences of a length.
    /// - Throws: `UsageError` when the model's context is shorter, or bounds contradict each other.
    static func bounds(
        _ arguments: ParsedArguments, _ decoder: Decoder, length: Int, sequences: Int
    ) throws -> EngineBenchOptions {
        let description = decoder.description
        guard length <= description.contextLength else {
            throw UsageError(
                "prompt and answer have up to \(length) tokens, the model was made for "
                    + "\(description.contextLength); ask for fewer", command: arguments.command.name
            )
        }
        var options = EngineBenchOptions(maxModelLength: length)
        options.maxSequences = sequences
        options.maxBatchedTokens = try arguments.int(
            "max-num-batched-tokens", default: 2048, in: 1...(1 << 20))
        options.kvType = try CommonOptions.cacheType(arguments, description)
        options.pages = try arguments.int("num-gpu-blocks-override", in: 1...(1 << 30))
        if let pages = options.pages, pages < pageCount(tokens: length) {
            throw arguments.error(
                "num-gpu-blocks-override",
                "is \(pages), one sequence of \(length) tokens takes \(pageCount(tokens: length))")
        }
        return options
    }
}
