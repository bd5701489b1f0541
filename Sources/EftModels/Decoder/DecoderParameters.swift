// SPDX-License-Identifier: Apache-2.0
// What of a decoder is trainable.
import EftNN
import EftTensor

extension Decoder {
    /// Takes memory for the gradients of weights, which must be in f32.
    /// - Throws: `TensorError` when they do not fit the ledger, or when a layer with such a weight is streamed.
    package func makeTrainable(_ trained: TrainedWeights) throws(TensorError) {
        if trained.contains(description.embeddingName + ".weight") {
            let parameter = try Parameter(
                name: description.embeddingName + ".weight", value: embedding.panels,
                shape: embedding.layout.trainedShape, decays: true,
                ledger: devices[embeddingDevice].ledger)
            embeddingParameter = parameter
            // A tied head adds to the embedding's gradient.
            if description.tiedEmbeddings { head.weightParameter = parameter }
        }
        if let positions, trained.contains(positions.name) {
            try positions.makeTrainable(ledger: devices[embeddingDevice].ledger)
        }
        for (layer, ledger) in zip(layers, layerLedgers) {
            for linear in layer.linears { try makeTrainable(linear, trained, ledger) }
            for norm in layer.norms { try makeTrainable(norm, trained, ledger) }
            if let sinks = layer.sinks, trained.contains(sinks.name) {
                try sinks.makeTrainable(ledger: ledger)
            }
            for vector in layer.vectors where trained.contains(vector.name) {
                try vector.makeTrainable(ledger: ledger)
            }
        }
        let ledger = devices[headDevice].ledger
        try makeTrainable(finalNorm, trained, ledger)
        if !description.tiedEmbeddings { try makeTrainable(head, trained, ledger) }
    }

    private func makeTrainable(
        _ norm: Norm, _ trained: TrainedWeights, _ ledger: MemoryLedger
    ) throws(TensorError) {
        try norm.makeTrainable(
            weight: trained.contains(norm.name + ".weight"),
            bias: trained.contains(norm.name + ".bias"), ledger: ledger)
    }

    private func makeTrainable(
        _ linear: Linear, _ trained: TrainedWeights, _ ledger: MemoryLedger
    ) throws(TensorError) {
        let weight = trained.contains(linear.name + ".weight")
        let bias = trained.contains(linear.name + ".bias")
        guard weight || bias else { return }
        guard streams.allSatisfy({ $0 == nil }) || linear === head else {
            throw TensorError(
                .outOfBudget,
                "streamed layers are read-only and cannot be trained themselves; train an adapter, or raise "
                    + "--memory until all layers fit")
        }
        try linear.makeTrainable(weight: weight, bias: bias, ledger: ledger)
    }

    /// Trains the rows of some tokens in embedding and head. A tied head is trained with the embedding.
    /// - Throws: `TensorError` when they do not fit the ledger.
    package func makeTrainable(_ rows: TrainedTokenIDs) throws(TensorError) {
        if !rows.embedding.isEmpty {
            let trained = try TokenRows(
                name: SavedEnds.rowsName(description.embeddingName), tokens: rows.embedding,
                of: embedding, devices[embeddingDevice])
            embeddingRows = trained
            if description.tiedEmbeddings { head.trainedRows = trained }
        }
        if !rows.head.isEmpty, !description.tiedEmbeddings {
            head.trainedRows = try TokenRows(
                name: SavedEnds.rowsName(description.headName), tokens: rows.head, of: head.weight,
                devices[headDevice])
        }
    }

    /// The rows that are trained alone, each once.
    package var trainedRows: [TokenRows] {
        let rows = [embeddingRows, head.trainedRows].compactMap { $0 }
        return rows.count == 2 && rows[0] === rows[1] ? [rows[0]] : rows
    }

    /// Brings what follows from trained numbers up to date, after a step or when they were read: rows in embedding and head,
    /// the norms of adapted rows, and rounded copies.
    package func noteChangedParameters() {
        refillFakeQuantizers()
        for linear in linears {
            for adapter in linear.adapters.values { adapter.magnitude?.noteChange() }
        }
        embeddingRows?.store(in: embedding, devices[embeddingDevice])
        if let rows = head.trainedRows, rows !== embeddingRows {
            rows.store(in: head.weight, devices[headDevice])
        }
    }

    /// The parameters of the weights, biases and norms of a layer.
    private func parameters(ofLayer layer: DecoderLayer) -> [Parameter] {
        layer.linears.flatMap { [$0.weightParameter, $0.biasParameter].compactMap { $0 } }
            + layer.norms.flatMap(\.parameters) + [layer.sinks?.parameter].compactMap { $0 }
            + layer.vectors.compactMap(\.parameter)
    }

    /// The layer of each parameter of a weight, bias or norm; none for embedding, head and last norm.
    package var layersOfParameters: [ObjectIdentifier: Int] {
        var all: [ObjectIdentifier: Int] = [:]
        for layer in layers {
            for parameter in parameters(ofLayer: layer) {
                all[ObjectIdentifier(parameter)] = layer.index
            }
        }
        return all
    }

    /// Lets gradients be computed of the weights of some layers alone, beside embedding, head and last norm.
    package func activate(layers active: Set<Int>) {
        for layer in layers {
            for parameter in parameters(ofLayer: layer) {
                parameter.isActive = active.contains(layer.index)
            }
        }
    }

    /// Lets of some weights only some rows be trained, by names of weights; the others keep all rows.
    package func freezeRows(beside trained: [String: [Range<Int>]]) {
        for parameter in parameters {
            guard let ranges = trained[parameter.name] else { continue }
            if let table = positions?.table, parameter === positions?.parameter {
                for row in 0..<table.rows where !ranges.contains(where: { $0.contains(row) }) {
                    parameter.freeze(from: row * table.columns, stride: 1, count: table.columns)
                }
                continue
            }
            let weight = weight(of: parameter)
            let columns = weight?.inputs ?? 1
            // Panels of f32 weights hold 16 rows side by side.
            let panel = (weight?.layout.panelBytes ?? 0) / 4
            for row in 0..<(weight?.outputs ?? parameter.value.floatCount)
            where !ranges.contains(where: { $0.contains(row) }) {
                parameter.freeze(
                    from: weight == nil ? row : row / 16 * panel + row % 16, stride: 16,
                    count: columns)
            }
        }
    }

    /// The matrix whose numbers a parameter holds; nil for a norm or bias.
    private func weight(of parameter: Parameter) -> PackedWeight? {
        if parameter === embeddingParameter { return embedding }
        return (linears + [head]).first { $0.weightParameter === parameter }?.weight
    }

    private func adapterParameters(_ linear: Linear) -> [Parameter] {
        linear.adapters.keys.sorted().flatMap { linear.adapters[$0]?.trained ?? [] }
    }

    private var embeddingAdapterParameters: [Parameter] {
        embeddingAdapters.keys.sorted().flatMap { embeddingAdapters[$0]?.trained ?? [] }
    }

    /// Whether something besides adapters is trained.
    package var trainsBase: Bool {
        let adapters =
            placedLinears.flatMap { adapterParameters($0.linear) } + embeddingAdapterParameters
        return parameters.count > adapters.count
    }

    /// How far backward passes go.
    package var trainingScratch: DecoderScratch.Training {
        if linears.contains(where: { $0.weightParameter != nil }) { return .full }
        return head.weightParameter != nil ? .adaptersAndHead : .adapters
    }

    /// All trainable parameters, each once, in the order of the model.
    package var parameters: [Parameter] {
        var parameters: [Parameter] = []
        if let embeddingParameter { parameters.append(embeddingParameter) }
        if let embeddingRows { parameters.append(embeddingRows.parameter) }
        if let positions = positions?.parameter { parameters.append(positions) }
        parameters += embeddingAdapterParameters
        for layer in layers {
            for linear in layer.linears {
                parameters += adapterParameters(linear)
                if let weight = linear.weightParameter { parameters.append(weight) }
                if let bias = linear.biasParameter { parameters.append(bias) }
            }
            parameters += layer.norms.flatMap(\.parameters)
            if let sinks = layer.sinks?.parameter { parameters.append(sinks) }
            parameters += layer.vectors.compactMap(\.parameter)
        }
        parameters += finalNorm.parameters
        parameters += adapterParameters(head)
        if let rows = head.trainedRows, rows !== embeddingRows { parameters.append(rows.parameter) }
        if let weight = head.weightParameter, weight !== embeddingParameter {
            parameters.append(weight)
        }
        if let bias = head.biasParameter { parameters.append(bias) }
        return parameters
    }
}
