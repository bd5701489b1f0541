// SPDX-License-Identifier: Apache-2.0
// The linear layers of a model as they are quantized.
import EftFormats
import EftModels
import EftQuant
import EftTensor

/// What is made of each linear layer.
struct QuantizePlan {
    let description: DecoderDescription
    let options: QuantizeOptions
    /// The blocks whose widths are chosen for together.
    let blocks: [WidthBlock]
    /// The groups of each linear layer, by name; empty until they are chosen.
    private var groups: [String: [EXL2Group]] = [:]

    /// Calibration rows that tell the perplexity, and layers' errors.
    static let reportRows = 4
    /// Tokens that suffice to tell a layer's error, where the recipe is not another program's.
    private static let reportTokens = 256

    /// Of the first rows, how many tokens tell layers' errors.
    static func reportedTokens(_ lengths: [Int]) -> [Int] {
        var left = reportTokens
        return lengths.prefix(reportRows).map { length in
            defer { left -= min(length, left) }
            return min(length, left)
        }.filter { $0 > 0 }
    }

    /// Of the first rows, how many tokens' values are kept.
    func reported(_ lengths: [Int]) -> [Int] {
        options.pauses
            ? QuantizePlan.reportedTokens(lengths) : Array(lengths.prefix(QuantizePlan.reportRows))
    }

    /// Checks options and extents.
    /// - Throws: `ConversionError` for widths and extents that EXL2 does not have.
    init(_ description: DecoderDescription, _ options: QuantizeOptions) throws(ConversionError) {
        try options.check()
        self.description = description
        self.options = options
        blocks = WidthBlock.all(description)
        for linear in blocks.flatMap(\.linears) where linear.inputs % 32 != 0 {
            throw QuantizePlan.unfit(linear.name, linear.inputs)
        }
        if let settings = options.form.gptq {
            try chooseGroups(of: settings)
            return
        }
        guard description.shape.hidden % 32 == 0 else {
            throw QuantizePlan.unfit(description.headName, description.shape.hidden)
        }
        guard let bits = options.uniformBits else { return }
        for linear in blocks.flatMap(\.linears) {
            groups[linear.name] = EXL2Geometry.uniform(bits: bits, inputs: linear.inputs)
        }
    }

    /// Parts the inputs of all layers into groups of one width and size.
    private mutating func chooseGroups(of settings: GPTQSettings) throws(ConversionError) {
        let (size, bits) = (settings.groupSize, options.uniformBits ?? 4)
        for linear in blocks.flatMap(\.linears) {
            guard linear.outputs % 32 == 0 else {
                throw ConversionError(
                    .unsupported,
                    "GPTQ holds layers of a multiple of 32 outputs, this one has \(linear.outputs); "
                        + "write EXL2 instead", tensor: linear.name)
            }
            groups[linear.name] = stride(from: 0, to: linear.inputs, by: size).map {
                EXL2Group(bits: bits, rows: min(size, linear.inputs - $0))
            }
        }
    }

    private static func unfit(_ name: String, _ inputs: Int) -> ConversionError {
        ConversionError(
            .unsupported, "quantized layers have a multiple of 32 inputs, this one has \(inputs)",
            tensor: name)
    }

    // MARK: Widths

    /// Whether each linear layer has its widths.
    var hasWidths: Bool { !groups.isEmpty }

    /// The chosen options by their blocks' paths.
    func strategy(_ chosen: [WidthOption]) -> [String: WidthOption] {
        Dictionary(zip(blocks.map(\.key), chosen), uniquingKeysWith: { a, _ in a })
    }

    /// Takes the chosen option of each block.
    /// - Throws: `ConversionError` (`damaged`) when an option is missing or not of this model.
    mutating func choose(
        _ strategy: [String: WidthOption], job path: String
    ) throws(ConversionError) {
        for block in blocks {
            guard let option = strategy[block.key],
                block.storedBits(option.sections) == option.bits
            else {
                throw ConversionError(
                    .damaged, "the job's mix of widths is not of this model; start anew with -nr",
                    path: path, tensor: block.key)
            }
            for linear in block.linears {
                groups[linear.name] = option.sections[linear.projection].flatMap {
                    EXL2Geometry.groups(inputs: linear.inputs, sections: $0)
                }
            }
        }
    }

    /// How a quantized layer is held in memory while it runs.
    func layout(_ target: LinearQuantizer.Target) -> WeightLayout {
        let table = EXL2Table(target.groups)
        guard let settings = options.form.gptq else {
            return table.layout(outputs: target.outputs)
        }
        return GPTQPacker.layout(
            table: table, outputs: target.outputs, isPermuted: settings.isActivityOrdered)
    }

    /// Temporary bytes of loading a quantized layer; EXL2 takes few.
    func loadBytes(_ target: LinearQuantizer.Target) -> Int {
        guard let settings = options.form.gptq else { return 0 }
        return GPTQPacker.loadBytes(
            table: EXL2Table(target.groups), outputs: target.outputs,
            isPermuted: settings.isActivityOrdered)
    }

    /// A tensor that the finished folder ends with.
    var lastTensor: String {
        let last = blocks.last?.linears.last?.name ?? ""
        return options.form == .exl2 ? head.name + ".q_weight" : last + ".qweight"
    }

    /// The widest groups that a layer can come to have, with the most scales.
    private static func widest(_ inputs: Int) -> [EXL2Group] {
        let section = EXL2Section(bits: 8, groupSize: 32, proportion: 1)
        return EXL2Geometry.groups(inputs: inputs, sections: [section]) ?? []
    }

    /// A layer's target; that with the widest codes while widths are not chosen.
    func target(_ linear: DecoderDescription.LinearShape) -> LinearQuantizer.Target {
        target(linear, groups: groups[linear.name] ?? QuantizePlan.widest(linear.inputs))
    }

    /// A layer's target with given groups.
    func target(
        _ linear: DecoderDescription.LinearShape, groups: [EXL2Group]
    ) -> LinearQuantizer.Target {
        LinearQuantizer.Target(
            name: linear.name, source: linear.name, inputs: linear.inputs,
            outputs: linear.outputs, hasBias: linear.hasBias, groups: groups)
    }

    /// Whether the head is quantized; GPTQ's files leave it as it is.
    var quantizesHead: Bool { options.form == .exl2 }

    /// Whether embedding and head are one quantized weight.
    var sharesEmbedding: Bool { options.quantizesEmbedding && description.tiedEmbeddings }

    /// The head's target; a tied head is made from the embedding, and is it where the embedding is quantized.
    var head: LinearQuantizer.Target {
        target(
            end: sharesEmbedding ? description.embeddingName : description.headName,
            source: headSource)
    }

    /// The embedding's target; nil when it stays in f16.
    var embedding: LinearQuantizer.Target? {
        options.quantizesEmbedding
            ? target(end: description.embeddingName, source: description.embeddingName) : nil
    }

    private func target(end name: String, source: String) -> LinearQuantizer.Target {
        let inputs = description.shape.hidden
        let sections = EXL2Geometry.head(bits: options.headBits) ?? []
        return LinearQuantizer.Target(
            name: name, source: source, inputs: inputs,
            outputs: description.vocabulary,
            hasBias: description.headBias && name == description.headName,
            groups: EXL2Geometry.groups(inputs: inputs, sections: sections) ?? [])
    }

    /// The module with the head's stored weight.
    var headSource: String {
        description.tiedEmbeddings ? description.embeddingName : description.headName
    }

    /// The linear layers of a decoder layer that share inputs, in the order of the computation; the first products of all
    /// experts do. The last products of experts, which see some of the tokens each, are not among them.
    static func siblings(
        _ layer: Int, _ model: DecoderDescription
    ) -> [[DecoderDescription.LinearShape]] {
        let attention = model.attentionStages(layer: layer)
        let first = model.mlpRoles.filter { $0 != .down }
        let groups = attention.map { $0.map { model.linear($0, layer: layer) } }
        guard let mixture = model.shape(layer: layer).mixture else {
            return groups + [
                first.map { model.linear($0, layer: layer) }, [model.linear(.down, layer: layer)],
            ]
        }
        let shared = model.sharedRoles.filter { !$0.isRouter }
        let sharedFirst = shared.filter { $0 != .sharedDown }.map { model.linear($0, layer: layer) }
        let experts = (0..<mixture.experts).flatMap { expert in
            first.map { model.linear($0, layer: layer, expert: expert) }
        }
        return groups + [experts + sharedFirst]
            + (shared.isEmpty ? [] : [[model.linear(.sharedDown, layer: layer)]])
    }

    /// The last product of each expert of a decoder layer; none where there are no experts.
    static func expertOutputs(
        _ layer: Int, _ model: DecoderDescription
    ) -> [DecoderDescription.LinearShape] {
        (0..<(model.shape(layer: layer).mixture?.experts ?? 0)).map {
            model.linear(.down, layer: layer, expert: $0)
        }
    }

    /// Weights of all linear layers.
    var layerWeights: Int { blocks.reduce(0) { $0 + $1.weights } }

    /// Weights of all linear layers and the head, and of the embedding where it is quantized for itself.
    var weightCount: Int {
        let ends =
            (quantizesHead ? 1 : 0) + (options.quantizesEmbedding && !sharesEmbedding ? 1 : 0)
        return layerWeights + ends * description.shape.hidden * description.vocabulary
    }

    /// Bits that the decoder's linear layers may take on disk.
    var budget: Int { Int(clamping: Int64((Double(layerWeights) * options.bits).rounded(.down))) }

    /// Chooses an option for each block.
    /// - Parameter file: where the measurement comes from, for messages.
    /// - Throws: `ConversionError` when the measurement is of another model, or no mix is as small as asked for.
    func choice(
        _ measurement: Measurement, file: String?, on backend: CPUBackend
    ) throws(ConversionError) -> [WidthOption] {
        let options = try measurement.options(for: blocks, file: file)
        let places: [Int]?
        if self.options.recipe == .exllamav2 {
            let slots = options.map {
                $0.map { WidthChoice.Option(bits: $0.bits, loss: 1 - $0.accuracy) }
            }
            places = WidthAnnealing(blocks: slots, budget: budget).choose(on: backend)
        } else {
            let slots = options.map { $0.map { WidthChoice.Option(bits: $0.bits, loss: $0.loss) } }
            places = WidthChoice.choose(slots, budget: budget)
        }
        guard let places else {
            let least = options.reduce(0) { $0 + ($1.map(\.bits).min() ?? 0) }
            let bits = Double(least) / Double(max(layerWeights, 1))
            throw ConversionError(
                .usage,
                "-b \(self.options.bits): the narrowest mix of this model has \(hundredths(bits)) bits a weight"
            )
        }
        return zip(options, places).map { $0[$1] }
    }

    /// Rounded up to hundredths.
    private func hundredths(_ value: Double) -> Double { (value * 100).rounded(.up) / 100 }
}
