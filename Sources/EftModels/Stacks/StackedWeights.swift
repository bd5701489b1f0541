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
            ? Shape(linears.count, shape.inputs, shape.outputs)
            : Shape(linears.count / count, count * shape.outputs, shape.inputs)
    }

    /// The extents of the biases' tensor.
    var biasShape: Shape { Shape(linears.count, shape.outputs) }

    /// The matrix of an expert in the tensor's order.
    /// - Throws: `TensorError` when it does not fit the ledger.
    func matrix(_ expert: Int, _ backend: CPUBackend) throws -> Matrix {
        let (rows, columns) = (shape.outputs, shape.inputs)
        let plain = try Matrix(
            rows: rows, columns: columns, ledger: backend.ledger, purpose: .workspace)
        let order = (0..<rows).map { stack.place(ofOutput: $0, shape) }
        backend.gather(linears[expert].weight, rows: (0..<rows).map(Int32.init), into: plain)
        let stored = try Matrix(
            rows: rows, columns: columns, ledger: backend.ledger, purpose: .workspace)
        for (row, place) in order.enumerated() {
            let source = plain.pointer + row * columns
            guard stack.isTransposed else {
                (stored.pointer + place * columns).update(from: source, count: columns)
                continue
            }
            for column in 0..<columns { stored.pointer[column * rows + place] = source[column] }
        }
        return stored
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
