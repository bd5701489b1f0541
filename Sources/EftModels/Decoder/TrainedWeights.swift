// SPDX-License-Identifier: Apache-2.0
// Which weights of a decoder are trained themselves, whether or not adapters are trained beside them.
import EftNN
import EftTensor

/// Weights that an optimizer changes, by their names in the checkpoint. They are held in f32.
package enum TrainedWeights: Sendable, Hashable {
    /// None; what an adapter's base is.
    case none
    /// All.
    case all
    /// Those of these names, such as `model.embed_tokens.weight`.
    case named(Set<String>)

    /// Whether a weight is trained.
    package func contains(_ name: String) -> Bool {
        switch self {
        case .none: false
        case .all: true
        case .named(let names): names.contains(name)
        }
    }

    /// Whether no weight is trained.
    package var isEmpty: Bool {
        switch self {
        case .none: true
        case .all: false
        case .named(let names): names.isEmpty
        }
    }

    /// The shapes of what is trained.
    ///
    /// A tied head has no weight of its own; it is trained with the embedding.
    /// - Parameter isTarget: see `OptimizerNeed`.
    package func shapes(
        _ description: DecoderDescription, _ layouts: DecoderLayouts,
        isTarget: ((_ name: String) -> Bool)? = nil
    ) -> TrainedShapes {
        func chosen(_ shape: ParameterShape, _ name: String) -> [ParameterShape] {
            guard contains(name) else { return [] }
            var shape = shape
            shape.isTarget = shape.isMatrix && isTarget?(name) ?? false
            return [shape]
        }
        let layers = (0..<layouts.layerCount).map { layer -> [ParameterShape] in
            if isEmpty { return [] }
            let held = layouts.linears(of: layer..<layer + 1)
            let linears = zip(description.linears(layer: layer), held).flatMap { linear, layout in
                chosen(layout.trainedShape, linear.name + ".weight")
                    + (linear.hasBias ? chosen(.vector(linear.outputs), linear.name + ".bias") : [])
            }
            return linears
                + description.norms(layer: layer).flatMap { norm in
                    norm.parts.flatMap { chosen(.vector(norm.count), $0) }
                }
                + description.vectors(layer: layer).filter(\.isTrained).flatMap {
                    chosen(.vector($0.count), $0.name)
                }
        }
        return TrainedShapes(
            layers: layers,
            embedding: chosen(
                layouts.embedding.trainedShape.ofVocabulary, description.embeddingName + ".weight")
                + description.positionShapes.filter { _ in
                    description.positions.map { contains($0.weight) } ?? false
                },
            head: description.finalNorm.parts.flatMap {
                chosen(.vector(description.finalNorm.count), $0)
            }
                + (layouts.isTied
                    ? []
                    : chosen(
                        layouts.headShape(description), description.headName + ".weight"))
                + (description.headHasBias
                    ? chosen(.vector(description.headOutputs), description.headName + ".bias") : [])
        )
    }

    /// How far backward passes go.
    package func scratch(_ description: DecoderDescription) -> DecoderScratch.Training {
        let head = description.tiedEmbeddings ? description.embeddingName : description.headName
        let isInside = (0..<description.layers).contains { layer in
            description.linears(layer: layer).contains { contains($0.name + ".weight") }
        }
        if isInside { return .full }
        return contains(head + ".weight") ? .adaptersAndHead : .adapters
    }
}

extension DecoderDescription {
    /// The names of all weights, biases and norms, in the order of the computation.
    package var weightNames: [String] {
        var names = [embeddingName + ".weight"]
        if let positions { names.append(positions.weight) }
        for layer in 0..<layers {
            for linear in linears(layer: layer) {
                names.append(linear.name + ".weight")
                if linear.hasBias { names.append(linear.name + ".bias") }
            }
            names += norms(layer: layer).flatMap(\.parts)
            names += vectors(layer: layer).filter(\.isTrained).map(\.name)
        }
        names += finalNorm.parts
        names += headTensors.dropFirst(tiedEmbeddings ? 1 : 0)
        return names
    }
}
