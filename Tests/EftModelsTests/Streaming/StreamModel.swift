// SPDX-License-Identifier: Apache-2.0
// A small random model in every stored form, loaded with any number of its layers streamed.
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor
import EftTestSupport

/// How the model's weights are stored and held.
enum StoredForm: String, CaseIterable, Sendable {
    case f32
    case bf16
    /// NF4 made of bf16 weights while loading.
    case loadedNF4
    /// NF4 as bitsandbytes stores it.
    case storedNF4
    /// EXL2 of mixed widths, with a permutation.
    case exl2
    /// GPTQ's codes of 4 bits with zero points, in groups of 32 inputs.
    case gptq
    /// AWQ's, likewise.
    case awq
    /// 8-bit floating point with a scale for each 32 x 32 numbers.
    case fp8

    /// What `config.json` says of the weights; empty where it says nothing.
    var configuration: String {
        switch self {
        case .gptq: #"{"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": false}"#
        case .awq: #"{"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm"}"#
        case .fp8: #"{"quant_method": "fp8", "weight_block_size": [32, 32]}"#
        default: ""
        }
    }

    var options: LoadOptions {
        LoadOptions(linears: self == .loadedNF4 ? .nf4(doubleQuantization: true) : .asStored)
    }
}

/// A model folder of 7 layers with biases and norms of heads, and a folder for its cache.
struct StreamModel {
    static let layers = 7
    static let vocabulary = 100
    let folder: TemporaryFolder
    let form: StoredForm
    /// The architecture, as `config.json` names it.
    let type: String

    var path: String { folder.file("model") }
    var caches: String { folder.file("caches") }

    init(_ form: StoredForm = .bf16, seed: UInt64 = 3, type: String = "qwen3") throws {
        folder = try TemporaryFolder()
        self.form = form
        self.type = type
        try write(seed: seed)
    }

    /// Writes the weights, also over others.
    func write(seed: UInt64) throws {
        try FileSystem.createFolder(path)
        // One MLP instead of experts in one tensor.
        let experts = type == "granitemoehybrid" ? 0 : 3
        let kinds = (0..<StreamModel.layers).map { $0 % 3 == 1 ? "attention" : "mamba" }
        let types = type == "granitemoehybrid" ? "\"layer_types\": \(kinds)," : ""
        let quantization =
            form.configuration.isEmpty
            ? "" : ", \"quantization_config\": " + form.configuration
        let config = """
            {"model_type": "\(type)", "head_dim": 16, "num_local_experts": \(experts), "num_experts_per_tok": 2,
             "vocab_size": \(StreamModel.vocabulary), "hidden_size": 64, "intermediate_size": 96,
             "num_hidden_layers": \(StreamModel.layers), "num_attention_heads": 4,
             "num_key_value_heads": 2, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
             "rope_theta": 10000.0, "tie_word_embeddings": false, "attention_bias": true,
             "moe_layers": [], "intermediate_size_mlp": 96, "attention_chunk_size": 5, "floor_scale": 3,
             "moe_intermediate_size": 96, "shared_expert_intermediate_size": 96,
             "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16,
             "linear_value_head_dim": 16, "initializer_range": 0.1,
             \(types) "mamba_n_heads": 4, "mamba_d_state": 16, "shared_intermediate_size": 96,
             "full_attn_idxs": [1, 4], "block_auto_adjust_ff_dim": false\(quantization)}
            """
        try AtomicFile.write(FileSystem.join(path, "config.json"), config)
        let backend = try CPUBackend(threads: 2)
        let description = try ModelFolder.open(path, needsWeights: false).description
        let decoder = try Decoder.random(description, seed: seed, backend: backend)
        for linear in decoder.linears {
            guard let values = linear.bias else { continue }
            for index in 0..<values.floatCount { values.floats[index] = Float(index % 7) * 0.01 }
        }
        let dense = folder.file("dense")
        let target = [.f32, .bf16, .loadedNF4].contains(form) ? path : dense
        try FileSystem.createFolder(target)
        try DecoderSaver(
            decoder: decoder, backend: backend, dtype: form == .f32 ? .f32 : .bf16
        ).save(to: target)
        guard target == dense else { return }
        try quantize(CheckpointFolder.open(dense), description, backend)
    }

    private func quantize(
        _ source: any CheckpointReader, _ description: DecoderDescription, _ backend: CPUBackend
    ) throws {
        let linears = (0..<description.layers).flatMap { description.linears(layer: $0) }
            .filter { !$0.role.isRouter && $0.outputs % 8 == 0 }
        var tensors: [EncodedTensor] = []
        var seed: UInt64 = 1
        for linear in linears {
            switch form {
            case .exl2: tensors += try exl2(linear, seed: &seed)
            case .gptq, .awq, .fp8:
                tensors += try StoredCodes(linear, seed: &seed).tensors(form)
            default:
                let matrix = try NF4Matrix(
                    quantizing: source.tensor(linear.name + ".weight"), of: source,
                    doubleQuantization: true, backend: backend)
                tensors += try NF4Writer.tensors(matrix, module: linear.name, ledger: nil)
            }
        }
        let quantized = Set(linears.map { $0.name + ".weight" })
        for info in source.tensors where !quantized.contains(info.name) {
            let buffer = try Buffer(byteCount: info.byteCount, ledger: nil, purpose: .workspace)
            try source.read(info.name, into: buffer.bytes)
            tensors.append(EncodedTensor(info, buffer))
        }
        let writer = try SafetensorsWriter(folder: path, tensors: tensors.map(\.info))
        for tensor in tensors {
            try writer.write(tensor.info.name, UnsafeRawBufferPointer(tensor.bytes.bytes))
        }
        try writer.finish()
    }

    /// Random codes: 5 bits for the first 32 inputs, 3 for the rest; wider in odd layers.
    private func exl2(
        _ linear: DecoderDescription.LinearShape, seed: inout UInt64
    ) throws -> [EncodedTensor] {
        func draw(_ bound: UInt64) -> UInt64 {
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (seed >> 33) % bound
        }
        let wide = linear.name.contains("layers.1.") ? 8 : 5
        let groups = [
            EXL2Group(bits: wide, rows: 32), EXL2Group(bits: 3, rows: linear.inputs - 32),
        ]
        let backend = try CPUBackend(threads: 1)
        let packer = try EXL2Packer(
            table: EXL2Table(groups), outputs: linear.outputs, ledger: nil)
        for (index, group) in groups.enumerated() {
            let codes = (0..<group.rows * linear.outputs).map { _ in
                UInt8(draw(1 << UInt64(group.bits)))
            }
            let scales = (0..<linear.outputs).map { _ in UInt8(draw(16) + 1) }
            codes.withUnsafeBufferPointer {
                // 2^-10 in half bits, less for wide codes.
                packer.setGroup(
                    index, codes: $0, scaleCodes: scales,
                    scaleMax: group.bits > 3 ? 0x1000 : 0x1C00, workers: backend)
            }
        }
        let permutation = (0..<linear.inputs).map { UInt32(($0 * 7 + 3) % linear.inputs) }
        return try packer.tensors(module: linear.name, permutation: permutation)
    }

    // MARK: Loading

    /// The loader, opened anew.
    func loader() throws -> DecoderLoader {
        try DecoderLoader(folder: ModelFolder.open(path), options: form.options)
    }

    /// The cache as it should be now.
    func cache() throws -> PanelCache {
        let loader = try loader()
        return try PanelCache(loader, layouts: DecoderLayouts(loader), below: caches)
    }

    /// The placement with some layers streamed.
    func placement(_ streamed: Int, slots: Int = 2) throws -> WeightPlacement {
        try DecoderLayouts(loader()).streaming(streamed, slots: slots)
    }

    /// What streams some layers, with the cache filled.
    func base(_ streamed: Int, slots: Int = 2, direct: Bool = true) throws -> StreamedBase {
        var base = StreamedBase(
            placement: try placement(streamed, slots: slots), cache: try cache())
        base.direct = direct
        try base.cache.fill(base.placement.streamed, backend: CPUBackend(threads: 2))
        return base
    }

    /// A decoder with some layers streamed.
    func decoder(
        streamed: Int, slots: Int = 2, direct: Bool = true, ledger: MemoryLedger = MemoryLedger()
    ) throws -> Decoder {
        let backend = try CPUBackend(ledger: ledger, threads: 2)
        let base = streamed > 0 ? try base(streamed, slots: slots, direct: direct) : nil
        return try loader().load(backend: backend, streaming: base)
    }

    static let ids: [Int32] = (0..<21).map { Int32(($0 * 37 + 5) % vocabulary) }
}

extension Decoder {
    /// Logits of all rows of a sequence.
    func allLogits(_ ids: [Int32] = StreamModel.ids, slots: [Int] = []) throws -> [Float] {
        let batch = DecoderBatch(sequences: [ids], slots: slots)
        let workspace = try DecoderWorkspace(
            DecoderWorkspaceNeed(
                rows: ids.count, logitRows: ids.count, adapters: adapterWidths), decoder: self)
        let cache = try PassCache(
            pageCount: pageCount(tokens: ids.count) + 1, shape: description.shape,
            backward: false, ledger: nil)
        let hidden = try forward(batch, cache: cache, workspace: workspace)
        return try logits(
            of: hidden, rows: Array(ids.indices), batch: batch, workspace: workspace
        ).array
    }

    /// Puts a trainable adapter of rank 3 on all layers, the same each time.
    /// - Parameter dora: whether the rows get lengths.
    func attachAdapter(dora: Bool = false, dropout: Float = 0.1) throws {
        for (linear, ledger) in placedLinears.dropLast() {
            let adapter = try LoRA(
                inputs: linear.weight.inputs, outputs: linear.weight.outputs, rank: 3, scale: 1,
                dropout: dropout, hasMagnitude: dora, ledger: ledger)
            for index in 0..<adapter.a.count { adapter.a.pointer[index] = Float(index % 5) * 0.02 }
            for index in 0..<adapter.b.count { adapter.b.pointer[index] = Float(index % 3) * 0.03 }
            for index in 0..<(dora ? linear.weight.outputs : 0) {
                adapter.magnitude?.values.floats[index] = 1 + Float(index % 7) * 0.1
            }
            try adapter.makeTrainable(prefix: linear.name, ledger: ledger)
            linear.adapters[0] = adapter
        }
    }

    /// Losses and all gradients of some passes with an adapter, one after the other.
    func gradients(passes: Int, checkpointing: Bool) throws -> (losses: [Float], all: [Float]) {
        let ids = StreamModel.ids
        let pass = try TrainingPass(
            decoder: self,
            need: TrainingNeed(
                rows: ids.count, sequences: 1, adapters: adapterWidths,
                checkpointing: checkpointing ? .memory : .none
            ))
        var losses: [Float] = []
        for index in 0..<passes {
            losses += try pass.run(
                DecoderBatch(sequences: [ids], slots: [0]), labels: ids.dropFirst() + [-100],
                gradientScale: 0.05, dropoutSeed: UInt64(index))
            losses += try pass.run(
                DecoderBatch(sequences: [ids], slots: [0]), labels: ids.dropFirst() + [-100],
                gradientScale: 0)
        }
        let all = parameters.flatMap { parameter in
            Array(
                UnsafeBufferPointer(
                    start: parameter.gradient.floats, count: parameter.gradient.floatCount))
        }
        return (losses, all)
    }

    /// Losses and gradients of several micro-batches of different lengths, in passes that serve `joined` of them each.
    func gradients(
        of micros: [TrainingRows], joined: Int, checkpointing: Checkpointing, folder: String
    ) throws -> (losses: [[Float]], all: [Float]) {
        let pass = try TrainingPass(
            decoder: self,
            need: TrainingNeed(
                rows: StreamModel.ids.count, sequences: 2, adapters: adapterWidths,
                checkpointing: checkpointing, joined: joined),
            spillFolder: folder)
        var losses: [[Float]] = []
        for first in stride(from: 0, to: micros.count, by: joined) {
            losses += try pass.run(
                Array(micros[first..<min(first + joined, micros.count)]), gradientScale: 0.05)
        }
        let all = parameters.flatMap { parameter in
            Array(
                UnsafeBufferPointer(
                    start: parameter.gradient.floats, count: parameter.gradient.floatCount))
        }
        return (losses, all)
    }
}
