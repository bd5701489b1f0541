// SPDX-License-Identifier: Apache-2.0
// A 16-bit model to EXL2, GPTQ or FP8.
import EftConversion
import EftModels
import EftTokenizers

/// The way in which widths are chosen and weights rounded; the file format is the same.
public enum QuantizationRecipe: String, Sendable, Hashable, CaseIterable {
    /// By how much the model's predictions depend on each layer.
    case eft
    /// As ExLlamaV2's converter does.
    case exllamav2
    /// One width for all layers, without measurement.
    case uniform
}

/// The form of the files of a quantized model.
public enum QuantizationFormat: Sendable, Hashable {
    /// ExLlamaV2's, whose layers have widths of their own.
    case exl2
    /// AutoGPTQ's and GPTQModel's, which transformers and vLLM load: one width of 2, 3, 4 or 8 bits.
    /// - Parameters:
    ///   - groupSize: inputs that share a scale: 32, 64 or 128.
    ///   - isActivityOrdered: whether inputs are quantized and grouped by falling activity (`desc_act`).
    case gptq(groupSize: Int = 128, isActivityOrdered: Bool = false)
}

/// How a model is quantized by GPTQ.
public struct QuantizationOptions: Sendable, Hashable {
    /// The form of the files.
    public var format = QuantizationFormat.exl2
    /// Bits of a weight of the decoder's layers, such as 2.4 or 4.65; the recipe `uniform` takes 2, 3, 4, 5, 6 or 8, GPTQ's files
    /// 2, 3, 4 or 8.
    public var bits = 4.125
    /// How widths are chosen and weights rounded, in EXL2.
    public var recipe = QuantizationRecipe.eft
    /// Bits of a weight of the head, in EXL2.
    public var headBits = 6
    /// Calibration rows.
    public var rows = 100
    /// Tokens of a calibration row; 2048, or the model's context if that is shorter, when nil.
    public var rowLength: Int?
    /// Most bytes to hold; the machine's memory less a margin when nil.
    public var memoryLimit: Int?

    /// Chooses the widths.
    public init(
        bits: Double = 4.125, headBits: Int = 6, recipe: QuantizationRecipe = .eft
    ) {
        self.bits = bits
        self.recipe = recipe
        self.headBits = headBits
    }

    /// Writes GPTQ's files.
    public static func gptq(
        bits: Int = 4, groupSize: Int = 128, isActivityOrdered: Bool = false
    ) -> QuantizationOptions {
        var options = QuantizationOptions(bits: Double(bits))
        options.format = .gptq(groupSize: groupSize, isActivityOrdered: isActivityOrdered)
        return options
    }

    fileprivate var form: QuantizeForm {
        switch format {
        case .exl2: .exl2
        case .gptq(let size, let isOrdered):
            .gptq(GPTQSettings(groupSize: size, isActivityOrdered: isOrdered))
        }
    }
}

/// What a quantization came to.
public struct QuantizationResult: Sendable, Hashable {
    /// Bits a weight of the decoder's layers, scales and tables counted.
    public let bitsPerWeight: Double
    /// Perplexity of the quantized model on the first calibration rows.
    public let calibrationPerplexity: Double?
    /// The share of its output that each linear layer loses, by name.
    public let errors: [String: Double]
}

extension ModelFiles {
    /// Quantizes a 16-bit model by GPTQ, layer by layer, to EXL2 or to GPTQ's own files.
    /// - Parameters:
    ///   - input: the model's folder.
    ///   - output: the folder to write.
    ///   - workFolder: where finished layers are kept until the work is done; a stopped run goes on there.
    ///   - calibration: a text like those that the model will read, or a `.jsonl` file of rows with a text.
    ///   - options: widths, rows and memory.
    ///   - onProgress: receives weights that are quantized.
    /// - Throws: `EftError`.
    @discardableResult
    public static func quantize(
        _ input: String, into output: String, workFolder: String, calibration: String,
        options: QuantizationOptions = QuantizationOptions(),
        onProgress: ProgressHandler? = nil
    ) async throws(EftError) -> QuantizationResult {
        try await Background.run { flag in
            let device = try FileWork(options.memoryLimit)
            let folder = try ModelFolder.open(input)
            let length = options.rowLength ?? min(2048, folder.description.contextLength)
            var internalOptions = QuantizeOptions(
                bits: options.bits,
                recipe: QuantizeRecipe(rawValue: options.recipe.rawValue) ?? .eft,
                headBits: options.headBits, rows: options.rows, length: length)
            internalOptions.form = options.form
            try internalOptions.check()
            let tokenizer = try Tokenizer.load(folder: folder.path)
            let rows = try CalibrationRows(
                file: calibration, rows: options.rows, length: length
            ) { try tokenizer.encode($0, addSpecialTokens: true) }
            let job = try QuantizeJob(
                input: input, work: workFolder, output: output, calibration: rows,
                options: internalOptions, backend: device.backend)
            try device.requireFit("quantize", try job.memory(), work: .quantizing)
            let report = try job.run(ConversionMonitor(flag, onProgress))
            return QuantizationResult(
                bitsPerWeight: report.bitsPerWeight,
                calibrationPerplexity: report.calibrationPerplexity,
                errors: Dictionary(
                    report.linears.map { ($0.name, $0.error.squareRoot()) },
                    uniquingKeysWith: { first, _ in first }))
        }
    }

    /// Rounds a 16-bit model to 8-bit floating point (E4M3) with a scale for each block, as DeepSeek and Qwen publish theirs.
    /// - Parameters:
    ///   - input: the model's folder.
    ///   - output: the folder to write.
    ///   - blockSize: rows and columns that share a scale: 32, 64 or 128.
    ///   - memoryLimit: most bytes to hold; the machine's memory less a margin when nil.
    ///   - onProgress: receives bytes that are written.
    /// - Returns: the names of the weight files that were written.
    /// - Throws: `EftError`. A canceled run goes on when it is started again.
    @discardableResult
    public static func quantizeToFP8(
        _ input: String, into output: String, blockSize: Int = 128, memoryLimit: Int? = nil,
        onProgress: ProgressHandler? = nil
    ) async throws(EftError) -> [String] {
        try await Background.run { flag in
            let device = try FileWork(memoryLimit)
            let folder = try ModelFolder.open(input, scores: true)
            let converter = try FP8Converter(
                folder, output: output, block: blockSize, backend: device.backend)
            try device.requireFit(
                "quantize to FP8", FP8Converter.memory(folder.description, block: blockSize))
            return try converter.run(ConversionMonitor(flag, onProgress))
        }
    }
}
