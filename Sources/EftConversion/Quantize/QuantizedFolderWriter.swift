// SPDX-License-Identifier: Apache-2.0
// The finished folder, put together from the quantized layers and the rest of the source.
import EftConfig
import EftFormats
import EftModels
import EftTensor

/// Writes `output.safetensors` (EXL2) or `model.safetensors` (GPTQ), or shards, `config.json` with `quantization_config`, and
/// all other files.
///
/// Norms are in f16, and so are an embedding and a head that are not quantized; quantized layers are copied as they are.
struct QuantizedFolderWriter {
    private let job: QuantizeJob
    private var model: DecoderDescription { job.folder.description }

    /// A tensor and where it comes from.
    private struct Item {
        let info: TensorInfo
        let source: any CheckpointReader
        let dtype: DType
    }

    init(_ job: QuantizeJob) { self.job = job }

    /// Writes everything; the weights get their names last.
    /// - Throws: `ConversionError`, `FormatError`, `TensorError`, and what the monitor throws.
    func write(_ monitor: ConversionMonitor) throws {
        let items = try self.items()
        let outputs = try items.map {
            try TensorInfo(name: $0.info.name, dtype: $0.dtype, shape: $0.info.shape)
        }
        let writer = try SafetensorsWriter(
            folder: job.output, baseName: job.plan.options.form.fileStem, tensors: outputs,
            maxShardBytes: job.plan.options.maxShardBytes)
        var casters: [String: TensorCaster] = [:]
        for item in items {
            // All files of quantized layers differ; only the source's caster serves twice.
            let caster: TensorCaster
            if item.source.path == job.checkpoint.path {
                caster =
                    try casters[item.source.path]
                    ?? TensorCaster(item.source, backend: job.backend)
                casters[item.source.path] = caster
            } else {
                caster = try TensorCaster(item.source, backend: job.backend)
            }
            try caster.copy(item.info, as: item.dtype, to: writer) { _ in
                try monitor.checkInterrupt()
            }
        }
        if job.writesFolder {
            try OutputFolder.copyOtherFiles(from: job.folder.path, to: job.output)
            if let adapter = job.plan.options.adapter {
                try OutputFolder.copyTokenizer(from: adapter, to: job.output)
            }
            try config().write(
                to: job.output, indent: job.plan.options.form == .exl2 ? 4 : 2)
        }
        try writer.finish()
    }

    /// All tensors, module by module in the order of the computation.
    private func items() throws -> [Item] {
        var items: [Item] = []
        func plain(_ name: String, as dtype: DType = .f16) throws {
            let info = try job.checkpoint.tensor(name)
            items.append(Item(info: info, source: job.checkpoint, dtype: dtype))
        }
        func quantized(_ name: String) throws {
            let file = try SafetensorsFile(
                path: FileSystem.join(job.work.outTensors, name + ".safetensors"))
            items += file.tensors.map { Item(info: $0, source: file, dtype: $0.dtype) }
        }
        if let embedding = job.plan.embedding {
            try quantized(embedding.name)
        } else {
            try plain(model.embeddingName + ".weight")
        }
        if let positions = model.positions { try plain(positions.weight) }
        func norm(_ norm: DecoderDescription.NormShape?) throws {
            guard let norm else { return }
            try plain(norm.name + ".weight")
            if norm.hasBias { try plain(norm.name + ".bias") }
        }
        for layer in 0..<model.layers {
            let norms = model.layerNorms(layer)
            for shape in [
                norms.attention, norms.queryVector, norms.latentVector, norms.linearValue,
                norms.query,
                norms.key,
            ] { try norm(shape) }
            for role in model.attentionRoles(layer: layer) {
                try quantized(model.linear(role, layer: layer).name)
            }
            for shape in [norms.attentionValue, norms.feedForward] { try norm(shape) }
            for vector in model.vectors(layer: layer) {
                // A rate of decay is an exponent: half precision would change what a state forgets.
                let isRate = [.rate, .decayBias, .skip].contains(vector.role)
                try plain(vector.name, as: isRate ? .f32 : .f16)
            }
            if model.shape(layer: layer).mixture != nil {
                let router = model.linear(.router, layer: layer)
                try plain(router.name + ".weight")
                if router.hasBias { try plain(router.name + ".bias") }
                for role in model.sharedRoles where role.isRouter {
                    try plain(model.linear(role, layer: layer).name + ".weight")
                }
            }
            for linear in WidthBlock.layer(layer, model)[1].linears { try quantized(linear.name) }
            try norm(norms.feedForwardValue)
        }
        try norm(model.finalNorm)
        if job.plan.quantizesHead {
            if !job.plan.sharesEmbedding { try quantized(model.headName) }
        } else if !model.tiedEmbeddings {
            try plain(model.headName + ".weight")
        }
        // A quantized head's bias stands beside its codes.
        if model.headBias, !job.plan.quantizesHead { try plain(model.headName + ".bias") }
        return items
    }

    private func config() throws -> ConfigEditor {
        var editor = try ConfigEditor(job.folder.config)
        editor.set("quantization_config", ConfigNode(.object(block)))
        if job.plan.options.form != .exl2 { editor.setDType(.f16) }
        return editor
    }

    /// What the config says of the weights.
    private var block: ConfigObject {
        guard let settings = job.plan.options.form.gptq else { return exl2Block }
        var block = ConfigObject()
        block["quant_method"] = "gptq"
        block["bits"] = ConfigNode(.integer(job.plan.options.uniformBits ?? 4))
        block["group_size"] = ConfigNode(.integer(settings.groupSize))
        block["desc_act"] = ConfigNode(.bool(settings.isActivityOrdered))
        block["sym"] = ConfigNode(.bool(true))
        block["lm_head"] = ConfigNode(.bool(false))
        block["checkpoint_format"] = "gptq"
        block["pack_dtype"] = "int32"
        return block
    }

    private var exl2Block: ConfigObject {
        var calibration = ConfigObject()
        calibration["rows"] = ConfigNode(.integer(job.calibration.rows.count))
        calibration["length"] = ConfigNode(.integer(job.calibration.longest))
        calibration["dataset"] = ConfigNode(.string(job.calibration.name))
        var block = ConfigObject()
        block["quant_method"] = ConfigNode(.string("exl2"))
        block["version"] = ConfigNode(.string("eft"))
        block["bits"] = ConfigNode(.real(job.plan.options.bits))
        block["head_bits"] = ConfigNode(.integer(job.plan.options.headBits))
        block["calibration"] = ConfigNode(.object(calibration))
        return block
    }
}
