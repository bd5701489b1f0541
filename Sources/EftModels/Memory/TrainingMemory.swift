// SPDX-License-Identifier: Apache-2.0
// What a training run holds besides weights, stated before it is taken.
import EftFormats
import EftNN
import EftTensor

/// What an optimizer holds for the tensors that it trains: stated by the optimizer, asked by the planner.
package struct OptimizerNeed: Sendable {
    /// Bytes of the state of a tensor.
    package var stateBytes: @Sendable (ParameterShape) -> Int
    /// Bytes that the step of a tensor takes for a while.
    package var scratchBytes: @Sendable (ParameterShape) -> Int
    /// Scratch memory of the device that the products of a step take.
    package var productBytes: @Sendable (ParameterShape, any Backend) -> Int
    /// Whether the state stands in a file.
    package var isPaged: Bool

    /// States a need.
    package init(
        isPaged: Bool = false,
        stateBytes: @escaping @Sendable (ParameterShape) -> Int,
        scratchBytes: @escaping @Sendable (ParameterShape) -> Int = { _ in 0 },
        productBytes: @escaping @Sendable (ParameterShape, any Backend) -> Int = { _, _ in 0 }
    ) {
        self.isPaged = isPaged
        self.stateBytes = stateBytes
        self.scratchBytes = scratchBytes
        self.productBytes = productBytes
    }

    /// AdamW with two moments in f32.
    package static let adamW = OptimizerNeed { 8 * $0.storedCount }

    /// Bytes in memory for all tensors of a device. Paged state is brought there a tensor at a time, in whole blocks of the
    /// disk.
    package func byteCount(_ shapes: [ParameterShape]) -> Int {
        let state =
            isPaged
            ? roundUp(shapes.map(stateBytes).max() ?? 0, to: SpillFile.alignment)
            : shapes.reduce(0) { $0 + stateBytes($1) }
        return state + (shapes.map(scratchBytes).max() ?? 0)
    }

    /// Bytes of the state of all tensors, wherever it stands.
    package func totalStateBytes(_ shapes: [ParameterShape]) -> Int {
        shapes.reduce(0) { $0 + stateBytes($1) }
    }

    /// Scratch memory of a device that the products of a step take.
    package func productBytes(_ shapes: [ParameterShape], on backend: any Backend) -> Int {
        Set(shapes).map { productBytes($0, backend) }.max() ?? 0
    }
}

/// The memory of a training run besides weights and adapters.
package struct TrainingMemory: Sendable, Hashable {
    /// Gradients of trained tensors, and the optimizer's state.
    package static func trainable(
        _ shapes: [ParameterShape], optimizer: OptimizerNeed = .adamW
    ) -> MemoryTable {
        MemoryTable([
            .gradients: shapes.reduce(0) { $0 + $1.storedCount * 4 },
            .optimizer: optimizer.byteCount(shapes),
        ])
    }
}

extension DecoderLayouts {
    /// The shapes of everything that is trained when a part is trained itself.
    package func trainedShapes(
        _ part: DecoderPart, _ description: DecoderDescription
    ) -> [ParameterShape] {
        var shapes: [ParameterShape] = []
        if part.holdsEmbedding { shapes.append(embedding.trainedShape.ofVocabulary) }
        shapes += linears(of: part.layers).map(\.trainedShape)
        for layer in part.layers {
            let biased = description.linears(layer: layer).filter(\.hasBias)
            shapes += biased.map { .vector($0.outputs) }
            shapes += description.norms(layer: layer).map { .vector($0.count) }
        }
        if part.holdsHead {
            shapes.append(.vector(description.finalNorm.count))
            if !isTied { shapes.append(head.trainedShape.ofVocabulary) }
        }
        return shapes
    }
}
