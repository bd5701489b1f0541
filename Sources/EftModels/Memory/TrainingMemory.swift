// SPDX-License-Identifier: Apache-2.0
// What a training run holds for what is trained, stated before it is taken.
import EftFormats
import EftNN
import EftTensor

/// The shapes of what is trained, by where it stands.
package struct TrainedShapes: Sendable, Hashable {
    /// Of each decoder layer.
    package var layers: [[ParameterShape]]
    /// Of the embedding.
    package var embedding: [ParameterShape]
    /// Of the last norm and the head.
    package var head: [ParameterShape]

    /// States shapes.
    package init(
        layers: [[ParameterShape]], embedding: [ParameterShape] = [], head: [ParameterShape] = []
    ) {
        self.layers = layers
        self.embedding = embedding
        self.head = head
    }

    /// Both together, of a decoder of as many layers.
    package static func + (a: TrainedShapes, b: TrainedShapes) -> TrainedShapes {
        TrainedShapes(
            layers: zip(a.layers, b.layers).map(+), embedding: a.embedding + b.embedding,
            head: a.head + b.head)
    }

    /// All of them.
    package var all: [ParameterShape] { embedding + layers.flatMap(\.self) + head }
}

extension DecoderLayouts {
    /// The shape of a head that is no embedding.
    func headShape(_ description: DecoderDescription) -> ParameterShape {
        description.scores == nil ? head.trainedShape.ofVocabulary : head.trainedShape
    }
}

/// What an optimizer holds for the tensors that it trains: stated by the optimizer, asked by the planner.
package struct OptimizerNeed: Sendable {
    /// Bytes of the state of a tensor.
    package var stateBytes: @Sendable (ParameterShape) -> Int
    /// Bytes that the step of a tensor takes for a while.
    package var scratchBytes: @Sendable (ParameterShape) -> Int
    /// Scratch memory of the device that the products of a step take.
    package var productBytes: @Sendable (ParameterShape, any Backend) -> Int
    /// Bytes that the linear-algebra library takes in the step of a tensor.
    package var libraryBytes: @Sendable (ParameterShape, any Backend) -> Int
    /// Whether a weight is one for which it does what it does not for all (`ParameterShape.isTarget`); none when nil.
    package var isTarget: (@Sendable (_ name: String) -> Bool)?
    /// Whether the state stands in a file.
    package var isPaged: Bool

    /// States a need.
    package init(
        isPaged: Bool = false,
        stateBytes: @escaping @Sendable (ParameterShape) -> Int,
        scratchBytes: @escaping @Sendable (ParameterShape) -> Int = { _ in 0 },
        productBytes: @escaping @Sendable (ParameterShape, any Backend) -> Int = { _, _ in 0 },
        libraryBytes: @escaping @Sendable (ParameterShape, any Backend) -> Int = { _, _ in 0 }
    ) {
        self.isPaged = isPaged
        self.stateBytes = stateBytes
        self.scratchBytes = scratchBytes
        self.productBytes = productBytes
        self.libraryBytes = libraryBytes
    }

    /// AdamW with two moments in f32.
    package static let adamW = OptimizerNeed { 8 * $0.storedCount }

    /// Bytes of the state of all tensors, wherever it stands.
    package func totalStateBytes(_ shapes: TrainedShapes) -> Int {
        shapes.all.reduce(0) { $0 + stateBytes($1) }
    }
}

/// Bytes of gradients and of an optimizer, for tensors of one device.
package struct TrainedBytes: Sendable, Hashable {
    /// Gradients.
    package var gradients = 0
    /// The state of all tensors.
    package var state = 0
    /// The largest state, in whole blocks of the disk.
    package var largestState = 0
    /// The most that a step takes for a while.
    package var scratch = 0
    /// The most that the linear-algebra library takes in a step.
    package var library = 0
    /// The most scratch memory of the device that the products of a step take.
    package var products = 0

    /// No tensors.
    package init() {}

    /// Of some tensors.
    package init(_ shapes: [ParameterShape], _ optimizer: OptimizerNeed, _ backend: any Backend) {
        for shape in shapes {
            let bytes = optimizer.stateBytes(shape)
            gradients += shape.storedCount * 4
            state += bytes
            largestState = max(largestState, roundUp(bytes, to: SpillFile.alignment))
            scratch = max(scratch, optimizer.scratchBytes(shape))
            library = max(library, optimizer.libraryBytes(shape, backend))
            products = max(products, optimizer.productBytes(shape, backend))
        }
    }

    /// Adds tensors of the same device.
    package static func += (a: inout TrainedBytes, b: TrainedBytes) {
        a.gradients += b.gradients
        a.state += b.state
        a.largestState = max(a.largestState, b.largestState)
        a.scratch = max(a.scratch, b.scratch)
        a.library = max(a.library, b.library)
        a.products = max(a.products, b.products)
    }

    /// What stands in memory from the first step on. Paged state is brought there a tensor at a time.
    package func table(isPaged: Bool) -> MemoryTable {
        MemoryTable([
            .gradients: gradients, .optimizer: (isPaged ? largestState : state) + scratch + library,
        ])
    }
}

/// The memory of a training run for what is trained, on any part of its layers.
package struct TrainingMemory: Sendable {
    private var layers: [TrainedBytes] = []
    private let embedding: TrainedBytes
    private let head: TrainedBytes

    /// Asks an optimizer.
    package init(_ shapes: TrainedShapes, _ optimizer: OptimizerNeed, on backend: any Backend) {
        func bytes(_ shapes: [ParameterShape]) -> TrainedBytes {
            TrainedBytes(shapes, optimizer, backend)
        }
        for (index, layer) in shapes.layers.enumerated() {
            // Layers are alike, as a rule.
            let isSame = index > 0 && layer == shapes.layers[index - 1]
            layers.append(isSame ? layers[index - 1] : bytes(layer))
        }
        embedding = bytes(shapes.embedding)
        head = bytes(shapes.head)
    }

    /// Bytes of a part.
    package func bytes(_ part: DecoderPart) -> TrainedBytes {
        var sum = TrainedBytes()
        for layer in layers[part.layers] { sum += layer }
        if part.holdsEmbedding { sum += embedding }
        if part.holdsHead { sum += head }
        return sum
    }
}
