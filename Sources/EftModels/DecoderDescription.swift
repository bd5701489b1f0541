// SPDX-License-Identifier: Apache-2.0
// A decoder described by data: everything that the forward pass, the loader and the planner need to know.
import EftNN
import EftTensor

/// What a decoder is made of. An architecture fills this in from `config.json`; nothing else depends on its name.
package struct DecoderDescription: Sendable, Hashable {
    /// The architecture's name in `config.json`, such as `LlamaForCausalLM`.
    package var architecture: String
    /// V.
    package var vocabulary: Int
    /// Number of layers.
    package var layers: Int
    /// Extents of a layer.
    package var shape: DecoderShape
    /// The rotary embedding of layers that do not name another one.
    package var rotary: RotaryEmbedding
    /// Further rotary embeddings, of kinds of layers from 1 on.
    package var otherRotaries: [RotaryEmbedding] = []
    /// What is each layer's own; empty where all layers see all positions and rotate by `rotary`.
    package var kinds: [LayerKind] = []
    /// The norms.
    package var norms = NormPlan()
    /// What the checkpoint calls the parts beside the MLP.
    package var names = ModuleNames()
    /// Paths that may stand in the place of `model` in a checkpoint, the usual one first; none where it is `model`.
    package var roots: [String] = []
    /// What stands before all names but is missing in some checkpoints; nil where it never is.
    package var bareRoot: String?
    /// Whether the checkpoint has the matrices of linear layers as [inputs, outputs].
    package var storesByInputs = false
    /// What is added to the embeddings for each position; nil where positions do not change them.
    package var positions: PositionTable?
    /// Whether the head has a bias.
    package var headBias = false
    /// Factor of the embeddings.
    package var embeddingScale: Float = 1
    /// What becomes of the head's products.
    package var logits = LogitTransform()
    /// Longest context that the model was made for.
    package var contextLength: Int
    /// Whether the head is the embedding.
    package var tiedEmbeddings: Bool
    /// Whether query, key and value projections have a bias.
    package var queryKeyValueBias: Bool
    /// Whether the output projection of attention has a bias.
    package var outputBias: Bool
    /// Whether the MLP's projections have a bias.
    package var mlpBias: Bool
    /// Whether the router of a mixture has a bias.
    package var routerBias = false
    /// How a checkpoint stacks the experts of a layer; nil where each matrix is a tensor.
    package var stack: ExpertStack?
    /// A stack that some checkpoints of the model have and others have not.
    package var possibleStack: ExpertStack?
    /// What the checkpoint calls the parts of the MLP or of the mixture of experts.
    package var mlpNames: MLPNames
    /// Standard deviation of fresh weights.
    package var initializerRange: Double
    /// The head of a model that scores; nil for a language model.
    package var scores: ScoreHead?

    /// Makes a description.
    package init(
        architecture: String, vocabulary: Int, layers: Int, shape: DecoderShape,
        rotary: RotaryEmbedding, contextLength: Int, tiedEmbeddings: Bool, queryKeyValueBias: Bool,
        outputBias: Bool, mlpBias: Bool, mlpNames: MLPNames = MLPNames(), initializerRange: Double
    ) {
        self.architecture = architecture
        self.vocabulary = vocabulary
        self.layers = layers
        self.shape = shape
        self.rotary = rotary
        self.contextLength = contextLength
        self.tiedEmbeddings = tiedEmbeddings
        self.queryKeyValueBias = queryKeyValueBias
        self.outputBias = outputBias
        self.mlpBias = mlpBias
        self.mlpNames = mlpNames
        self.initializerRange = initializerRange
    }

    /// What a linear layer does in its decoder layer.
    package enum Role: Sendable, Hashable {
        case query
        case key
        case value
        /// Queries, keys and values in one.
        case queryKeyValue
        /// From states to the vector of queries in latent attention, and from that to queries.
        case queryDown
        case queryUp
        /// From states to the vector of keys and values, and from that to both.
        case latentDown
        case latentUp
        case output
        /// From states to queries, keys and values of linear attention or to all that a short convolution or a state-space layer reads, to what weighs its values, and to the gates of its
        /// rule; a product that holds several has the name of its first.
        case mixed
        case valueGate
        case strength
        case decay
        /// Chooses experts.
        case router
        /// The first product of the MLP or of an expert.
        case gate
        case up
        /// Both factors of a gated MLP in one.
        case gateUp
        case down
        /// Weighs the MLP that acts beside experts.
        case sharedRouter
        case sharedGate
        case sharedUp
        case sharedGateUp
        case sharedDown

        /// Whether it weighs experts: small, and decides much.
        package var isRouter: Bool { self == .router || self == .sharedRouter }
    }

    /// What a checkpoint calls the parts of an MLP or of a mixture of experts, below the layer's path.
    package struct MLPNames: Sendable, Hashable {
        /// The MLP, or the list of experts.
        package var path = "mlp"
        /// What chooses experts.
        package var router = "mlp.gate"
        package var gate = "gate_proj"
        package var up = "up_proj"
        package var gateUp = "gate_up_proj"
        package var down = "down_proj"
        /// The MLP of layers without experts, where others have them.
        package var dense = "mlp"
        /// The MLP that acts beside experts, and what weighs it.
        package var shared = "mlp.shared_expert"
        package var sharedRouter = "mlp.shared_expert_gate"
        /// What is added to the scores by which experts are chosen, and whether it is a matrix of one row.
        package var correction = "mlp.gate.e_score_correction_bias"
        package var correctionIsRow = false

        /// Names of the Llama form where not given.
        package init(
            path: String = "mlp", router: String = "mlp.gate", gate: String = "gate_proj",
            up: String = "up_proj", down: String = "down_proj"
        ) {
            self.path = path
            self.router = router
            self.gate = gate
            self.up = up
            self.down = down
        }
    }

    /// Name and extents of a linear layer.
    package struct LinearShape: Sendable, Hashable {
        /// The path in the checkpoint.
        package let name: String
        /// The part of the path behind that of the decoder layer.
        package let localName: String
        /// What it does.
        package let role: Role
        /// K.
        package let inputs: Int
        /// N.
        package let outputs: Int
        /// Whether it has a bias.
        package let hasBias: Bool
        /// The number of its expert, where it is a part of one.
        package let expert: Int?

        /// The name by which PEFT's `target_modules` knows it, such as `q_proj`.
        package var moduleName: String {
            name.split(separator: ".").last.map(String.init) ?? name
        }
    }

    /// The path of a layer in the checkpoint.
    package func layerName(_ index: Int) -> String { "\(names.layers).\(index)" }
    /// The path of the embedding.
    package var embeddingName: String { names.embedding }
    /// The path of the head.
    package var headName: String { scores == nil ? names.head : ScoreHead.name }

    /// What is a layer's own.
    package func kind(layer: Int) -> LayerKind {
        kinds.indices.contains(layer) ? kinds[layer] : LayerKind()
    }

    /// All rotary embeddings, as kinds of layers number them.
    package var rotaries: [RotaryEmbedding] { [rotary] + otherRotaries }

    /// Numbers of the rotary tables of one row.
    package var rotaryWidth: Int { rotaries.reduce(0) { $0 + $1.headDim } }

    /// The part of a sequence's length that rotations depend on; 0 where they do not.
    package func lengthThatMatters(_ length: Int) -> Int {
        rotaries.reduce(0) { max($0, $1.lengthThatMatters(length)) }
    }

    /// A linear layer of a decoder layer; the parts of a mixture are asked for by expert.
    package func linear(_ role: Role, layer: Int, expert: Int? = nil) -> LinearShape {
        let (inputs, outputs) = extents(role, shape(layer: layer))
        let bias =
            switch role {
            case .query where shape.latent != nil: false
            case .query, .key, .value, .queryKeyValue: queryKeyValueBias
            case .queryDown, .latentDown: queryKeyValueBias
            case .queryUp, .latentUp, .mixed, .valueGate, .strength, .decay: false
            case .output where isLinear(layer): false
            case .output: outputBias
            case .gate, .up, .gateUp, .down, .sharedGate, .sharedUp, .sharedGateUp, .sharedDown:
                mlpBias
            case .router: routerBias
            case .sharedRouter: false
            }
        let local = localName(role, layer: layer, expert: expert)
        return LinearShape(
            name: layerName(layer) + "." + local, localName: local, role: role, inputs: inputs,
            outputs: outputs, hasBias: bias, expert: expert)
    }

    /// All linear layers of a decoder layer, in the order of the computation.
    package func linears(layer: Int) -> [LinearShape] {
        let attention = attentionRoles(layer: layer).map { linear($0, layer: layer) }
        let parts = mlpRoles
        guard let mixture = shape(layer: layer).mixture else {
            return attention + parts.map { linear($0, layer: layer) }
        }
        let experts = (0..<mixture.experts).flatMap { expert in
            parts.map { linear($0, layer: layer, expert: expert) }
        }
        return attention + [linear(.router, layer: layer)] + experts
            + sharedRoles.map { linear($0, layer: layer) }
    }

    /// The extents and constants of a layer.
    package func shape(layer: Int) -> DecoderShape { shape.layer(kind(layer: layer)) }

    private struct LayerForm: Hashable {
        let isLinear: Bool
        let hasExperts: Bool
        let normsHeads: Bool
    }

    /// Whether a layer keeps a state in the place of keys and values.
    package func isLinear(_ layer: Int) -> Bool {
        shape.mixer != nil && kind(layer: layer).isLinear
    }

    /// What generation keeps of sequences beside pages; nil where no layer keeps a state.
    package func states(sequences: Int) -> StateNeed? {
        shape.mixer.map { mixer in
            StateNeed(
                sequences: sequences, floats: mixer.stateFloats,
                layers: (0..<layers).map(isLinear))
        }
    }

    /// How many of some layers have pages of keys and values.
    package func pagedLayers(_ range: Range<Int>) -> Int { range.count { !isLinear($0) } }

    /// A layer of each kind of those that have different linear layers or norms, and how many there are of it.
    package var distinctLayers: [(layer: Int, count: Int)] {
        var kinds: [(layer: Int, count: Int)] = []
        var places: [LayerForm: Int] = [:]
        for layer in 0..<layers {
            let shape = shape(layer: layer)
            let form = LayerForm(
                isLinear: isLinear(layer), hasExperts: shape.mixture != nil,
                normsHeads: shape.normsHeads)
            if let place = places[form] {
                kinds[place].count += 1
            } else {
                places[form] = kinds.count
                kinds.append((layer, 1))
            }
        }
        return kinds
    }

    /// The largest of what the layers have.
    package func largest(_ number: (_ layer: Int) -> Int) -> Int {
        distinctLayers.reduce(0) { max($0, number($1.layer)) }
    }

    /// All linear layers inside the decoder layers, those that layers have in common but once for each kind of layer.
    package var distinctLinears: [LinearShape] {
        distinctLayers.flatMap { linears(layer: $0.layer) }
    }

    /// The number of linear layers of all decoder layers.
    package var linearCount: Int {
        distinctLayers.reduce(0) { $0 + $1.count * linears(layer: $1.layer).count }
    }

    /// The linear layers of attention.
    package func attentionRoles(layer: Int) -> [Role] {
        if isLinear(layer) { return linearRoles + [.output] }
        guard let latent = shape.latent else {
            return (shape.fusedHeads == nil ? [.query, .key, .value] : [.queryKeyValue])
                + [.output]
        }
        return (latent.queryRank == nil ? [.query] : [.queryDown, .queryUp])
            + [.latentDown, .latentUp, .output]
    }

    private var linearRoles: [Role] {
        guard let delta = shape.mixer?.delta else { return [.mixed] }
        return delta.isGrouped ? [.mixed, .strength] : [.mixed, .valueGate, .strength, .decay]
    }

    /// The linear layers of attention, those together that read the same, in the order of the computation.
    package func attentionStages(layer: Int) -> [[Role]] {
        guard !isLinear(layer), let latent = shape.latent else {
            return [attentionRoles(layer: layer).filter { $0 != .output }, [.output]]
        }
        return
            (latent.queryRank == nil
            ? [[.query, .latentDown]] : [[.queryDown, .latentDown], [.queryUp]])
            + [[.latentUp], [.output]]
    }

    /// The linear layers of an MLP.
    package var mlpRoles: [Role] {
        guard shape.isGated else { return [.up, .down] }
        return shape.fusesGateUp ? [.gateUp, .down] : [.gate, .up, .down]
    }

    /// The linear layers of what acts beside experts.
    package var sharedRoles: [Role] {
        guard let shared = shape.mixture?.shared else { return [] }
        let first: [Role] =
            !shape.isGated
            ? [.sharedUp] : shape.fusesGateUp ? [.sharedGateUp] : [.sharedGate, .sharedUp]
        return (shared.isWeighed ? [.sharedRouter] : []) + first + [.sharedDown]
    }

    private func localName(_ role: Role, layer: Int, expert: Int?) -> String {
        let isDense = shape.mixture != nil && !kind(layer: layer).hasExperts
        let path = isDense ? mlpNames.dense : mlpNames.path
        let mlp = path.isEmpty ? path : path + (expert.map { ".\($0)." } ?? ".")
        return switch role {
        case .query: names.query
        case .key: names.key
        case .value: names.value
        case .queryKeyValue: names.queryKeyValue
        case .queryDown: names.queryDown
        case .queryUp: names.queryUp
        case .latentDown: names.latentDown
        case .latentUp: names.latentUp
        case .output: isLinear(layer) ? names.linearOutput : names.output
        case .mixed: names.mixed
        case .valueGate: names.valueGate
        case .strength: names.strength
        case .decay: names.decay
        case .router: mlpNames.router
        case .gate: mlp + mlpNames.gate
        case .up: mlp + mlpNames.up
        case .gateUp: mlp + mlpNames.gateUp
        case .down: mlp + mlpNames.down
        case .sharedRouter: mlpNames.sharedRouter
        case .sharedGate: mlpNames.shared + "." + mlpNames.gate
        case .sharedUp: mlpNames.shared + "." + mlpNames.up
        case .sharedGateUp: mlpNames.shared + "." + mlpNames.gateUp
        case .sharedDown: mlpNames.shared + "." + mlpNames.down
        }
    }

    private func extents(_ role: Role, _ shape: DecoderShape) -> (inputs: Int, outputs: Int) {
        let shared = shape.mixture?.shared?.intermediate ?? 0
        let latent = shape.latent
        let linear =
            shape.mixer?.delta
            ?? LinearAttentionShape(
                delta: DeltaShape(keyHeads: 1, valueHeads: 1, keyDim: 1, valueDim: 1), taps: 1,
                isGrouped: false)
        return switch role {
        case .query: (shape.hidden, shape.gatesValues ? 2 * shape.queryWidth : shape.queryWidth)
        case .mixed where shape.mixer?.convolution != nil:
            (shape.hidden, 3 * (shape.mixer?.convolution?.width ?? 0))
        case .mixed where shape.mixer?.space != nil:
            (shape.hidden, shape.mixer?.space?.productWidth ?? 0)
        case .mixed:
            (shape.hidden, linear.mixedWidth + (linear.isGrouped ? linear.valueWidth : 0))
        case .valueGate: (shape.hidden, linear.valueWidth)
        case .strength: (shape.hidden, linear.delta.valueHeads * (linear.isGrouped ? 2 : 1))
        case .decay: (shape.hidden, linear.delta.valueHeads)
        case .output where shape.mixer?.convolution != nil:
            (shape.mixer?.convolution?.width ?? 0, shape.hidden)
        case .output where shape.mixer?.space != nil:
            (shape.mixer?.space?.width ?? 0, shape.hidden)
        case .output where shape.mixer != nil: (linear.valueWidth, shape.hidden)
        case .key, .value: (shape.hidden, shape.keyWidth)
        case .queryKeyValue: (shape.hidden, shape.queryWidth + 2 * shape.keyWidth)
        case .queryDown: (shape.hidden, latent?.queryRank ?? 0)
        case .queryUp: (latent?.queryRank ?? 0, shape.queryWidth)
        case .latentDown: (shape.hidden, latent.map { $0.rank + $0.rotated } ?? 0)
        case .latentUp: (latent?.rank ?? 0, shape.expandedWidth)
        case .output: (shape.valueWidth, shape.hidden)
        case .router: (shape.hidden, shape.mixture?.experts ?? 0)
        case .gate, .up: (shape.hidden, shape.intermediate)
        case .gateUp: (shape.hidden, 2 * shape.intermediate)
        case .down: (shape.intermediate, shape.hidden)
        case .sharedRouter: (shape.hidden, 1)
        case .sharedGate, .sharedUp: (shape.hidden, shared)
        case .sharedGateUp: (shape.hidden, 2 * shared)
        case .sharedDown: (shared, shape.hidden)
        }
    }

    /// Number of all parameters; a tied head counts once.
    package var parameterCount: Int {
        var count = (vocabulary + positionRows) * shape.hidden + finalNorm.numbers
        if !tiedEmbeddings { count += headOutputs * shape.hidden }
        if headHasBias { count += headOutputs }
        for (layer, layers) in distinctLayers {
            for linear in linears(layer: layer) {
                count +=
                    layers
                    * (linear.inputs * linear.outputs + (linear.hasBias ? linear.outputs : 0))
            }
        }
        for (layer, layers) in distinctLayers {
            let vectors = vectors(layer: layer).filter(\.isTrained).reduce(0) { $0 + $1.count }
            count += layers * norms(layer: layer).reduce(vectors) { $0 + $1.numbers }
        }
        return count
    }

    /// Number of the weights of all linear layers inside the decoder layers.
    package var linearWeightCount: Int {
        distinctLayers.reduce(0) { sum, kind in
            sum + kind.count * linears(layer: kind.layer).reduce(0) { $0 + $1.inputs * $1.outputs }
        }
    }
}
