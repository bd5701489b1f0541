// SPDX-License-Identifier: Apache-2.0
// A model folder of an exact shape with random weights: what speed and memory are measured on.
import EftConfig
import EftFormats
import EftModels
import EftQuant
import EftTensor

/// Writes models of random codes, with scales such that activations stay finite.
package struct ShapeWriter {
    /// In which form the linear layers are written.
    package enum Format: Sendable, Hashable {
        /// EXL2 at so many bits a weight, scales included when it is no whole number; a head of 6 bits.
        case exl2(bits: Double)
        /// bitsandbytes NF4 with double quantization; embedding and head in bf16.
        case nf4
        /// 16 bits.
        case bf16
    }

    private let shape: NamedShape
    private let layers: Int
    private let format: Format
    private let description: DecoderDescription
    private let tensors: [RandomTensor]
    /// Bytes of the linear layers inside the decoder layers.
    private let linearBytes: Int
    /// Whether the tokenizer has a text for each id, so that a server has something to send, or for bytes alone, which takes
    /// less memory.
    package var namesAllIDs = false

    /// Plans a folder; writes nothing.
    /// - Throws: `ConfigError` or `FormatError` when the format cannot be had for this shape.
    package init(_ shape: NamedShape, layers: Int? = nil, format: Format) throws {
        self.shape = shape
        self.layers = layers ?? shape.layers
        self.format = format
        description = try shape.description(layers: self.layers)
        let sections = try ShapeWriter.sections(format, inputs: description.shape.hidden)
        var tensors: [RandomTensor] = []
        var linearBytes = 0
        try ShapeWriter.end(description.embeddingName, description, format, &tensors)
        for layer in 0..<self.layers {
            for norm in description.norms(layer: layer) {
                try ShapeWriter.norm(norm, format, &tensors)
            }
            let first = tensors.count
            for linear in description.linears(layer: layer) {
                try ShapeWriter.part(linear, format, sections, &tensors)
            }
            linearBytes += tensors[first...].reduce(0) { $0 + $1.info.byteCount }
        }
        try ShapeWriter.norm(description.finalNorm, format, &tensors)
        if !description.tiedEmbeddings {
            if case .exl2 = format, let head = EXL2Geometry.head(bits: 6) {
                try ShapeWriter.linear(
                    description.headName, description.shape.hidden, description.vocabulary, format,
                    head, &tensors)
            } else {
                try ShapeWriter.end(description.headName, description, format, &tensors)
            }
        }
        self.tensors = tensors
        self.linearBytes = linearBytes
    }

    /// Bytes of all weights.
    package var byteCount: Int { tensors.reduce(0) { $0 + $1.info.byteCount } }
    /// Bits for each weight of the linear layers inside the decoder layers.
    package var bitsPerWeight: Double {
        Double(linearBytes) * 8 / Double(max(description.linearWeightCount, 1))
    }

    /// Writes the folder, or what a run that was stopped has left to write; half a folder is never taken for a model.
    /// - Parameters:
    ///   - note: told what is there already of an earlier run.
    ///   - progress: told how many bytes of all are written; may throw to end it.
    /// - Throws: `FormatError` (`io` before anything is written when the disk has too little room for the rest).
    package func write(
        to folder: String, maxShardBytes: Int = SafetensorsWriter.defaultShardBytes,
        note: (String) -> Void = { _ in }, progress: (_ done: Int, _ total: Int) throws -> Void
    ) throws {
        let stem = if case .exl2 = format { "output" } else { "model" }
        var identity = JobIdentity("bench shape", maxShardBytes: maxShardBytes)
        identity.add("the shape", shape.name)
        identity.add("the number of layers", String(layers))
        identity.add("the form of the weights", "\(format)")
        identity.add("the random numbers", RandomTensor.version)
        let unfinished = try UnfinishedFolder(output: folder, stem: stem, identity: identity)
        if unfinished.isWhole {
            unfinished.notice.map(note)
        } else {
            let writer = try unfinished.writer(tensors.map(\.info), maxShardBytes: maxShardBytes)
            unfinished.notice.map(note)
            try writeWeights(to: writer, progress)
            try unfinished.finish(writer, others: writeOtherFiles)
        }
        _ = try unfinished.publish()
        try progress(byteCount, byteCount)
    }

    private func writeWeights(
        to writer: SafetensorsWriter, _ progress: (_ done: Int, _ total: Int) throws -> Void
    ) throws {
        let buffer = try Buffer(
            byteCount: RandomTensor.chunkBytes, ledger: nil, purpose: .workspace)
        let total = byteCount
        var done = writer.keptBytes
        for tensor in tensors where !writer.isKept(tensor.info.name) {
            try tensor.write(to: writer, buffer: buffer) { try progress(done, total) }
            done += tensor.info.byteCount
        }
    }

    private func writeOtherFiles(to folder: String) throws {
        try AtomicFile.write(
            FileSystem.join(folder, "tokenizer.json"),
            JSONWriter.bytes(ByteTokenizer.document(size: namesAllIDs ? description.vocabulary : 0))
        )
        try AtomicFile.write(
            FileSystem.join(folder, "config.json"),
            JSONWriter.bytes(ConfigNode(config), layout: .indented(2)))
    }

    private var config: ConfigObject {
        var config = shape.config(
            layers: layers, dtype: ShapeWriter.dense(format) == .f16 ? "float16" : "bfloat16")
        switch format {
        case .exl2(let bits):
            config["quantization_config"] = [
                "quant_method": "exl2", "version": "eft", "bits": ConfigNode(bits), "head_bits": 6,
            ]
        case .nf4:
            config["quantization_config"] = [
                "quant_method": "bitsandbytes", "load_in_4bit": true,
                "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": true,
                "bnb_4bit_compute_dtype": "bfloat16",
            ]
        case .bf16: break
        }
        return config
    }

    // MARK: Tensors

    private static func dense(_ format: Format) -> DType {
        if case .exl2 = format { .f16 } else { .bf16 }
    }

    private static func end(
        _ name: String, _ model: DecoderDescription, _ format: Format,
        _ tensors: inout [RandomTensor]
    ) throws {
        tensors.append(
            try RandomTensor(
                name + ".weight", dense(format), [model.vocabulary, model.shape.hidden], .numbers))
    }

    private static func norm(
        _ norm: DecoderDescription.NormShape, _ format: Format, _ tensors: inout [RandomTensor]
    ) throws {
        // 1 in half precision and in bf16.
        let one: [UInt8] = dense(format) == .f16 ? [0x00, 0x3C] : [0x80, 0x3F]
        tensors.append(
            try RandomTensor(
                norm.name + ".weight", dense(format), [norm.count], .repeating(one)))
        guard norm.hasBias else { return }
        tensors.append(
            try RandomTensor(
                norm.name + ".bias", dense(format), [norm.count], .repeating([0, 0])))
    }

    private static func part(
        _ linear: DecoderDescription.LinearShape, _ format: Format, _ sections: [EXL2Section],
        _ tensors: inout [RandomTensor]
    ) throws {
        guard linear.role.isRouter else {
            try self.linear(
                linear.name, linear.inputs, linear.outputs, format, sections, &tensors)
            return
        }
        // Routers stay in 16 bits in every form.
        tensors.append(
            try RandomTensor(
                linear.name + ".weight", dense(format), [linear.outputs, linear.inputs], .numbers))
    }

    private static func linear(
        _ name: String, _ inputs: Int, _ outputs: Int, _ format: Format,
        _ sections: [EXL2Section], _ tensors: inout [RandomTensor]
    ) throws {
        switch format {
        case .bf16:
            tensors.append(
                try RandomTensor(name + ".weight", .bf16, [outputs, inputs], .numbers))
        case .nf4: try nf4(name, inputs, outputs, &tensors)
        case .exl2: try exl2(name, inputs, outputs, sections, &tensors)
        }
    }

    private static func nf4(
        _ name: String, _ inputs: Int, _ outputs: Int, _ tensors: inout [RandomTensor]
    ) throws {
        let weight = name + ".weight"
        let count = inputs * outputs
        let blocks = NF4Format.blocks(count)
        // Scales around 1/sqrt(K), so that a product keeps the magnitude of its input.
        let offset = 1 / Float(inputs).squareRoot()
        let state = NF4State(
            blockSize: NF4Format.blockSize, dtype: .bf16, shape: [outputs, inputs],
            nested: .init(blockSize: NF4Format.nestedBlockSize, offset: offset))
        let json = Array(state.json.utf8)
        tensors += [
            try RandomTensor(weight, .u8, [NF4Format.packedBytes(count), 1], .bits),
            try RandomTensor(weight + ".absmax", .u8, [blocks], .bits),
            try RandomTensor(
                weight + ".nested_absmax", .f32,
                [NF4Format.blocks(blocks, size: NF4Format.nestedBlockSize)],
                .repeating(bytes([offset / 4]))),
            try RandomTensor(
                weight + ".quant_map", .f32, [16], .repeating(bytes(NF4Format.values))),
            try RandomTensor(
                weight + ".nested_quant_map", .f32, [256], .repeating(bytes(NF4Format.nestedMap))),
            try RandomTensor(
                weight + NF4Scheme.stateSuffix, .u8, [json.count], .repeating(json)),
        ]
    }

    private static func exl2(
        _ name: String, _ inputs: Int, _ outputs: Int, _ sections: [EXL2Section],
        _ tensors: inout [RandomTensor]
    ) throws {
        guard let groups = EXL2Geometry.groups(inputs: inputs, sections: sections),
            let encoded = EXL2Table(groups).encoded
        else {
            throw FormatError(
                .unsupported, "\(inputs) inputs do not divide in EXL2 groups", tensor: name)
        }
        let table = EXL2Table(groups)
        let padded = EXL2Geometry.paddedOutputs(outputs)
        // Codes are uniform, of variance 4^bits/12; all scales are the group's largest.
        let largest = groups.flatMap { group -> [UInt8] in
            let deviation = (Double(sign: .plus, exponent: 2 * group.bits, significand: 1) / 12)
                .squareRoot()
            let bits = Float16(0.5 / (deviation * Double(inputs).squareRoot())).bitPattern
            return [UInt8(truncatingIfNeeded: bits), UInt8(truncatingIfNeeded: bits >> 8)]
        }
        tensors += [
            try RandomTensor(name + ".q_weight", .i32, [table.packedRows, padded], .bits),
            try RandomTensor(
                name + ".q_scale", .i32, [groups.count, padded / 8], .repeating([0xFF])),
            try RandomTensor(
                name + ".q_scale_max", .f16, [groups.count], .repeating(largest)),
            try RandomTensor(
                name + ".q_groups", .i16, [encoded.count], .repeating(bytes(encoded))),
            try RandomTensor(
                name + ".q_invperm", .i32, [inputs], .repeating(bytes((0..<inputs).map(Int32.init)))
            ),
        ]
    }

    private static func bytes<T: BitwiseCopyable>(_ values: [T]) -> [UInt8] {
        values.withUnsafeBytes { Array($0) }
    }

    /// Sections that come to the wanted bits: one width, or two of which the higher has a share.
    private static func sections(
        _ format: Format, inputs: Int
    ) throws -> [EXL2Section] {
        guard case .exl2(let bits) = format else { return [] }
        let widths = EXL2Geometry.uniformWidths
        if let whole = Int(exactly: bits), widths.contains(whole) {
            return [EXL2Section(bits: whole, groupSize: whole <= 3 ? 64 : 128, proportion: 1)]
        }
        if let mixed = EXL2Geometry.mixed(bits: bits, inputs: inputs) { return mixed }
        throw FormatError(
            .unsupported,
            "\(bits) bits a weight; give 2, 3, 4, 5, 6, 8, or a number between 2.07 and 8")
    }
}
