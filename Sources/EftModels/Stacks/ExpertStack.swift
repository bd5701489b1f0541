// SPDX-License-Identifier: Apache-2.0
// How a checkpoint holds the matrices of a layer's experts in one tensor each.
import EftFormats

/// The tensors that hold what is one of each expert, one behind the other.
package struct ExpertStack: Sendable, Hashable {
    /// The tensor of one product of all experts.
    package struct Tensor: Sendable, Hashable {
        /// Its name below the layer's path.
        package var weight: String
        /// The name of the biases; nil where there are none.
        package var bias: String?

        /// Names tensors.
        package init(weight: String, bias: String? = nil) {
            self.weight = weight
            self.bias = bias
        }
    }

    /// Both factors of the MLP, whether one product makes them or one each.
    package var gateUp: Tensor
    /// The last product.
    package var down: Tensor
    /// What transformers calls the module that holds the parameters, below the layer's path.
    package var module = ExpertStack.usualModule
    /// Whether a matrix is [inputs][outputs].
    package var isTransposed = false
    /// Whether Eft reads and makes adapters of the parameters themselves. PEFT 0.19 takes matrices that are [inputs][outputs]
    /// for [outputs][inputs], but for gpt-oss's.
    package var takesAdapters = true
    /// Whether outputs of both factors alternate, and do not follow each other.
    package var alternates = false

    /// The module's name in most families, also where a checkpoint has a tensor for each matrix.
    static let usualModule = "mlp.experts"

    /// The products of an expert: linear layers whose matrices stand in one tensor together, where each family has some of them.
    static let products: [[DecoderDescription.Role]] = [[.gateUp], [.gate, .up], [.down]]

    /// States a stack whose matrices are [outputs][inputs].
    package init(gateUp: Tensor, down: Tensor) {
        self.gateUp = gateUp
        self.down = down
    }

    /// The tensor that holds a linear layer; nil for those that stand alone.
    func tensor(_ linear: DecoderDescription.LinearShape) -> Tensor? {
        switch (linear.expert, linear.role) {
        case (.some, .gateUp), (.some, .gate), (.some, .up): gateUp
        case (.some, .down): down
        default: nil
        }
    }

    /// How many matrices of an expert as large as a linear layer's stand in its tensor, and which of them it is.
    package func part(_ linear: DecoderDescription.LinearShape) -> (count: Int, index: Int) {
        switch linear.role {
        case .gate: (2, 0)
        case .up: (2, 1)
        default: (1, 0)
        }
    }

    /// Where the checkpoint has an output of a linear layer.
    package func place(ofOutput output: Int, _ linear: DecoderDescription.LinearShape) -> Int {
        guard alternates, linear.role == .gateUp else { return output }
        let half = linear.outputs / 2
        return output < half ? 2 * output : 2 * (output - half) + 1
    }
}

extension DecoderDescription {
    /// Takes the stack that some checkpoints have where this one has it.
    package mutating func findStack(in checkpoint: any CheckpointReader) {
        guard let stack = possibleStack else { return }
        let sparse = (0..<layers).first { shape(layer: $0).mixture != nil } ?? 0
        if checkpoint.find(layerName(sparse) + "." + stack.gateUp.weight) != nil {
            self.stack = stack
        }
    }

    /// The tensor that holds an expert's linear layer with those of the others; nil for layers that stand alone.
    package func stackTensor(_ linear: LinearShape, layer: Int) -> ExpertStack.Tensor? {
        guard let tensor = stack?.tensor(linear) else { return nil }
        let path = layerName(layer) + "."
        return ExpertStack.Tensor(
            weight: path + tensor.weight, bias: linear.hasBias ? tensor.bias.map { path + $0 } : nil
        )
    }

    /// Whether a linear layer's weight is a part of a tensor that holds those of all experts.
    package func isStacked(_ linear: LinearShape) -> Bool { stack?.tensor(linear) != nil }
}
