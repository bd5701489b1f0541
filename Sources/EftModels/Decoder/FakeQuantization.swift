// SPDX-License-Identifier: Apache-2.0
// Which numbers of a decoder are rounded while it is trained.
import EftNN
import EftTensor

/// How all linear layers of a decoder, the head among them, compute in quantization-aware training.
package struct FakeQuantization: Sendable, Hashable {
    /// Inputs that share the ends of a weight's range; a row with fewer is one group.
    package var groupSize: Int
    /// Whether inputs of linear layers are rounded to 8 bits.
    package var roundsInputs: Bool
    /// Whether rows of the embedding are rounded as weights are.
    package var roundsEmbedding: Bool

    /// States it.
    package init(groupSize: Int, roundsInputs: Bool, roundsEmbedding: Bool) {
        self.groupSize = groupSize
        self.roundsInputs = roundsInputs
        self.roundsEmbedding = roundsEmbedding
    }

    /// Inputs of a group of a weight.
    func group(inputs: Int) -> Int { min(groupSize, inputs) }

    /// - Throws: `ModelError` (`unsupported`) for a model with experts, or with a layer whose inputs make no whole groups.
    package func check(_ description: DecoderDescription) throws(ModelError) {
        guard description.shape.mixture == nil else {
            throw ModelError(
                .unsupported,
                "qat does not train mixtures of experts, whose experts torchao leaves out"
            )
        }
        var inputs = [(description.headName, description.shape.hidden)]
        inputs += description.distinctLinears.map { ($0.name, $0.inputs) }
        for (name, count) in inputs where !count.isMultiple(of: group(inputs: count)) {
            throw ModelError(
                .unsupported,
                "qat.group_size \(groupSize) does not divide the \(count) inputs of \(name); choose one that does"
            )
        }
    }

    /// The most inputs of a layer whose inputs are rounded.
    package func widestInput(_ description: DecoderDescription) -> Int {
        guard roundsInputs else { return 0 }
        return description.distinctLinears.reduce(description.shape.hidden) {
            max($0, $1.inputs)
        }
    }

    /// Bytes of the rounded copies of a part's weights.
    func byteCount(_ layouts: DecoderLayouts, _ part: DecoderPart) -> Int {
        let linears = layouts.linears(of: part.layers).reduce(0) { $0 + $1.byteCount }
        let embedding =
            roundsEmbedding && !layouts.isTied && part.holdsEmbedding
            ? layouts.embedding.byteCount : 0
        return linears + embedding + (part.holdsHead ? layouts.head.byteCount : 0)
    }
}

extension Decoder {
    /// Takes memory for rounded copies of all weights of linear layers, which are not in use yet.
    /// - Throws: `TensorError` when they do not fit a ledger.
    package func makeFakeQuantized(_ settings: FakeQuantization) throws(TensorError) {
        func quantizer(_ weight: PackedWeight, _ device: Int) throws(TensorError) -> FakeQuantizer {
            try FakeQuantizer(
                weight, group: settings.group(inputs: weight.inputs),
                roundsInputs: settings.roundsInputs, devices[device])
        }
        for layer in layers {
            for linear in layer.linears {
                linear.fakeQuantizer = try quantizer(linear.weight, device(ofLayer: layer.index))
            }
        }
        head.fakeQuantizer = try quantizer(head.weight, headDevice)
        guard settings.roundsEmbedding else { return }
        embeddingQuantizer =
            description.tiedEmbeddings
            ? head.fakeQuantizer : try quantizer(embedding, embeddingDevice)
    }

    /// Each quantizer once, with the gradient of its weight.
    private var fakeQuantizers: [(quantizer: FakeQuantizer, parameter: Parameter?)] {
        var all = (linears + [head]).compactMap { linear in
            linear.fakeQuantizer.map { (quantizer: $0, parameter: linear.weightParameter) }
        }
        if let embeddingQuantizer, embeddingQuantizer !== head.fakeQuantizer {
            all.append((embeddingQuantizer, embeddingParameter))
        }
        return all
    }

    /// Whether rounded numbers are in use.
    package var isFakeQuantized: Bool { head.fakeQuantizer?.isOn ?? false }

    /// Takes rounded numbers in or out of use.
    package func turnFakeQuantization(on isOn: Bool) {
        guard isOn != isFakeQuantized else { return }
        for (quantizer, _) in fakeQuantizers { quantizer.turn(on: isOn) }
    }

    /// Brings rounded copies up to date.
    func refillFakeQuantizers() {
        for (quantizer, _) in fakeQuantizers { quantizer.refill() }
    }

    /// Keeps what a tied head's rounding does to its gradient from that of the embedding, whose rows are not rounded.
    func excuseEmbedding(_ gradient: Matrix, tokens: [Int32]) {
        guard description.tiedEmbeddings, embeddingQuantizer == nil else { return }
        head.fakeQuantizer?.excuse(gradient, rows: tokens)
    }

    /// Turns gradients of what is computed with into those of what is trained, once those of a step are added up.
    package func finishGradients() {
        for (quantizer, parameter) in fakeQuantizers {
            if let parameter { quantizer.finish(parameter.gradient) }
        }
    }
}
