// SPDX-License-Identifier: Apache-2.0
// How a model is to be quantized.
import EftQuant

/// Options of a quantization.
package struct QuantizeOptions: Sendable, Hashable {
    /// Bits on disk of a weight of the decoder's linear layers, scales counted; with the recipe `uniform` the width of
    /// their codes: 2, 3, 4, 5, 6 or 8.
    package var bits: Double
    /// The form of the files.
    package var form = QuantizeForm.exl2
    /// How widths are chosen and weights rounded, in EXL2.
    package var recipe: QuantizeRecipe
    /// Width of the head, as the format's options for heads name it.
    package var headBits: Int
    /// Whether the embedding is quantized as well, to the head's width; a tied one is then stored once, for both.
    package var quantizesEmbedding = false
    /// Calibration rows at most.
    package var rows: Int
    /// Tokens of a calibration row.
    package var length: Int
    /// Of these rows, how many are measured with, and how many of their tokens.
    package var measurementRows = 16
    package var measurementLength: Int
    /// Bytes of a shard at most.
    package var maxShardBytes: Int
    /// Whether an earlier job in the work folder is thrown away.
    package var startsAnew: Bool
    /// What positions are divided by, and NTK's alpha, for a model that is to be used so.
    package var ropeScale: Double?
    package var ropeAlpha: Double?
    /// The folder of a PEFT adapter to fold into the base as it is read.
    package var adapter: String?
    /// A measurement file to use instead of measuring.
    package var measurement: String?
    /// Where the measurement goes when that is all that is wanted.
    package var measurementOutput: String?

    /// Widths that a target can have.
    package static let bitsRange = 2.0...8.5

    /// Makes options with the defaults of the field's tool.
    package init(
        bits: Double = 4, recipe: QuantizeRecipe = .eft, headBits: Int = 6, rows: Int = 100,
        length: Int = 2048, maxShardBytes: Int = 8192 << 20, startsAnew: Bool = false
    ) {
        self.bits = bits
        self.recipe = recipe
        self.headBits = headBits
        self.rows = rows
        self.length = length
        measurementLength = length
        self.maxShardBytes = maxShardBytes
        self.startsAnew = startsAnew
    }

    /// The width of all layers; nil when widths are chosen.
    package var uniformBits: Int? {
        recipe == .uniform || form != .exl2 ? Int(exactly: bits) : nil
    }

    /// How numbers are rounded.
    var rounding: QuantizerRecipe {
        form.gptq.map { .gptq(sorted: $0.isActivityOrdered) } ?? recipe.rounding
    }

    /// Whether the weights of a layer make up for what the quantized layers before it have changed of its inputs.
    var compensates: Bool { form != .exl2 || recipe.compensates }

    /// Whether rows wait before each group of linear layers and go on with its quantized weights.
    var pauses: Bool { form != .exl2 || recipe.pauses }

    /// Refuses widths and sizes that cannot be.
    /// - Throws: `ConversionError` (`usage`).
    package func check() throws(ConversionError) {
        if let settings = form.gptq {
            try check(settings)
        } else if recipe == .uniform {
            guard let uniformBits, EXL2Geometry.uniformWidths.contains(uniformBits) else {
                throw ConversionError(
                    .usage,
                    "-b \(bits): one width for all layers is 2, 3, 4, 5, 6 or 8 bits; leave out --recipe "
                        + "uniform for any other")
            }
            guard measurement == nil, measurementOutput == nil else {
                throw ConversionError(
                    .usage,
                    "one width for all layers needs no measurement; leave out -m, -om, or --recipe")
            }
        }
        guard QuantizeOptions.bitsRange.contains(bits) else {
            throw ConversionError(.usage, "-b \(bits): a weight can have 2 to 8.5 bits")
        }
        guard EXL2Geometry.headWidths.contains(headBits) else {
            throw ConversionError(
                .usage, "-hb \(headBits): a head can have 2, 3, 4, 5, 6 or 8 bits")
        }
        guard rows > 0, length > 1, maxShardBytes > 0 else {
            throw ConversionError(.usage, "-r, -l and -ss must be positive")
        }
        guard measurementRows > 0, measurementLength > 1 else {
            throw ConversionError(.usage, "-mr and -ml must be positive")
        }
        guard measurement == nil || measurementOutput == nil else {
            throw ConversionError(.usage, "-m uses a measurement and -om makes one; leave out one")
        }
    }

    private func check(_ settings: GPTQSettings) throws(ConversionError) {
        guard let uniformBits, GPTQSettings.widths.contains(uniformBits) else {
            throw ConversionError(.usage, "-b \(bits): GPTQ has codes of 2, 3, 4 or 8 bits")
        }
        guard GPTQSettings.groupSizes.contains(settings.groupSize) else {
            throw ConversionError(
                .usage,
                "--group-size \(settings.groupSize): GPTQ's groups have 32, 64 or 128 inputs")
        }
        guard !quantizesEmbedding, measurement == nil, measurementOutput == nil else {
            throw ConversionError(
                .usage,
                "GPTQ has one width and leaves the embedding as it is; leave out -m, -om and --quantize-embedding"
            )
        }
    }

    /// Whether the job measures the model.
    var measures: Bool { form == .exl2 && recipe.measures && measurement == nil }
}
