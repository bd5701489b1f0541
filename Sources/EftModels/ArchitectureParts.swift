// SPDX-License-Identifier: Apache-2.0
// What a decoder is made of, in words.
import EftNN
import EftTensor

extension DecoderDescription {
    /// A part of a decoder and its form.
    package struct Part: Sendable, Hashable {
        package let name: String
        package let form: String
    }

    /// The parts of a decoder, in the order of the computation. Numbers that only sizes differ by are left out.
    package var parts: [Part] {
        [
            Part(name: "norms", form: normForm), Part(name: "attention", form: attentionForm),
            Part(name: "positions", form: positionForm), Part(name: "MLP", form: mlpForm),
            Part(name: "factors", form: factorForm),
        ].filter { !$0.form.isEmpty }
    }

    private static func list(_ phrases: [String?]) -> String {
        phrases.compactMap { $0 }.joined(separator: ", ")
    }

    private var normForm: String {
        let kind = norms.kind == .rms ? "root mean square" : "layer norm"
        let before = norms.attention != nil
        return DecoderDescription.list([
            kind + (norms.hasBias ? " with bias" : ""),
            norms.offset == 0 ? nil : "stored as the distance from one",
            !shape.normsValues
                ? nil : before ? "before and behind attention and MLP" : "behind attention and MLP",
            !shape.isParallel
                ? nil
                : norms.feedForward == nil
                    ? "one for attention and MLP side by side" : "attention and MLP side by side",
            !shape.normsHeads
                ? nil
                : norms.normsHeadsTogether
                    ? "of all heads of queries and keys at once"
                    : "of each head of queries and keys"
                        + (norms.weighsHeads ? "" : " without weights")
                        + (shape.normsRotatedHeads ? " behind rotation" : ""),
        ])
    }

    private var attentionForm: String {
        let windows = (0..<layers).filter { kind(layer: $0).window != nil }
        let chunks = windows.contains { kind(layer: $0).isChunked }
        let sizes = Set(windows.compactMap { kind(layer: $0).window }).sorted()
        let share = windows.count == layers ? "all layers" : "\(windows.count) of \(layers) layers"
        let biases = [queryKeyValueBias ? "query, key, value" : nil, outputBias ? "output" : nil]
            .compactMap { $0 }.joined(separator: ", ")
        return DecoderDescription.list([
            shape.latent.map { latent in
                "keys and values from a vector of \(latent.rank) numbers"
                    + (latent.queryRank.map { ", queries from one of \($0)" } ?? "")
            },
            shape.heads == shape.kvHeads
                ? "multi-head" : "\(shape.heads / shape.kvHeads) heads share keys and values",
            shape.fusedHeads == nil ? nil : "queries, keys and values in one product",
            biases.isEmpty ? nil : "bias on \(biases)",
            sizes.isEmpty
                ? nil
                : "\(chunks ? "chunks" : "window") of \(sizes.map(String.init).joined(separator: ", ")) in \(share)",
            shape.attentionCap.map { "scores capped at \($0)" },
            shape.hasSinks ? "sinks" : nil,
            shape.temperature == nil ? nil : "queries that grow where they do not rotate",
            shape.gatesValues ? "values weighed by sigmoids" : nil,
            shape.mixer.map { form($0, layers: (0..<layers).count { isLinear($0) }) },
        ])
    }

    private func form(_ mixer: StateMixerShape, layers count: Int) -> String {
        let share = "in \(count) of \(layers) layers"
        switch mixer {
        case .delta(let linear):
            return "linear by the gated delta rule \(share) "
                + "(\(linear.delta.valueHeads / linear.delta.keyHeads) heads of values share keys, "
                + "convolution over \(linear.taps) rows)"
        case .space(let space):
            return "state space (Mamba 2) in its place \(share) (\(space.rule.valueHeads) heads in "
                + "\(space.rule.keyHeads) groups, convolution over \(space.taps) rows)"
        case .convolution(let convolution):
            return "a gated convolution over \(convolution.taps) rows in its place \(share)"
        }
    }

    private var positionForm: String {
        if positions != nil { return "learned" }
        let still = (0..<layers).count { kind(layer: $0).rotary == nil && !isLinear($0) }
        if still > 0, still == pagedLayers(0..<layers) { return "none" }
        return DecoderDescription.list([
            "rotary" + (rotary.interleaved ? " of neighbours" : ""),
            rotary.headDim == shape.headDim
                ? nil : "\(rotary.headDim) of \(shape.headDim) numbers of a head",
            rotary.scaling.name,
            otherRotaries.isEmpty ? nil : "another one in layers with a window",
            still == 0 ? nil : "none in \(still) of \(layers) layers",
        ])
    }

    private var mlpForm: String {
        let function = shape.isGated ? "gated by \(shape.activation.name)" : shape.activation.name
        let product = shape.fusesGateUp ? "both factors in one product" : nil
        guard let mixture = shape.mixture else {
            return DecoderDescription.list([function, product, mlpBias ? "biases" : nil])
        }
        return DecoderDescription.list([
            function, product, mlpBias ? "biases" : nil,
            "\(mixture.expertsPerRow) of \(mixture.experts) experts for each token",
            mixture.form,
            stack == nil ? nil : "in one tensor",
            mixture.shared.map {
                $0.isWeighed ? "a weighed MLP beside them" : "an MLP beside them"
            },
            denseLayers == 0 ? nil : "none in \(denseLayers) of \(layers) layers",
        ])
    }

    private var denseLayers: Int { (0..<layers).count { shape(layer: $0).mixture == nil } }

    private var factorForm: String {
        func factor(_ name: String, _ value: Float) -> String? {
            value == 1 ? nil : "\(name) times \(value)"
        }
        return DecoderDescription.list([
            factor("embeddings", embeddingScale), factor("values", shape.residualScale),
            shape.attentionScale.map { "scores times \($0)" }, factor("logits", logits.scale),
            logits.cap.map { "logits capped at \($0)" },
            headBias ? "bias on the head" : nil, tiedEmbeddings ? "tied embeddings" : nil,
        ])
    }
}

extension MixtureShape {
    /// How it chooses and weighs; nil where by the softmax of the chosen ones.
    fileprivate var form: String? {
        let scores: String? =
            switch scoring {
            case .softmaxOfChosen: nil
            case .softmax: "by the softmax of all"
            case .sigmoid: "by sigmoids"
            case .sparse: "by those that come close"
            }
        let words = [
            scores, hasCorrection ? "corrected" : nil,
            groups.map { "from \($0.chosen) of \($0.count) groups" },
            scale == 1 ? nil : "times \(scale)",
            weighsInputs ? "weighed before they compute" : nil,
        ]
        let form = words.compactMap { $0 }.joined(separator: ", ")
        return form.isEmpty ? nil : form
    }
}

extension Activation {
    /// What papers call it.
    fileprivate var name: String {
        switch self {
        case .silu: "SiLU"
        case .gelu: "GELU"
        case .geluTanh: "GELU by tanh"
        case .relu: "ReLU"
        case .reluSquared: "squared ReLU"
        case .clampedSwiGLU: "SiLU, clamped"
        case .sigmoid: "sigmoid"
        }
    }
}

extension RotaryScaling {
    /// What configurations call it; nil without one.
    fileprivate var name: String? {
        switch self {
        case .none: nil
        case .linear: "linear scaling"
        case .dynamic: "dynamic scaling"
        case .llama3: "llama3 scaling"
        case .yarn: "yarn scaling"
        case .long: "longrope scaling"
        }
    }
}
