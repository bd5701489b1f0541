// SPDX-License-Identifier: Apache-2.0
// What of a decoder is trainable.
import EftNN
import EftTensor

extension Decoder {
    /// Takes memory for the gradients of every weight (full training; all weights must be in f32).
    /// - Throws: `TensorError` when they do not fit the ledger, or when layers are streamed.
    package func makeFullyTrainable() throws(TensorError) {
        guard streams.allSatisfy({ $0 == nil }) else {
            throw TensorError(
                .outOfBudget,
                "streamed layers are read-only and cannot be trained themselves; train an adapter, or raise "
                    + "--memory until all layers fit")
        }
        let embeddingName = description.embeddingName + ".weight"
        let parameter = try Parameter(
            name: embeddingName, value: embedding.panels, shape: embedding.layout.trainedShape,
            decays: true, ledger: devices[embeddingDevice].ledger)
        embeddingParameter = parameter
        for (layer, ledger) in zip(layers, layerLedgers) {
            for linear in layer.linears { try linear.makeTrainable(ledger: ledger) }
            for norm in layer.norms { try norm.makeTrainable(ledger: ledger) }
        }
        let ledger = devices[headDevice].ledger
        try finalNorm.makeTrainable(ledger: ledger)
        // A tied head adds to the embedding's gradient.
        if description.tiedEmbeddings {
            head.weightParameter = parameter
        } else {
            try head.makeTrainable(ledger: ledger)
        }
    }

    /// All trainable parameters, each once, in the order of the model.
    package var parameters: [Parameter] {
        var parameters: [Parameter] = []
        if let embeddingParameter { parameters.append(embeddingParameter) }
        for layer in layers {
            for linear in layer.linears {
                for slot in linear.adapters.keys.sorted() {
                    if let pair = linear.adapters[slot]?.parameters {
                        parameters += [pair.a, pair.b]
                    }
                }
                if let weight = linear.weightParameter { parameters.append(weight) }
                if let bias = linear.biasParameter { parameters.append(bias) }
            }
            parameters += layer.norms.compactMap(\.parameter)
        }
        if let norm = finalNorm.parameter { parameters.append(norm) }
        if let weight = head.weightParameter, weight !== embeddingParameter {
            parameters.append(weight)
        }
        return parameters
    }
}
