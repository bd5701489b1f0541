// SPDX-License-Identifier: Apache-2.0
// The weight of a linear layer in a checkpoint, whatever its form.
import EftFormats
import EftTensor

/// The weight of one linear layer (or an embedding, [V, C]) in a checkpoint, checked and ready to load.
package struct LinearSource: Sendable {
    /// The stored form.
    package let scheme: any QuantScheme

    /// Finds and checks the tensors of a module; reads tables, no weights.
    /// - Parameters:
    ///   - module: the prefix of the tensors, without `.weight`.
    ///   - inputs: K, as the model expects it.
    ///   - outputs: N, as the model expects it.
    /// - Throws: `FormatError` that names the tensor.
    package init(
        module: String, checkpoint: any CheckpointReader, inputs: Int, outputs: Int
    ) throws {
        scheme = try QuantRegistry.open(
            LinearModule(module, checkpoint: checkpoint, inputs: inputs, outputs: outputs))
    }

    /// The name of the stored form, such as "dense" or "EXL2".
    package var schemeName: String { type(of: scheme).name }

    /// What the stored form is called in reports: the type of numbers or blocks, or the form's name.
    package var formName: String {
        if let blocks = scheme as? GGUFScheme { return blocks.typeName }
        if let codes = scheme as? NF4Scheme { return codes.formName }
        return scheme is DenseScheme
            ? scheme.storedTensors.first?.dtype.rawValue ?? "" : schemeName
    }

    /// Whether the weight can be held in any form: plain numbers, and blocks and FP8 that are read as such.
    package var isDense: Bool {
        scheme is DenseScheme || scheme is GGUFScheme || scheme is FP8Scheme
    }

    /// Bytes in the checkpoint.
    package var storedBytes: Int { scheme.storedBytes }

    /// The large tensors that `load` reads once, each from its first byte to its last, in this order.
    package var tensorsInOrder: [TensorInfo] { scheme.tensorsInOrder }

    /// Size and shape in memory, without reading weights.
    /// - Throws: `FormatError` (`unsupported`) when the target cannot be made from this form.
    package func layout(as target: WeightTarget) throws -> WeightLayout {
        try scheme.layout(as: target)
    }

    /// The most temporary bytes that `load` holds at a time, under `.workspace`.
    /// - Throws: as `layout`.
    package func loadScratchBytes(as target: WeightTarget) throws -> Int {
        try scheme.scratchBytes(as: target)
    }

    /// Reads, checks and packs the weight.
    /// - Throws: `FormatError` for what the file holds, `TensorError` when memory does not suffice.
    package func load(
        as target: WeightTarget, backend: CPUBackend, purpose: MemoryPurpose = .weights
    ) throws -> PackedWeight {
        try scheme.load(as: target, backend: backend, purpose: purpose)
    }

    /// The values of some outputs exactly as the public format defines them, row by row: [outputs][K].
    /// - Throws: `FormatError`.
    package func dequantize(
        outputs: Range<Int>, into target: UnsafeMutableBufferPointer<Float>
    ) throws {
        try scheme.dequantize(outputs: outputs, into: target)
    }
}
