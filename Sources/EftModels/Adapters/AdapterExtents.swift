// SPDX-License-Identifier: Apache-2.0
// What adapters take, layer by layer.
import EftNN
import EftTensor

/// Highest rank and bytes of adapters, by the decoder layer that they act on.
package struct AdapterExtents: Sendable, Hashable {
    /// The widest of the adapters.
    package var widths = AdapterWidths()
    /// The highest rank; 0 without adapters.
    package var rank: Int { widths.rank }
    /// Bytes of A, B and lengths in f32 of each decoder layer.
    package var layers: [Int]
    /// The shapes of A, B and lengths of each decoder layer.
    package var shapes: [[ParameterShape]]
    /// Bytes of A and B of the head.
    package var head = 0
    /// Bytes of A and B of the embedding, and their shapes as far as they are fresh.
    private var embedding = 0
    private var embeddingShapes: [ParameterShape] = []
    /// The shapes of A and B of the head, as far as they are fresh.
    private var headShapes: [ParameterShape] = []
    /// The shapes of rows of tokens that are trained alone.
    private var embeddingRows: [ParameterShape] = []
    private var headRows: [ParameterShape] = []

    /// No adapter on a decoder of so many layers.
    package init(layers: Int) {
        self.layers = Array(repeating: 0, count: layers)
        shapes = Array(repeating: [], count: layers)
    }

    /// Adds the adapter of a linear layer.
    /// - Parameter sharesA: whether A is another adapter's.
    package mutating func add(
        layer: Int, inputs: Int, outputs: Int, rank: Int, hasMagnitude: Bool = false,
        sharesA: Bool = false
    ) {
        widths = widths | AdapterWidths(rank: rank, scaledOutputs: hasMagnitude ? outputs : 0)
        layers[layer] += LoRA.byteCount(
            inputs: inputs, outputs: outputs, rank: rank, hasMagnitude: hasMagnitude,
            sharesA: sharesA)
        if !sharesA { shapes[layer].append(.matrix(rows: rank, columns: inputs)) }
        shapes[layer].append(.matrix(rows: outputs, columns: rank))
        if hasMagnitude { shapes[layer].append(.vector(outputs)) }
    }

    /// Adds an adapter that is not trained, beside one that is.
    package mutating func addFrozen(layer: Int?, inputs: Int, outputs: Int, rank: Int) {
        guard rank > 0 else { return }
        widths = widths | AdapterWidths(rank: rank)
        let bytes = LoRA.byteCount(inputs: inputs, outputs: outputs, rank: rank)
        if let layer { layers[layer] += bytes } else { head += bytes }
    }

    /// Adds lengths of a linear layer's rows; those of no layer count for the head, and loading refuses them.
    mutating func addMagnitude(layer: Int?, outputs: Int) {
        widths = widths | AdapterWidths(scaledOutputs: outputs)
        if let layer {
            layers[layer] += Magnitude.byteCount(outputs: outputs)
        } else {
            head += Magnitude.byteCount(outputs: outputs)
        }
    }

    /// Notes a linear layer whose adapter uses dropout.
    package mutating func noteDropout(inputs: Int) {
        widths = widths | AdapterWidths(changedInputs: inputs)
    }

    /// Notes the most inputs of a linear layer that are rounded.
    package mutating func noteRounding(inputs: Int) {
        widths = widths | AdapterWidths(changedInputs: inputs)
    }

    /// Adds the adapter of the head.
    package mutating func addHead(inputs: Int, outputs: Int, rank: Int) {
        widths = widths | AdapterWidths(rank: rank)
        head += LoRA.byteCount(inputs: inputs, outputs: outputs, rank: rank)
        headShapes += [
            .matrix(rows: rank, columns: inputs).ofVocabulary,
            .matrix(rows: outputs, columns: rank).ofVocabulary,
        ]
    }

    /// Adds the adapter of the embedding.
    package mutating func addEmbedding(vocabulary: Int, hidden: Int, rank: Int) {
        addEmbedding(bytes: LoRA.byteCount(inputs: vocabulary, outputs: hidden, rank: rank))
        widths = widths | AdapterWidths(rank: rank)
        embeddingShapes += [
            .matrix(rows: rank, columns: vocabulary).ofVocabulary,
            .matrix(rows: hidden, columns: rank).ofVocabulary,
        ]
    }

    /// Adds A or B of the embedding.
    mutating func addEmbedding(bytes: Int) { embedding += bytes }

    /// Adds rows of tokens that are trained.
    package mutating func add(_ tokens: TrainedTokenIDs, _ description: DecoderDescription) {
        func shapes(_ ids: [Int32]) -> [ParameterShape] {
            ids.isEmpty
                ? []
                : [.matrix(rows: ids.count, columns: description.shape.hidden).ofVocabulary]
        }
        embeddingRows += shapes(tokens.embedding)
        if !description.tiedEmbeddings { headRows += shapes(tokens.head) }
    }

    private static func rowBytes(_ shapes: [ParameterShape]) -> Int {
        shapes.reduce(0) { $0 + TokenRows.byteCount(tokens: $1.rows, width: $1.columns) }
    }

    /// Fresh adapters of one rank on all linear layers inside the decoder layers.
    package init(_ description: DecoderDescription, rank: Int, usesDropout: Bool = false) {
        self.init(layers: description.layers)
        guard rank > 0 else { return }
        for layer in 0..<description.layers {
            for linear in description.linears(layer: layer) {
                add(layer: layer, inputs: linear.inputs, outputs: linear.outputs, rank: rank)
                if usesDropout { noteDropout(inputs: linear.inputs) }
            }
        }
    }

    /// Bytes of the adapters of a part.
    package func byteCount(_ part: DecoderPart) -> Int {
        guard !part.isEmpty else { return 0 }
        return layers[part.layers].reduce(0, +)
            + (part.holdsHead ? head + Self.rowBytes(headRows) : 0)
            + (part.holdsEmbedding ? embedding + Self.rowBytes(embeddingRows) : 0)
    }

    /// The shapes of what is trained of them.
    package var trainedShapes: TrainedShapes {
        TrainedShapes(
            layers: shapes, embedding: embeddingRows + embeddingShapes, head: headShapes + headRows)
    }

    /// All bytes.
    package var byteCount: Int {
        layers.reduce(0, +) + head + embedding + Self.rowBytes(headRows)
            + Self.rowBytes(embeddingRows)
    }

    /// Both adapters at once.
    package static func + (a: AdapterExtents, b: AdapterExtents) -> AdapterExtents {
        var sum = a
        sum.widths = a.widths | b.widths
        sum.layers = zip(a.layers, b.layers).map(+)
        sum.shapes = zip(a.shapes, b.shapes).map(+)
        sum.head += b.head
        sum.headShapes += b.headShapes
        sum.embedding += b.embedding
        sum.embeddingShapes += b.embeddingShapes
        sum.embeddingRows += b.embeddingRows
        sum.headRows += b.headRows
        return sum
    }
}
