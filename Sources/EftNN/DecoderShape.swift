// SPDX-License-Identifier: Apache-2.0
// The extents and the form of decoder layers.
import EftTensor

/// A mixture of experts: MLPs of which a router chooses some for each row.
package struct MixtureShape: Sendable, Hashable {
    /// E: number of experts.
    package var experts: Int
    /// How many of them act on a row.
    package var expertsPerRow: Int
    /// From the router's logits to weights.
    package var scoring: Scoring
    /// Factor of the experts' weights.
    package var scale: Float = 1
    /// The groups of experts of which only some are chosen from; nil where there are none.
    package var groups: Groups?
    /// Whether an expert's weight multiplies its input, and not its value.
    package var weighsInputs = false
    /// Whether a number for each expert is added to the scores by which experts are chosen.
    package var hasCorrection = false
    /// The MLP that acts on all rows beside the experts; nil where there is none.
    package var shared: SharedExpert?

    /// How a router's logits weigh experts.
    package enum Scoring: Sendable, Hashable {
        /// By the softmax of the chosen ones' logits.
        case softmaxOfChosen
        /// By the softmax of all logits.
        case softmax
        /// By a sigmoid of each logit; those of the chosen ones may be made to add up to 1.
        case sigmoid(addsUp: Bool)
        /// One after the other, each by the softmax of the logits that are close to the highest one that is left.
        case sparse(jitter: Float)
    }

    /// Groups of as many experts each.
    package struct Groups: Sendable, Hashable {
        /// How many there are.
        package var count: Int
        /// How many of them a row chooses experts from.
        package var chosen: Int
        /// Whether a group counts by the sum of its two highest scores, and not by the highest.
        package var sumsTwo: Bool

        /// States groups.
        package init(count: Int, chosen: Int, sumsTwo: Bool) {
            precondition(count > 0 && chosen > 0 && chosen <= count)
            self.count = count
            self.chosen = chosen
            self.sumsTwo = sumsTwo
        }
    }

    /// An MLP beside the experts.
    package struct SharedExpert: Sendable, Hashable {
        /// Numbers inside it.
        package var intermediate: Int
        /// Whether a sigmoid of its own weighs its value.
        package var isWeighed: Bool

        /// Makes a shape.
        package init(intermediate: Int, isWeighed: Bool) {
            self.intermediate = intermediate
            self.isWeighed = isWeighed
        }
    }

    /// Makes a shape.
    package init(
        experts: Int, expertsPerRow: Int, scoring: Scoring = .softmaxOfChosen,
        shared: SharedExpert? = nil
    ) {
        precondition(expertsPerRow > 0 && expertsPerRow <= experts)
        self.experts = experts
        self.expertsPerRow = expertsPerRow
        self.scoring = scoring
        self.shared = shared
    }
}

/// What differs between the layers of one decoder.
package struct LayerKind: Sendable, Hashable {
    /// Positions that a row sees, its own included; all when nil.
    package var window: Int?
    /// Whether sequences are cut into chunks of that many positions, of which a row sees those of its own.
    package var isChunked = false
    /// Whether queries and keys are normed, in a model that norms some.
    package var normsHeads = true
    /// Which of the model's rotary embeddings turns queries and keys; none when nil.
    package var rotary: Int?
    /// Whether it has experts, in a model that has some.
    package var hasExperts = true
    /// Whether it keeps a state in the place of keys and values, in a model some of whose layers do.
    package var isLinear = false

    /// A layer that sees all positions and rotates by the first embedding, where not said otherwise.
    package init(window: Int? = nil, rotary: Int? = 0) {
        precondition(window.map { $0 > 0 } ?? true, "a window holds a row's own position")
        self.window = window
        self.rotary = rotary
    }
}

/// The extents and constants that all layers of a decoder share.
package struct DecoderShape: Sendable, Hashable {
    /// C: numbers of a hidden state.
    package var hidden: Int
    /// F: numbers inside the MLP, or inside each expert.
    package var intermediate: Int
    /// H.
    package var heads: Int
    /// Hkv.
    package var kvHeads: Int
    /// D.
    package var headDim: Int
    /// Added to the mean square in norms.
    package var normEpsilon: Float
    /// Whether queries and keys go through a norm, each head alone or all at once.
    package var normsHeads: Bool
    /// Whether that norm comes after rotation.
    package var normsRotatedHeads = false
    /// Whether attention and MLP read the same states, and not one what the other left.
    package var isParallel = false
    /// Whether the values of attention and of the MLP go through norms before they are added.
    package var normsValues = false
    /// Factor of the values of attention and of the MLP.
    package var residualScale: Float = 1
    /// Factor of attention's scores; 1 / sqrt(D) when nil.
    package var attentionScale: Float?
    /// Attention's scores s become cap * tanh(s / cap); nil leaves them as they are.
    package var attentionCap: Float?
    /// Whether attention's softmax counts a learned score of each head that stands for no position.
    package var hasSinks = false
    /// What the MLP does with a number.
    package var activation = Activation.silu
    /// What queries of layers that do not rotate are multiplied by; nil where they stay.
    package var temperature: QueryTemperature?
    /// Whether the MLP multiplies two products.
    package var isGated = true
    /// How one product holds queries, keys and values; nil where each has one of its own.
    package var fusedHeads: FusedOrder?
    /// Whether one product holds both factors of a gated MLP, the gate's first.
    package var fusesGateUp = false
    /// The widths of latent attention; nil where the states themselves give keys and values.
    package var latent: LatentShape?
    /// Whether sigmoids weigh attention's values, which stand behind each head's queries in their product.
    package var gatesValues = false
    /// What takes attention's place in layers that keep a state; nil where no layer does.
    package var mixer: StateMixerShape?
    /// The experts among which each row chooses; nil where one MLP serves all rows.
    package var mixture: MixtureShape?
    /// Numbers inside the MLP of layers without experts, where others have them.
    package var denseIntermediate: Int?

    /// Makes a shape of the Llama form.
    package init(
        hidden: Int, intermediate: Int, heads: Int, kvHeads: Int, headDim: Int, normEpsilon: Float,
        normsHeads: Bool = false, mixture: MixtureShape? = nil
    ) {
        self.hidden = hidden
        self.intermediate = intermediate
        self.heads = heads
        self.kvHeads = kvHeads
        self.headDim = headDim
        self.normEpsilon = normEpsilon
        self.normsHeads = normsHeads
        self.mixture = mixture
    }

    /// Numbers inside the widest MLP.
    package var widestMLP: Int {
        max(intermediate, mixture?.shared?.intermediate ?? 0, denseIntermediate ?? 0)
    }

    /// Numbers of the widest product that holds several.
    var fusedWidth: Int {
        max(
            fusedHeads == nil ? 0 : queryWidth + 2 * keyWidth, fusesGateUp ? 2 * widestMLP : 0,
            gatesValues ? 2 * queryWidth : 0)
    }

    /// The shape of a layer of a kind.
    package func layer(_ kind: LayerKind) -> DecoderShape {
        var shape = self
        if !kind.normsHeads { shape.normsHeads = false }
        if kind.rotary != nil { shape.temperature = nil }
        if mixture != nil, !kind.hasExperts {
            shape.mixture = nil
            shape.intermediate = denseIntermediate ?? intermediate
        }
        guard mixer != nil else { return shape }
        if kind.isLinear {
            shape.gatesValues = false
            shape.normsHeads = false
        } else {
            shape.mixer = nil
        }
        return shape
    }

    /// H * D.
    package var queryWidth: Int { heads * headDim }
    /// Hkv * D.
    package var keyWidth: Int { kvHeads * headDim }
    /// Whether attention's value has a place of its own before it is added.
    package var hasBranch: Bool { normsValues || isParallel || residualScale != 1 }

    /// The attention's extents with keys and values of a type.
    package func attention(
        kvType: KVType, window: Int? = nil, isChunked: Bool = false
    ) -> AttentionShape {
        AttentionShape(
            heads: heads, kvHeads: kvHeads, headDim: headDim,
            scale: attentionScale ?? 1 / Float(headDim).squareRoot(), kvType: kvType,
            window: window, isChunked: isChunked, softCap: attentionCap)
    }
}
