// SPDX-License-Identifier: Apache-2.0
// The weights of a base model as the tensors that a merged folder holds.
import EftFormats
import EftModels
import EftQuant
import EftTensor

/// The base of a merge: which tensors come out, in the order in which they lie in the files.
package struct BaseWeights {
    /// A tensor that comes out.
    package enum Item {
        /// A tensor that is copied: norms, biases, and whatever else the checkpoint holds.
        case tensor(TensorInfo)
        /// The weight of a linear layer or embedding, in whatever form it is stored.
        case module(Module)
    }

    /// A weight matrix.
    package struct Module {
        /// The prefix of its tensors.
        package let name: String
        /// Whether training in 4 bits holds it in NF4.
        package let isDecoderLinear: Bool
        /// K.
        package let inputs: Int
        /// N.
        package let outputs: Int
        /// The type of its values.
        package let dtype: DType
        /// Whether it is stored in plain numbers.
        package let isDense: Bool
        /// Whether it comes out as [inputs, outputs].
        var isTurned = false

        /// The extents of the tensor that comes out.
        var shape: Shape { isTurned ? Shape(inputs, outputs) : Shape(outputs, inputs) }
    }

    /// The tensors.
    package let items: [Item]
    /// Where they are.
    package let checkpoint: any CheckpointReader
    /// The matrices of each tensor of plain numbers that holds those of all experts, in its order.
    let stacks: [String: [StackedModule]]
    /// The checkpoint with each of these as a tensor of its own.
    let apart: any CheckpointReader

    /// A matrix in a tensor that holds those of all experts.
    struct StackedModule {
        /// The matrix, under the name of its linear layer.
        let module: Module
        /// Where the tensor has each of its outputs; the place among those of all matrices side by side where it is turned.
        let places: [Int]
        /// Whether the matrices that stand side by side are complete with it.
        let isLast: Bool
        /// Outputs of the matrices that stand side by side.
        let columns: Int
    }

    /// Finds and checks all weights of a model; reads no weights.
    /// - Throws: `FormatError`, `ModelError`, `ConversionError`.
    package init(_ folder: ModelFolder) throws {
        guard let shown = folder.checkpoint else {
            throw ConversionError(.usage, "the base folder has no weights", path: folder.path)
        }
        // Tensors that hold all experts come out as they are.
        let checkpoint = (shown as? StackedCheckpoint)?.base ?? shown
        if let opaque = checkpoint.opaqueTensors.first {
            throw ConversionError(
                .unsupported, "element type \(opaque.typeName) cannot be merged",
                path: checkpoint.path, tensor: opaque.name)
        }
        self.checkpoint = checkpoint
        apart = shown
        stacks = BaseWeights.stacks(folder.description, checkpoint)
        var owners: [String: Module] = [:]
        for (name, inputs, outputs, isLinear) in BaseWeights.extents(folder.description) {
            let source = try LinearSource(
                module: name, checkpoint: checkpoint, inputs: inputs, outputs: outputs)
            let type = source.scheme.valueType
            var module = Module(
                name: name, isDecoderLinear: isLinear, inputs: inputs, outputs: outputs,
                dtype: type == .f64 ? .f32 : type, isDense: source.isDense)
            module.isTurned =
                folder.description.storesByInputs && folder.description.isInLayers(name)
            for tensor in source.scheme.storedTensors { owners[tensor.name] = module }
        }
        var items: [Item] = []
        var seen: Set<String> = []
        let empty = try BaseWeights.emptyBiases(folder.description, checkpoint)
        for info in checkpoint.tensors where !empty.contains(info.name) {
            guard let module = owners[info.name] else {
                items.append(.tensor(info))
                continue
            }
            if seen.insert(module.name).inserted { items.append(.module(module)) }
        }
        self.items = items
    }

    private static func stacks(
        _ model: DecoderDescription, _ checkpoint: any CheckpointReader
    ) -> [String: [StackedModule]] {
        guard let stack = model.stack else { return [:] }
        var stacks: [String: [StackedModule]] = [:]
        for layer in 0..<model.layers {
            for linear in model.linears(layer: layer) {
                guard let name = model.stackTensor(linear, layer: layer)?.weight,
                    let info = checkpoint.find(name), info.dtype.isFloatingPoint
                else { continue }
                var module = Module(
                    name: linear.name, isDecoderLinear: true, inputs: linear.inputs,
                    outputs: linear.outputs, dtype: info.dtype, isDense: true)
                module.isTurned = stack.isTransposed
                let part = stack.isTransposed ? stack.part(linear) : (count: 1, index: 0)
                let places = (0..<linear.outputs).map {
                    part.index * linear.outputs + stack.place(ofOutput: $0, linear)
                }
                stacks[name, default: []].append(
                    StackedModule(
                        module: module, places: places, isLast: part.index == part.count - 1,
                        columns: part.count * linear.outputs))
            }
        }
        return stacks
    }

    /// The biases of zeros that AutoGPTQ writes for layers that have none.
    private static func emptyBiases(
        _ model: DecoderDescription, _ checkpoint: any CheckpointReader
    ) throws -> Set<String> {
        guard checkpoint.quantization?.method == .gptq else { return [] }
        let names = (0..<model.layers).flatMap { model.linears(layer: $0) }
            .filter { !$0.hasBias }.map { $0.name + ".bias" }
        return Set(
            try names.filter { name in
                try checkpoint.find(name) != nil
                    && checkpoint.floats(of: name).allSatisfy { $0 == 0 }
            })
    }

    private static func extents(_ model: DecoderDescription) -> [(String, Int, Int, Bool)] {
        let (hidden, vocabulary) = (model.shape.hidden, model.vocabulary)
        var all = (0..<model.layers).flatMap { model.linears(layer: $0) }
            .filter { !model.isStacked($0) }
            .map { ($0.name, $0.inputs, $0.outputs, !$0.role.isRouter) }
        all.append((model.embeddingName, hidden, vocabulary, false))
        if !model.tiedEmbeddings {
            all.append((model.headName, hidden, model.headOutputs, false))
        }
        return all
    }

    /// Opens the weight of a module again.
    package func source(_ module: Module) throws -> LinearSource {
        try LinearSource(
            module: module.name, checkpoint: apart, inputs: module.inputs,
            outputs: module.outputs)
    }
}
