// SPDX-License-Identifier: Apache-2.0
// Which layers get an adapter, and fresh adapters for them.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftTensor

/// The adapter of a run: its settings as PEFT writes them, and the layers that it acts on.
struct AdapterTargets: Sendable {
    /// Settings as they are saved.
    let config: AdapterConfig
    /// Names of layers and the rank and scale of each.
    let layers: [String: (rank: Int, scale: Double)]
    /// Adapters of parameters that hold the matrices of all experts of a layer.
    let stacked: StackedAdapters
    /// Lines for the user.
    let notices: [String]
    /// How often the adapter begins anew in the run, after what it learned is added to the base.
    var restarts = 0
    /// How A and B start; as nothing says when they are read.
    let initialization: AdapterSettings.Initialization
    /// The folder that A and B are read from; nil when they are fresh.
    private let folder: String?

    /// Finds the layers that the settings mean.
    /// - Throws: `TrainingError` (`configuration`) when they mean none, `ConfigError` and `FormatError` for an adapter to go on from.
    init(
        _ settings: AdapterSettings, description: DecoderDescription, baseModel: String
    ) throws {
        initialization = settings.folder == nil ? settings.initialization : .uniform
        folder = settings.folder
        let all = (0..<description.layers).flatMap { Self.adaptable(description, $0) }
        if let folder = settings.folder {
            let config = try AdapterConfig.read(folder: folder)
            let stacked = StackedAdapters(config.targetParameters, description)
            (self.config, self.stacked) = (config, stacked)
            let checkpoint = try AdapterFile.open(folder, stacked, description)
            let linears = (0..<description.layers).flatMap { description.linears(layer: $0) }
            var named = (linears.map(\.name) + [description.headName]).filter {
                checkpoint.find(AdapterFile.prefix + $0 + AdapterFile.suffixes.a) != nil
            }
            if AdapterFile.embeddingNames(description).contains(where: {
                checkpoint.find($0) != nil
            }) {
                named.append(description.embeddingName)
            }
            layers = Dictionary(
                uniqueKeysWithValues: named.map { ($0, stacked.settings($0, in: config)) })
            notices = []
            return
        }
        let known = description.distinctLayers.flatMap { Self.adaptable(description, $0.layer) }
        notices = try Self.notices(settings, known, description)
        let stacked = try Self.stacked(settings, description)
        self.stacked = stacked
        // PEFT leaves modules that are in no layer out when layers are named.
        let hasHead =
            try settings.layersToTransform == nil && Self.meansHead(settings, description)
        let hasEmbedding =
            try settings.layersToTransform == nil && Self.meansEmbedding(settings, description)
        let matches = try Self.matcher(settings.targets)
        let layersOf = try Self.layers(settings, description)
        var chosen = try layersOf.flatMap { try Self.adaptable(description, $0).filter(matches) }
        // Experts are adapted one by one or all together, as PEFT knows them.
        if !stacked.isEmpty { chosen.removeAll { $0.expert != nil } }
        let hasOtherNames = chosen.isEmpty && !hasHead && !hasEmbedding && stacked.isEmpty
        if hasOtherNames { chosen = try Self.underOtherNames(settings.targets, all) }
        guard !chosen.isEmpty || hasHead || hasEmbedding || !stacked.isEmpty else {
            throw TrainingError(
                .configuration,
                "lora_target_modules matches no linear layer of the model; it has "
                    + Self.moduleNames(known).joined(separator: ", "))
        }
        var targets = Self.moduleNames(
            known.filter { linear in chosen.contains { $0.role == linear.role } })
        if hasHead { targets.append(description.headName) }
        if hasEmbedding { targets.append(description.embeddingName) }
        if case .pattern(let pattern) = settings.targets {
            targets = hasOtherNames ? chosen.map(\.name) : [pattern]
        }
        var config = AdapterConfig(
            rank: settings.rank, alpha: settings.alpha, dropout: settings.dropout,
            targetModules: targets, rankPattern: settings.rankPattern,
            alphaPattern: settings.alphaPattern, rankStabilized: settings.rankStabilized,
            baseModel: baseModel, modulesToSave: settings.modulesToSave,
            layersToTransform: settings.layersToTransform)
        config.scores = description.scores?.kind
        if !stacked.isEmpty { config.targetParameters = settings.targetParameters }
        config.usesDora = settings.usesDora
        config.storesByInputs = description.storesByInputs
        self.config = config
        let names =
            chosen.map(\.name) + (hasHead ? [description.headName] : [])
            + (hasEmbedding ? [description.embeddingName] : []) + stacked.linears
        layers = Dictionary(
            uniqueKeysWithValues: names.map { ($0, stacked.settings($0, in: config)) })
    }

    /// The linear layers that adapters act on: all but experts that stand in one tensor, which are no modules to PEFT.
    private static func adaptable(
        _ description: DecoderDescription, _ layer: Int
    ) -> [DecoderDescription.LinearShape] {
        description.linears(layer: layer).filter { !description.isStacked($0) }
    }

    /// Whether a name outside the decoder layers is meant.
    private static func isMeant(_ name: String, _ settings: AdapterSettings) throws -> Bool {
        switch settings.targets {
        case .pattern(let pattern): try Regex(pattern).wholeMatch(in: name) != nil
        case .modules(let names, _): names.contains { ends(name, $0) }
        }
    }

    /// Whether the embedding gets an adapter.
    /// - Throws: `TrainingError` (`configuration`) for what does not go with it.
    private static func meansEmbedding(
        _ settings: AdapterSettings, _ description: DecoderDescription
    ) throws -> Bool {
        let name = description.embeddingName
        guard try isMeant(name, settings) else { return false }
        let others: [(Bool, String)] = [
            (settings.modulesToSave.contains { ends(name, $0) }, "lora_modules_to_save with it"),
            (!settings.trainedTokens.isEmpty, "peft_trainable_token_indices"),
            (settings.usesDora, "peft_use_dora"),
            (
                settings.initialization.readsWeights,
                "an adapter that begins from the base's weights"
            ),
        ]
        if let other = others.first(where: \.0)?.1 {
            throw TrainingError(
                .configuration,
                "an adapter on \(name) does not go with \(other); leave it out of lora_target_modules"
            )
        }
        return true
    }

    /// Whether the head gets an adapter; not when all linear layers do, as PEFT has it.
    /// - Throws: `TrainingError` (`configuration`) when the head is trained whole too, and with DoRA.
    private static func meansHead(
        _ settings: AdapterSettings, _ description: DecoderDescription
    ) throws -> Bool {
        let name = description.headName
        let isMeant = try isMeant(name, settings)
        guard !isMeant || !settings.usesDora else {
            throw TrainingError(
                .configuration,
                "peft_use_dora on \(name) is not supported; leave it out of lora_target_modules")
        }
        guard isMeant, settings.modulesToSave.contains(where: { ends(name, $0) }) else {
            return isMeant
        }
        throw TrainingError(
            .configuration,
            "\(name) is named in lora_target_modules and in lora_modules_to_save; remove one of them"
        )
    }

    /// The decoder layers that get adapters.
    /// - Throws: `TrainingError` (`configuration`) for layers that the model does not have.
    private static func layers(
        _ settings: AdapterSettings, _ description: DecoderDescription
    ) throws -> [Int] {
        guard let chosen = settings.layersToTransform else { return Array(0..<description.layers) }
        if case .pattern = settings.targets {
            throw TrainingError(
                .configuration,
                "peft_layers_to_transform goes with a list of names in lora_target_modules; a pattern names its "
                    + "layers itself")
        }
        if let bad = chosen.first(where: { $0 >= description.layers }) {
            throw TrainingError(
                .configuration,
                "peft_layers_to_transform names layer \(bad); the model has 0 to \(description.layers - 1)"
            )
        }
        return Array(Set(chosen)).sorted()
    }

    /// Lines about names that mean nothing here; PEFT passes over them silently.
    /// - Throws: `TrainingError` (`configuration`) for what is likely a slip.
    private static func notices(
        _ settings: AdapterSettings, _ known: [DecoderDescription.LinearShape],
        _ description: DecoderDescription
    ) throws -> [String] {
        var lines: [String] = []
        let list = moduleNames(known)
        if case .modules(let names, _) = settings.targets {
            let unknown = names.filter { name in
                !ends(description.headName, name) && !ends(description.embeddingName, name)
                    && !known.contains { ends($0.localName, name) || ends(name, $0.localName) }
            }
            for name in unknown {
                guard let near = list.first(where: { isSlip(name, of: $0) }) else { continue }
                throw TrainingError(
                    .configuration,
                    "lora_target_modules names '\(excerpt(name))', which is no linear layer of the model; did "
                        + "you mean '\(near)'?")
            }
            if !unknown.isEmpty {
                let words = unknown.map { "'\(excerpt($0))'" }.joined(separator: ", ")
                lines.append(
                    "lora_target_modules names \(words), which the model does not have; its linear layers are "
                        + list.joined(separator: ", "))
            }
        }
        if !settings.targetParameters.isEmpty, description.shape.mixture == nil {
            lines.append(
                "lora_target_parameters has no effect: the model has no mixture of experts")
        }
        return lines
    }

    /// Whether a letter was left out of a name, or put in; other letters make other names, such as `c_proj`.
    private static func isSlip(_ name: String, of other: String) -> Bool {
        let (a, b) = (Array(name.utf8), Array(other.utf8))
        guard abs(a.count - b.count) == 1 else { return false }
        let head = zip(a, b).prefix { $0 == $1 }.count
        let tail = zip(a.reversed(), b.reversed()).prefix { $0 == $1 }.count
        return head + tail >= max(a.count, b.count) - 1
    }

    private static func matcher(
        _ targets: AdapterSettings.Targets
    ) throws -> (DecoderDescription.LinearShape) throws -> Bool {
        switch targets {
        case .pattern(let pattern):
            let regex = try Regex(pattern)
            return { try regex.wholeMatch(in: $0.name) != nil }
        case .modules(let names, let all):
            return { linear in all || names.contains { ends(linear.name, $0) } }
        }
    }

    /// What checkpoints call the decoder when it is one part of a model for text and images.
    private static let decoderNames = [
        "model.language_model.layers.", "model.text_model.layers.", "language_model.model.layers.",
    ]

    /// The layers that a pattern means when it is written for a model of which the decoder is a part.
    private static func underOtherNames(
        _ targets: AdapterSettings.Targets, _ all: [DecoderDescription.LinearShape]
    ) throws -> [DecoderDescription.LinearShape] {
        guard case .pattern(let pattern) = targets else { return [] }
        let regex = try Regex(pattern)
        let own = "model.layers."
        for name in decoderNames {
            let chosen = try all.filter { linear in
                guard linear.name.hasPrefix(own) else { return false }
                return try regex.wholeMatch(in: name + linear.name.dropFirst(own.count)) != nil
            }
            if !chosen.isEmpty { return chosen }
        }
        return []
    }

    /// The names by which `target_modules` knows layers, each once.
    private static func moduleNames(_ linears: [DecoderDescription.LinearShape]) -> [String] {
        var names: [String] = []
        for linear in linears where !names.contains(linear.moduleName) {
            names.append(linear.moduleName)
        }
        return names
    }

    /// Whether a name is another or ends with it behind a dot.
    private static func ends(_ name: String, _ end: String) -> Bool {
        name == end || name.hasSuffix("." + end)
    }

    // MARK: Sizes

    /// How many times an adapter's rank that one beside it has which is not trained: what was taken away from the base, or added
    /// to it by restarts; 0 without.
    var startTimes: Int { initialization.replacesWeight ? 1 : restarts }

    /// Ranks and bytes of all A and B.
    /// - Parameter tokens: those whose rows are trained beside the adapter.
    func extents(
        _ description: DecoderDescription, _ tokens: TrainedTokenIDs
    ) -> AdapterExtents {
        var extents = AdapterExtents(layers: description.layers)
        for layer in 0..<description.layers {
            for linear in description.linears(layer: layer) {
                guard let rank = layers[linear.name]?.rank else { continue }
                extents.add(
                    layer: layer, inputs: linear.inputs, outputs: linear.outputs, rank: rank,
                    hasMagnitude: config.usesDora,
                    sharesA: stacked.owner(ofAOf: linear.name) != nil)
                if config.dropout > 0 { extents.noteDropout(inputs: linear.inputs) }
                extents.addFrozen(
                    layer: layer, inputs: linear.inputs, outputs: linear.outputs,
                    rank: startTimes * rank)
            }
        }
        if let rank = layers[description.headName]?.rank {
            extents.addHead(
                inputs: description.shape.hidden, outputs: description.headOutputs, rank: rank)
            if config.dropout > 0 { extents.noteDropout(inputs: description.shape.hidden) }
            extents.addFrozen(
                layer: nil, inputs: description.shape.hidden, outputs: description.headOutputs,
                rank: startTimes * rank)
        }
        if let rank = layers[description.embeddingName]?.rank {
            extents.addEmbedding(
                vocabulary: description.vocabulary, hidden: description.shape.hidden, rank: rank)
        }
        extents.add(tokens, description)
        return extents
    }

    /// Most bytes that fresh adapters take for a while when they begin from the base's weights, and what the linear-algebra
    /// library keeps from then on.
    func startingBytes(
        _ description: DecoderDescription, threads: Int
    ) -> (passing: Int, kept: Int) {
        guard initialization.readsWeights else { return (0, 0) }
        var shapes = (0..<description.layers).flatMap { description.linears(layer: $0) }
            .map { ($0.name, $0.inputs, $0.outputs) }
        shapes.append((description.headName, description.shape.hidden, description.vocabulary))
        return shapes.reduce((0, 0)) { most, shape in
            guard let rank = layers[shape.0]?.rank else { return most }
            let passing = AdapterStart.byteCount(
                initialization, inputs: shape.1, outputs: shape.2, rank: rank)
            let kept = AdapterStart.libraryBytes(
                initialization, inputs: shape.1, outputs: shape.2, rank: rank, threads: threads)
            return (max(most.0, passing), max(most.1, kept))
        }
    }

    // MARK: Making

    /// Puts the adapter into a decoder and makes it trainable.
    /// - Parameters:
    ///   - start: what fills adapters that begin from the base's weights.
    ///   - resumed: the checkpoint to go on from, whose A and B will be read in the place of fresh ones.
    ///   - shouldStop: asked between layers that begin from weights; `TrainingError` (`interrupted`) then.
    /// - Throws: `TensorError` when it does not fit the ledger; for one that is read also what reading throws; `FormatError` when
    ///   a streamed layer or the checkpoint could not be read, and what `AdapterStart` throws.
    func attach(
        to decoder: Decoder, seed: UInt64, start: AdapterStart, resumed: String?,
        shouldStop: () -> Bool
    ) throws -> AttachedAdapter {
        var attached: AttachedAdapter
        if let folder {
            attached = AttachedAdapter(slot: try AdapterFile.load(folder, into: decoder))
        } else {
            attached = AttachedAdapter(slot: decoder.freeAdapterSlot)
            if startTimes > 0 {
                (attached.start, attached.startTimes) = (attached.slot + 1, startTimes)
            }
            try makeFresh(decoder, attached, seed: seed)
            try makeFreshEmbedding(decoder, slot: attached.slot, seed: seed)
            try begin(decoder, attached, start, resumed, shouldStop)
        }
        for (linear, ledger) in decoder.placedLinears where layers[linear.name] != nil {
            try linear.adapters[attached.slot]?.makeTrainable(
                prefix: AdapterFile.prefix + linear.name, ledger: ledger)
        }
        try decoder.embeddingAdapters[attached.slot]?.makeTrainable(
            prefix: AdapterFile.prefix + decoder.description.embeddingName,
            ledger: decoder.devices[decoder.embeddingDevice].ledger)
        return attached
    }

    /// The adapter of the embedding: A begins at zero and B normal, however linear layers begin.
    private func makeFreshEmbedding(_ decoder: Decoder, slot: Int, seed: UInt64) throws {
        let description = decoder.description
        guard let (rank, scale) = layers[description.embeddingName] else { return }
        let adapter = try EmbeddingLoRA(
            vocabulary: description.vocabulary, hidden: description.shape.hidden, rank: rank,
            scale: Float(scale), ledger: decoder.devices[decoder.embeddingDevice].ledger)
        var generator = NormalGenerator(seed: mixedSeed(seed, .max))
        for index in 0..<adapter.b.count {
            adapter.b.pointer[index] = Float(generator.normal())
        }
        decoder.embeddingAdapters[slot] = adapter
    }

    private func makeFresh(_ decoder: Decoder, _ attached: AttachedAdapter, seed: UInt64) throws {
        var owners: [String: LoRA] = [:]
        for (linear, ledger) in decoder.placedLinears {
            guard let (rank, scale) = layers[linear.name] else { continue }
            let owner = stacked.owner(ofAOf: linear.name).flatMap { owners[$0] }
            func adapter(
                rank: Int, scale: Double, dropout: Double, hasMagnitude: Bool, owner: LoRA? = nil
            ) throws(TensorError) -> LoRA {
                try LoRA(
                    inputs: linear.weight.inputs, outputs: linear.weight.outputs, rank: rank,
                    scale: Float(scale), dropout: Float(dropout), hasMagnitude: hasMagnitude,
                    sharingAOf: owner, ledger: ledger)
            }
            let fresh = try adapter(
                rank: rank, scale: scale, dropout: config.dropout, hasMagnitude: config.usesDora,
                owner: owner)
            if stacked.contains(linear.name) { owners[linear.name] = fresh }
            // A seed for each layer: adding a layer to the targets leaves the others as they were.
            var generator = NormalGenerator(seed: mixedSeed(seed, linear.ordinal))
            try fill(fresh, &generator, hasA: owner == nil)
            linear.adapters[attached.slot] = fresh
            guard let start = attached.start else { continue }
            linear.adapters[start] = try adapter(
                rank: startTimes * rank, scale: -scale, dropout: 0, hasMagnitude: false)
        }
    }

    /// - Parameter hasA: whether A is the adapter's own.
    private func fill(
        _ adapter: LoRA, _ generator: inout NormalGenerator, hasA: Bool
    ) throws {
        if hasA { try fillA(adapter, &generator) }
        if initialization == .random { generator.fillUniformly(adapter.b) }
    }

    private func fillA(_ adapter: LoRA, _ generator: inout NormalGenerator) throws {
        switch initialization {
        case .uniform, .random: generator.fillUniformly(adapter.a)
        case .gaussian:
            for index in 0..<adapter.a.count {
                adapter.a.pointer[index] = Float(generator.normal() / Double(adapter.rank))
            }
        case .orthogonal:
            let basis = (0..<adapter.rank * adapter.rank).map { _ in Float(generator.normal()) }
            let isFound = LowRank.fillOrthogonally(
                a: adapter.a, b: adapter.b, basis: basis, random: { Float(generator.normal()) })
            guard isFound else {
                throw TrainingError(
                    .configuration,
                    "peft_init_lora_weights: orthogonal needs even ranks, not \(adapter.rank)")
            }
        case .pissa, .olora, .loftq: break
        }
    }

    /// What needs the base's weights.
    private func begin(
        _ decoder: Decoder, _ attached: AttachedAdapter, _ start: AdapterStart,
        _ resumed: String?, _ shouldStop: () -> Bool
    ) throws {
        if let resumed {
            guard let slot = attached.start else { return }
            let checkpoint = try CheckpointFolder.open(resumed, kind: .adapter)
            for (linear, _) in decoder.placedLinears {
                guard let adapter = linear.adapters[slot] else { continue }
                try AdapterFile.readStart(
                    checkpoint, module: linear.name, trained: layers[linear.name]?.rank ?? 0,
                    into: adapter)
            }
            return
        }
        guard config.usesDora || initialization.readsWeights else { return }
        func begin(_ linear: Linear, _ backend: any Backend) throws {
            guard let adapter = linear.adapters[attached.slot] else { return }
            guard !shouldStop() else {
                throw TrainingError(
                    .interrupted, "interrupted before the first step; nothing to save")
            }
            adapter.beginMagnitude(linear.weight, backend)
            let taken = attached.start.flatMap { linear.adapters[$0] }
            try start.fill(adapter, start: taken, of: linear, backend: backend)
        }
        try decoder.forEachLayer { layer, backend in
            for linear in layer.linears { try begin(linear, backend) }
        }
        try begin(decoder.head, decoder.devices[decoder.headDevice])
    }
}

/// The slots of an adapter that is trained.
struct AttachedAdapter: Sendable {
    /// What is trained.
    let slot: Int
    /// What takes away the product that it began with, or adds those of earlier restarts; nil when the base stays as it is.
    var start: Int?
    /// How many times the rank of the trained one that has.
    var startTimes = 1

    init(slot: Int) { self.slot = slot }

    /// All that act in training.
    var slots: [Int] { [slot] + (start.map { [$0] } ?? []) }
}

extension NormalGenerator {
    /// Fills a matrix as PyTorch's linear layers begin: with numbers up to 1 / sqrt(columns) in magnitude.
    mutating func fillUniformly(_ matrix: Matrix) {
        let bound = 1 / Double(matrix.columns).squareRoot()
        for index in 0..<matrix.count {
            matrix.pointer[index] = Float((2 * uniform() - 1) * bound)
        }
    }
}
