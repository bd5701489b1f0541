// SPDX-License-Identifier: Apache-2.0
// What a stored form of a weight matrix has to offer, and the list of all of them.
import EftFormats
import EftTensor

/// In which form a weight is to be held in memory.
package enum WeightTarget: Sendable, Hashable {
    /// As the checkpoint holds it.
    case asStored
    /// Quantized to NF4 while loading, with or without a second quantization of the scales.
    case nf4(doubleQuantization: Bool)
    /// Quantized to 8 bits while loading, as LLM.int8 holds weights.
    case int8
    /// In f32, for full training.
    case f32
}

/// A stored form of a linear layer's weight: how it is recognized, checked, sized and loaded.
///
/// One file in `Schemes/` each, and one line in `QuantRegistry.all`. A value describes one module of one checkpoint.
package protocol QuantScheme: Sendable {
    /// The scheme's name in messages and reports.
    static var name: String { get }

    /// Whether a checkpoint holds a module in this form; decided by tensor names alone.
    static func holds(_ module: String, in checkpoint: any CheckpointReader) -> Bool

    /// Bytes that the weight takes in the checkpoint.
    var storedBytes: Int { get }

    /// Checks the tensors of a module against the sizes that the model expects; reads tables, no weights.
    /// - Throws: `FormatError` that names the tensor.
    init(_ module: LinearModule) throws

    /// The tensors that make up the weight (a bias is not among them).
    var storedTensors: [TensorInfo] { get }

    /// The large tensors that `load` reads once, each from its first byte to its last, in this order; they can be read
    /// ahead.
    var tensorsInOrder: [TensorInfo] { get }

    /// The type to which the format rounds its values.
    var valueType: DType { get }

    /// Size and shape in memory, without reading weights.
    /// - Throws: `FormatError` (`unsupported`) when the target cannot be made from this form.
    func layout(as target: WeightTarget) throws -> WeightLayout

    /// The most temporary bytes that `load` holds at a time, under `.workspace`.
    /// - Throws: as `layout`.
    func scratchBytes(as target: WeightTarget) throws -> Int

    /// Reads, checks and packs the weight.
    /// - Throws: `FormatError` for what the file holds, `TensorError` when memory does not suffice.
    func load(
        as target: WeightTarget, backend: CPUBackend, purpose: MemoryPurpose
    ) throws -> PackedWeight

    /// The values of some outputs exactly as the public format defines them, row by row: [outputs][K].
    /// - Throws: `FormatError`.
    func dequantize(
        outputs: Range<Int>, into target: UnsafeMutableBufferPointer<Float>
    ) throws
}

extension QuantScheme {
    /// Bytes that the weight takes in the checkpoint.
    package var storedBytes: Int { storedTensors.reduce(0) { $0 + $1.byteCount } }
}

/// All stored forms of weights.
package enum QuantRegistry {
    /// The forms, most specific names first: the bytes of NF4 and 8-bit weights bear the name of a dense weight.
    package static let all: [any QuantScheme.Type] = [
        EXL2Scheme.self, GPTQScheme.self, AWQScheme.self, CompressedScheme.self, HQQScheme.self,
        NF4Scheme.self, Int8Scheme.self, GGUFScheme.self, FP8Scheme.self, DenseScheme.self,
    ]

    /// Opens a module's weight in whatever form the checkpoint holds it.
    /// - Throws: `FormatError`; `missing` when there is none, `unsupported` for forms that are known but not read.
    package static func open(_ module: LinearModule) throws -> any QuantScheme {
        for scheme in all where scheme.holds(module.name, in: module.checkpoint) {
            return try scheme.init(module)
        }
        if module.checkpoint.find(module.name + ".qweight") != nil {
            throw module.error(
                .unsupported, "qweight",
                "holds integers, and neither config.json (quantization_config) nor quantize_config.json says whether they are "
                    + "GPTQ or AWQ; take that file from where the model is from")
        }
        // Says that the tensor is missing, or that its element type is unknown.
        _ = try module.checkpoint.tensor(module.name + ".weight")
        throw module.error(.unsupported, "weight", "is stored in no form that is known")
    }
}
