// SPDX-License-Identifier: Apache-2.0
// The weights of a model in a format that it may not stand in yet, for planning.
import EftNN
import EftQuant
import EftTensor

/// A format in which a model's weights could be held.
package enum PlannedFormat: Sendable, Hashable {
    /// Dense numbers: f32, f16 or bf16.
    case dense(DType)
    /// NF4 linear layers; embedding and head dense.
    case nf4(ends: DType)
    /// EXL2 at a width, or at a mean of two widths; the head at a width of its own, and so the embedding, unless it is in
    /// f16.
    case exl2(bits: Double, headBits: Int, quantizesEmbedding: Bool = false)
    /// GPTQ's codes with a scale in half precision for so many inputs; embedding and head dense.
    case gptq(GPTQForm, ends: DType)
    /// 8-bit floating point with a scale for so many inputs; embedding and head dense.
    case fp8(group: Int, ends: DType)
    /// Experts in 4 bits, of which 32 share a power of two, as gpt-oss is published; all else dense.
    case mxfp4(ends: DType)

    /// How GPTQ holds weights.
    package struct GPTQForm: Sendable, Hashable {
        /// Bits of a code in the files.
        package var bits = 4
        /// Inputs that share a scale.
        package var group = 128
        /// Whether all zero points are the middle of the codes; else a code takes one bit more in memory.
        package var isSymmetric = true
        /// Whether groups are of inputs in another order than theirs.
        package var isOrdered = false

        /// The form that `eft quantize --format gptq` writes.
        package init() {}

        /// Width of a code in memory; nil where numbers are held.
        var width: Int? {
            [2, 3, 4, 5, 6, 8].first { $0 >= (isSymmetric ? bits : bits + 1) }
        }
    }

    /// The word for plans.
    package var name: String {
        switch self {
        case .dense(let dtype): dtype.rawValue.lowercased()
        case .nf4: "NF4"
        case .exl2(let bits, _, _): "EXL2 \(Int(exactly: bits).map { "\($0)" } ?? "\(bits)") bits"
        case .gptq(let form, _): "GPTQ \(form.bits) bits"
        case .fp8: "FP8"
        case .mxfp4: "MXFP4 experts"
        }
    }
}

extension PlannedFormat {
    /// The type of the weights that are not quantized.
    fileprivate var endType: DType {
        switch self {
        case .dense(let dtype), .nf4(let dtype), .gptq(_, let dtype), .fp8(_, let dtype),
            .mxfp4(let dtype):
            dtype
        case .exl2: .f16
        }
    }
}

/// Layouts of all weights of a decoder.
package struct DecoderLayouts: Sendable {
    /// The embedding.
    package let embedding: WeightLayout
    /// The linear layers of each decoder layer.
    package let layers: [[WeightLayout]]
    /// Which of them are experts', of each decoder layer; nil where it has none.
    package let experts: [ExpertLayers?]
    /// Number of decoder layers.
    package var layerCount: Int { layers.count }
    /// All linear layers inside the decoder layers.
    package var linears: [WeightLayout] { layers.flatMap(\.self) }
    /// The head; the embedding itself when tied.
    package let head: WeightLayout
    /// Whether the head is the embedding.
    package let isTied: Bool
    /// Bytes of learned positions, which stand beside the embedding.
    package let positionBytes: Int
    /// Bytes of the norms and biases of a layer.
    package let layerVectorBytes: Int
    /// Bytes of the last norm.
    package let finalNormBytes: Int

    /// Bytes in memory.
    package var byteCount: Int { byteCount(.whole(layers: layerCount)) }

    /// Bytes in memory of a part.
    package func byteCount(_ part: DecoderPart) -> Int {
        linears(of: part.layers).reduce(0) { $0 + $1.byteCount }
            + part.layers.count * layerVectorBytes + endBytes(part)
    }

    /// Bytes of embedding, last norm and head, as far as a part holds them.
    package func endBytes(_ part: DecoderPart) -> Int {
        (part.holdsEmbedding ? embedding.byteCount + positionBytes : 0)
            + (part.holdsHead ? (isTied ? 0 : head.byteCount) + finalNormBytes : 0)
    }

    /// The layouts of a model as a loader will hold it.
    package init(_ loader: DecoderLoader) throws {
        let all = try loader.layouts()
        let description = loader.folder.description
        embedding = all[0].layout
        var rest = all.dropFirst().map(\.layout)[...]
        layers = (0..<description.layers).map { layer in
            let count = description.linears(layer: layer).count
            defer { rest = rest.dropFirst(count) }
            return Array(rest.prefix(count))
        }
        experts = (0..<description.layers).map(description.experts)
        isTied = description.tiedEmbeddings
        head = isTied ? all[0].layout : rest.first ?? all[0].layout
        positionBytes = description.positionBytes
        layerVectorBytes = description.layerVectorBytes
        finalNormBytes = description.finalNormBytes
    }

    /// The layouts of a model in a format that it may not stand in yet.
    /// - Throws: `ModelError` when the format cannot hold the model's extents.
    package init(_ description: DecoderDescription, format: PlannedFormat) throws {
        let (hidden, vocabulary) = (description.shape.hidden, description.vocabulary)
        let kinds = try description.distinctLayers.map { kind in
            try description.linears(layer: kind.layer).map {
                try DecoderLayouts.layout(format, $0)
            }
        }
        let firsts = description.distinctLayers.map { description.shape(layer: $0.layer) }
        layers = (0..<description.layers).map { layer in
            firsts.firstIndex(of: description.shape(layer: layer)).map { kinds[$0] } ?? []
        }
        experts = (0..<description.layers).map(description.experts)
        positionBytes = description.positionBytes
        layerVectorBytes = description.layerVectorBytes
        finalNormBytes = description.finalNormBytes
        switch format {
        case .dense, .nf4, .gptq, .fp8, .mxfp4:
            let dtype = format.endType
            embedding = DecoderLayouts.dense(dtype, hidden, vocabulary)
            head = DecoderLayouts.dense(dtype, hidden, description.headOutputs)
            isTied = description.tiedEmbeddings
        case .exl2(_, let headBits, let quantizesEmbedding):
            guard let sections = EXL2Geometry.head(bits: headBits),
                let groups = EXL2Geometry.groups(inputs: hidden, sections: sections)
            else { throw DecoderLayouts.unfit(format, hidden) }
            head = EXL2Table(groups).layout(outputs: vocabulary)
            // Beside an embedding in f16 the head is a weight of its own, also of a tied model.
            embedding =
                quantizesEmbedding ? head : DecoderLayouts.dense(.f16, hidden, vocabulary)
            isTied = quantizesEmbedding && description.tiedEmbeddings
        }
    }

    private static func layout(
        _ format: PlannedFormat, _ linear: DecoderDescription.LinearShape
    ) throws -> WeightLayout {
        let (inputs, outputs) = (linear.inputs, linear.outputs)
        // A router is never quantized: it is small, and decides much.
        if linear.role.isRouter { return dense(format.endType, inputs, outputs) }
        switch format {
        case .dense(let dtype): return dense(dtype, inputs, outputs)
        case .nf4(let dtype):
            return DenseScheme.layout(
                stored: dtype, as: .nf4(doubleQuantization: true), inputs: inputs, outputs: outputs)
        case .exl2(let bits, _, _):
            guard let groups = EXL2Geometry.groups(bits: bits, inputs: inputs) else {
                throw unfit(format, inputs)
            }
            return EXL2Table(groups).layout(outputs: outputs)
        case .gptq(let form, _):
            guard let width = form.width else { return dense(.f16, inputs, outputs) }
            return try coded(
                format, linear, .signed, .f16, bits: width, blocks: form.group / 32,
                permuted: form.isOrdered)
        case .fp8(let group, _):
            return try coded(format, linear, .e4m3, .f32, bits: 8, blocks: group / 32)
        case .mxfp4(let dtype):
            guard linear.expert != nil else { return dense(dtype, inputs, outputs) }
            return try coded(format, linear, .e2m1, .e8m0, bits: 4, blocks: 1)
        }
    }

    /// Codes in groups of so many blocks of 32 inputs, the last one shorter.
    private static func coded(
        _ format: PlannedFormat, _ linear: DecoderDescription.LinearShape,
        _ book: WeightLayout.CodeBook, _ scales: WeightLayout.ScaleForm, bits: Int, blocks: Int,
        permuted: Bool = false
    ) throws -> WeightLayout {
        guard linear.inputs % 32 == 0, blocks > 0 else { throw unfit(format, linear.inputs) }
        let all = linear.inputs / 32
        let groups = stride(from: 0, to: all, by: blocks).map {
            WeightLayout.Group(blocks: min(blocks, all - $0), bits: bits)
        }
        return WeightLayout(
            .coded(book: book, scales: scales, groups: groups, permuted: permuted),
            inputs: linear.inputs, outputs: linear.outputs)
    }

    private static func dense(_ dtype: DType, _ inputs: Int, _ outputs: Int) -> WeightLayout {
        DenseScheme.layout(stored: dtype, as: .asStored, inputs: inputs, outputs: outputs)
    }

    private static func unfit(_ format: PlannedFormat, _ inputs: Int) -> ModelError {
        ModelError(.unsupported, "\(format.name) cannot hold a layer of \(inputs) inputs")
    }
}
