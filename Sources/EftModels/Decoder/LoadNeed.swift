// SPDX-License-Identifier: Apache-2.0
// What loading takes while it goes on: the weights so far, and what the current tensor needs beside itself.
import EftQuant
import EftTensor

/// The steps of loading a decoder, in the order of `DecoderLoader.load`, so that its peak is known beforehand.
package struct LoadNeed: Sendable, Hashable {
    /// A matrix: bytes that stay, and bytes that it takes besides while it is loaded.
    package struct Step: Sendable, Hashable {
        /// Bytes of the weight.
        package var held = 0
        /// Temporary bytes.
        package var scratch = 0
        /// Bytes in files that are read ahead.
        package var ahead = 0
        /// Whether it is a part of an expert.
        package var isExpert = false
    }

    /// The embedding.
    package var embedding = Step()
    /// The linear layers of each decoder layer.
    package var layers: [[Step]] = []
    /// The head; nothing when it is the embedding.
    package var head = Step()
    /// Bytes of learned positions.
    package var positionBytes = 0
    /// Bytes of the norms and biases of a layer.
    package var layerVectorBytes = 0
    /// Bytes of the last norm.
    package var finalNormBytes = 0
    /// Bytes of the program, counted in its share on the first device, that come only after loading: code of the work itself and
    /// what it keeps beside each weight.
    package var laterProgramBytes = 0

    /// Nothing that is loaded takes more than what it leaves.
    package init() {}

    /// Most bytes on a device while its weights are loaded, less what of the program's share is not there yet; 0 when nothing was
    /// stated.
    package func peak(_ placement: DevicePlacement) -> Int {
        var (held, peak, ahead) = (0, 0, 0)
        func load(_ step: Step) {
            held += step.held
            peak = max(peak, held + step.scratch)
            ahead += step.ahead
        }
        let (part, streamed) = (placement.part, Set(placement.streamed))
        if part.holdsEmbedding {
            load(embedding)
            held += positionBytes
        }
        for layer in part.layers where layer < layers.count {
            // A layer's norms come before its weights.
            held += layerVectorBytes
            let isStreamed = streamed.contains(layer)
            for step in layers[layer]
            where !isStreamed || placement.experts != nil && !step.isExpert {
                load(step)
            }
        }
        if part.holdsHead { load(head) }
        return max(peak, held) + ReadAheadCheckpoint.scratchBytes(ahead) - missing(part)
    }

    /// What is not there yet, before a decoder works, of the share of the program, which the first device holds.
    package func missing(_ part: DecoderPart) -> Int {
        part.holdsEmbedding ? laterProgramBytes : 0
    }

    /// Most bytes while layers are written to a panel cache: one weight at a time, and what loading it takes.
    package func fillPeak(_ streamed: [Int]) -> Int {
        let steps = streamed.filter { $0 < layers.count }.flatMap { layers[$0] }
        return steps.reduce(0) { max($0, $1.held + $1.scratch) }
            + ReadAheadCheckpoint.scratchBytes(steps.reduce(0) { $0 + $1.ahead })
    }
}

extension DecoderLoader {
    /// States the steps of loading.
    /// - Throws: errors of reading the tables of the weights.
    package func loadNeed() throws -> LoadNeed {
        var need = LoadNeed()
        need.embedding = try endStep(description.embeddingName)
        for layer in 0..<description.layers {
            need.layers.append(
                try description.linears(layer: layer).map { linear in
                    let source = try source(linear)
                    var step = try step(source, as: target(linear))
                    step.isExpert = linear.expert != nil
                    return step
                })
        }
        if !description.tiedEmbeddings { need.head = try endStep(description.headName) }
        need.positionBytes = description.positionBytes
        need.layerVectorBytes = description.layerVectorBytes
        need.finalNormBytes = description.finalNormBytes
        return need
    }

    private func endStep(_ name: String) throws -> LoadNeed.Step {
        try step(endSource(name), as: endTarget(name))
    }

    private func step(_ source: LinearSource, as target: WeightTarget) throws -> LoadNeed.Step {
        LoadNeed.Step(
            held: try source.layout(as: target).byteCount,
            scratch: try source.loadScratchBytes(as: target),
            ahead: source.tensorsInOrder.reduce(0) {
                $0 + (folder.checkpoint?.place(of: $1.name)?.bytes.count ?? 0)
            })
    }
}
