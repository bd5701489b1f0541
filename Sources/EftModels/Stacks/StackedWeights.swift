// SPDX-License-Identifier: Apache-2.0
// The weights of a layer's experts as one tensor of a checkpoint holds them.
import EftNN
import EftTensor

/// One product of all experts of a layer, on its way into one tensor.
struct StackedWeights {
    /// Where they go.
    let tensor: ExpertStack.Tensor
    /// Those of each expert, in order.
    let linears: [Linear]
    /// Matrices of one expert.
    private let count: Int
    private let shape: DecoderDescription.LinearShape
    private let stack: ExpertStack

    /// Those of a layer; none where each matrix is a tensor.
    static func all(
        of layer: DecoderLayer, _ description: DecoderDescription
    ) -> [StackedWeights] {
        guard let stack = description.stack else { return [] }
        let shapes = description.linears(layer: layer.index).filter(description.isStacked)
        let linears = Dictionary(
            layer.linears.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        return ExpertStack.products.compactMap { roles in
            let own = shapes.filter { roles.contains($0.role) }
            guard let first = own.first,
                let tensor = description.stackTensor(first, layer: layer.index)
            else { return nil }
            return StackedWeights(
                tensor: tensor, linears: own.compactMap { linears[$0.name] }, count: roles.count,
                shape: first, stack: stack)
        }
    }

    /// The extents of the weights' tensor.
    var weightShape: Shape {
        stack.isTransposed
            ? Shape(linears.count / count, shape.inputs, count * shape.outputs)
            : Shape(linears.count / count, count * shape.outputs, shape.inputs)
    }

    /// The extents of the biases' tensor.
    var biasShape: Shape { Shape(linears.count, shape.outputs) }

    /// Matrices of one expert with all their outputs, as the tensor has them.
    struct Expert {
        /// Inputs, and outputs of all matrices.
        let inputs: Int
        let outputs: Int
        fileprivate let weights: [PackedWeight]
        /// The output of a matrix that stands at each place.
        fileprivate let order: [Int32]

        /// Copies the weights of some outputs, by their places in the tensor.
        func gather(_ places: Range<Int>, into rows: Matrix, _ backend: CPUBackend) {
            var place = places.lowerBound
            while place < places.upperBound {
                let (part, first) = place.quotientAndRemainder(dividingBy: order.count)
                let end = min(places.upperBound, (part + 1) * order.count)
                let start = place - places.lowerBound
                backend.gather(
                    weights[part], rows: Array(order[first..<first + end - place]),
                    into: rows.rows(start..<start + end - place))
                place = end
            }
        }
    }

    /// Whether an expert's matrices are written input by input.
    var isTransposed: Bool { stack.isTransposed }

    /// The matrices of each expert.
    var byExpert: [Expert] {
        var order = [Int32](repeating: 0, count: shape.outputs)
        for output in 0..<shape.outputs {
            order[stack.place(ofOutput: output, shape)] = Int32(output)
        }
        return stride(from: 0, to: linears.count, by: count).map { first in
            Expert(
                inputs: shape.inputs, outputs: count * shape.outputs,
                weights: linears[first..<first + count].map(\.weight), order: order)
        }
    }

    /// The bias of an expert in the tensor's order.
    func bias(_ expert: Int) -> [Float] {
        var numbers = [Float](repeating: 0, count: shape.outputs)
        guard let bias = linears[expert].bias else { return numbers }
        for output in 0..<shape.outputs {
            numbers[stack.place(ofOutput: output, shape)] = bias.floats[output]
        }
        return numbers
    }
}
