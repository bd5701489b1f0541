// SPDX-License-Identifier: Apache-2.0
// What a half of a layer may be quantized to, and what that costs.
import EftModels
import EftQuant

/// Widths of the linear layers of one block (attention, or what follows it) as they were measured together.
package struct WidthOption: Sendable, Hashable {
    /// 1 less the block's relative error, as ExLlamaV2's measurements have it.
    package let accuracy: Double
    /// Bits on disk of all linear layers of the block.
    package let bits: Int
    /// Nats that the Kullback-Leibler divergence of a token's prediction grows by, as far as it can be foretold; nil in
    /// measurements of other tools.
    package let divergence: Double?
    /// The sections of each projection, by the last part of its name, such as `q_proj`.
    package let sections: [String: [EXL2Section]]

    /// Puts an option together.
    package init(
        accuracy: Double, bits: Int, divergence: Double? = nil, sections: [String: [EXL2Section]]
    ) {
        self.accuracy = accuracy
        self.bits = bits
        self.divergence = divergence
        self.sections = sections
    }

    /// What a mix should have little of: the divergence, or else the square of the relative error, which it grows with.
    var loss: Double { divergence ?? (1 - accuracy) * (1 - accuracy) }
}

/// The linear layers of a model that are measured and chosen for together: attention, or what follows it.
struct WidthBlock: Sendable, Hashable {
    /// The path in measurements, such as `model.layers.0.self_attn`.
    let key: String
    /// The block's layers in the order of the computation.
    let linears: [DecoderDescription.LinearShape]

    /// Both blocks of each layer, in order.
    static func all(_ model: DecoderDescription) -> [WidthBlock] {
        (0..<model.layers).flatMap { layer($0, model) }
    }

    /// Both blocks of a layer.
    static func layer(_ layer: Int, _ model: DecoderDescription) -> [WidthBlock] {
        let path = model.layerName(layer) + "."
        let mlp = model.mlpRoles
        // All experts of a layer are one block, called what holds them, and their like layers have the same widths.
        let mixture = model.shape(layer: layer).mixture
        let experts = mixture.map { (0..<$0.experts).map(Optional.some) } ?? [nil]
        let name = model.mlpNames.path
        let suffix = ".experts"
        return [
            WidthBlock(
                key: path + (model.isLinear(layer) ? "linear_attn" : "self_attn"),
                linears: model.attentionRoles(layer: layer).map { model.linear($0, layer: layer) }),
            WidthBlock(
                key: path + (name.hasSuffix(suffix) ? String(name.dropLast(suffix.count)) : name),
                linears: experts.flatMap { expert in
                    mlp.map { model.linear($0, layer: layer, expert: expert) }
                }
                    + (mixture == nil ? [] : model.sharedRoles).filter { !$0.isRouter }.map {
                        model.linear($0, layer: layer)
                    }),
        ]
    }

    /// Of a row of widths for each linear layer of attention or of an MLP, those of a projection. A product that holds
    /// several takes those of its first; an MLP beside experts takes what they take.
    func column<Widths>(_ projection: Int, of row: [Widths]) -> Widths {
        let count = linears.count { $0.role == .output } > 0 ? projections.count : mlpCount
        let place = projection % count
        return row[place == count - 1 ? row.count - 1 : place]
    }

    /// Linear layers of one MLP.
    private var mlpCount: Int {
        (linears.firstIndex { $0.role == .down } ?? linears.count - 1) + 1
    }

    /// The projections, each once, in the order of the computation.
    var projections: [String] { linears.map(\.projection).distinct() }

    /// Number of weights.
    var weights: Int { linears.reduce(0) { $0 + $1.inputs * $1.outputs } }

    /// Bits on disk when the projections have such sections; nil when sections miss or do not cover a matrix.
    func storedBits(_ sections: [String: [EXL2Section]]) -> Int? {
        var bits = 0
        for linear in linears {
            guard
                let groups = sections[linear.projection].flatMap({
                    EXL2Geometry.groups(inputs: linear.inputs, sections: $0)
                })
            else { return nil }
            bits += EXL2Geometry.storedBits(
                groups: groups, inputs: linear.inputs, outputs: linear.outputs,
                bias: linear.hasBias)
        }
        return bits
    }
}

extension DecoderDescription.LinearShape {
    /// The last part of the name, such as `q_proj`; of an MLP beside experts, whose sizes are its own, the last two, and of
    /// attention's output where it is called as the MLP's is.
    var projection: String {
        let isShared = [.sharedGate, .sharedUp, .sharedDown].contains(role)
        let isAmbiguous = role == .output && moduleName == "c_proj"
        return name.split(separator: ".").suffix(isShared || isAmbiguous ? 2 : 1)
            .joined(separator: ".")
    }
}

extension Array where Element: Hashable {
    /// The elements without repetitions, in the order of their first appearance.
    func distinct() -> [Element] {
        var seen: Set<Element> = []
        return filter { seen.insert($0).inserted }
    }
}
