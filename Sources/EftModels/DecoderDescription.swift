// SPDX-License-Identifier: Apache-2.0
// A decoder described by data: everything that the forward pass, the loader and the planner need to know.
import EftNN

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
    /// Rotary embedding.
    package var rotary: RotaryEmbedding
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
        case output
        /// Chooses experts.
        case router
        /// The first product of the MLP or of an expert.
        case gate
        case up
        case down
    }

    /// What a checkpoint calls the parts of an MLP or of a mixture of experts, below the layer's path.
    package struct MLPNames: Sendable, Hashable {
        /// The MLP, or the list of experts.
        package var path = "mlp"
        /// What chooses experts.
        package var router = "mlp.gate"
        package var gate = "gate_proj"
        package var up = "up_proj"
        package var down = "down_proj"

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

        /// The name by which PEFT's `target_modules` knows it, such as `q_proj`.
        package var moduleName: String {
            name.split(separator: ".").last.map(String.init) ?? name
        }
    }

    /// The path of a layer in the checkpoint.
    package func layerName(_ index: Int) -> String { "model.layers.\(index)" }
    /// The path of the embedding.
    package var embeddingName: String { "model.embed_tokens" }
    /// The path of the head.
    package var headName: String { scores == nil ? "lm_head" : ScoreHead.name }

    /// Name and length of a norm's weight.
    package struct NormShape: Sendable, Hashable {
        /// The path in the checkpoint.
        package let name: String
        /// Numbers of the weight.
        package let count: Int
    }

    /// The norm before attention.
    package func inputNorm(layer: Int) -> NormShape {
        NormShape(name: layerName(layer) + ".input_layernorm", count: shape.hidden)
    }

    /// The norms of each head of queries and of keys; nil where there are none.
    package func headNorms(layer: Int) -> (query: NormShape, key: NormShape)? {
        guard shape.normsHeads else { return nil }
        let path = layerName(layer) + ".self_attn."
        return (
            NormShape(name: path + "q_norm", count: shape.headDim),
            NormShape(name: path + "k_norm", count: shape.headDim)
        )
    }

    /// The norm before the MLP.
    package func middleNorm(layer: Int) -> NormShape {
        NormShape(name: layerName(layer) + ".post_attention_layernorm", count: shape.hidden)
    }

    /// The norm before the head.
    package var finalNorm: NormShape { NormShape(name: "model.norm", count: shape.hidden) }

    /// All norms of a decoder layer, in the order of the computation.
    package func norms(layer: Int) -> [NormShape] {
        let heads = headNorms(layer: layer).map { [$0.query, $0.key] } ?? []
        return [inputNorm(layer: layer)] + heads + [middleNorm(layer: layer)]
    }

    /// A linear layer of a decoder layer; the parts of a mixture are asked for by expert.
    package func linear(_ role: Role, layer: Int, expert: Int? = nil) -> LinearShape {
        let (inputs, outputs) = extents(role)
        let bias =
            switch role {
            case .query, .key, .value: queryKeyValueBias
            case .output: outputBias
            case .gate, .up, .down: mlpBias
            case .router: false
            }
        let local = localName(role, expert: expert)
        return LinearShape(
            name: layerName(layer) + "." + local, localName: local, role: role, inputs: inputs,
            outputs: outputs, hasBias: bias)
    }

    /// All linear layers of a decoder layer, in the order of the computation.
    package func linears(layer: Int) -> [LinearShape] {
        let attention = [Role.query, .key, .value, .output].map { linear($0, layer: layer) }
        let parts = [Role.gate, .up, .down]
        guard let mixture = shape.mixture else {
            return attention + parts.map { linear($0, layer: layer) }
        }
        let experts = (0..<mixture.experts).flatMap { expert in
            parts.map { linear($0, layer: layer, expert: expert) }
        }
        return attention + [linear(.router, layer: layer)] + experts
    }

    private func localName(_ role: Role, expert: Int?) -> String {
        let mlp = mlpNames.path + (expert.map { ".\($0)." } ?? ".")
        return switch role {
        case .query: "self_attn.q_proj"
        case .key: "self_attn.k_proj"
        case .value: "self_attn.v_proj"
        case .output: "self_attn.o_proj"
        case .router: mlpNames.router
        case .gate: mlp + mlpNames.gate
        case .up: mlp + mlpNames.up
        case .down: mlp + mlpNames.down
        }
    }

    private func extents(_ role: Role) -> (inputs: Int, outputs: Int) {
        switch role {
        case .query: (shape.hidden, shape.queryWidth)
        case .key, .value: (shape.hidden, shape.keyWidth)
        case .output: (shape.queryWidth, shape.hidden)
        case .router: (shape.hidden, shape.mixture?.experts ?? 0)
        case .gate, .up: (shape.hidden, shape.intermediate)
        case .down: (shape.intermediate, shape.hidden)
        }
    }

    /// Number of all parameters; a tied head counts once.
    package var parameterCount: Int {
        var count = vocabulary * shape.hidden + shape.hidden
        if !tiedEmbeddings { count += headOutputs * shape.hidden }
        if headHasBias { count += headOutputs }
        for linear in linears(layer: 0) {
            count +=
                layers * (linear.inputs * linear.outputs + (linear.hasBias ? linear.outputs : 0))
        }
        return count + layers * norms(layer: 0).reduce(0) { $0 + $1.count }
    }

    /// Number of the weights of all linear layers inside the decoder layers.
    package var linearWeightCount: Int {
        linears(layer: 0).reduce(0) { $0 + $1.inputs * $1.outputs } * layers
    }
}
