// SPDX-License-Identifier: Apache-2.0
// Which weights of a decoder are trained themselves, whether or not adapters are trained beside them.
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

    /// Bytes of trained numbers in a part of a decoder, and of the largest trained weight.
    ///
    /// A tied head has no weight of its own; it is trained with the embedding.
    package func byteCount(
        _ description: DecoderDescription, _ layouts: DecoderLayouts, part: DecoderPart
    ) -> (total: Int, largest: Int) {
        var (total, largest) = (0, 0)
        func add(_ name: String, _ bytes: Int) {
            guard contains(name) else { return }
            total += bytes
            largest = max(largest, bytes)
        }
        if part.holdsEmbedding {
            add(description.embeddingName + ".weight", layouts.embedding.byteCount)
        }
        for layer in part.layers {
            let held = layouts.linears(of: layer..<layer + 1)
            for (linear, layout) in zip(description.linears(layer: layer), held) {
                add(linear.name + ".weight", layout.byteCount)
                if linear.hasBias { add(linear.name + ".bias", linear.outputs * 4) }
            }
            for norm in description.norms(layer: layer) {
                add(norm.name + ".weight", norm.count * 4)
            }
        }
        guard part.holdsHead else { return (total, largest) }
        add(description.finalNorm.name + ".weight", description.finalNormBytes)
        if !layouts.isTied { add(description.headName + ".weight", layouts.head.byteCount) }
        return (total, largest)
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
        for layer in 0..<layers {
            for linear in linears(layer: layer) {
                names.append(linear.name + ".weight")
                if linear.hasBias { names.append(linear.name + ".bias") }
            }
            names += norms(layer: layer).map { $0.name + ".weight" }
        }
        names.append(finalNorm.name + ".weight")
        if !tiedEmbeddings { names.append(headName + ".weight") }
        return names
    }
}
