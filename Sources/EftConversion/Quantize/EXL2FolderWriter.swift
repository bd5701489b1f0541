// SPDX-License-Identifier: Apache-2.0
// The finished EXL2 folder, put together from the quantized layers and the rest of the source.
import EftConfig
import EftFormats
import EftModels
import EftTensor

/// Writes `output.safetensors` (or shards), `config.json` with `quantization_config`, and all other files.
///
/// Norms are in f16, and so is an embedding that is not quantized; quantized layers are copied as they are.
struct EXL2FolderWriter {
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
            folder: job.output, baseName: "output", tensors: outputs,
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
            try config().write(to: job.output, indent: 4)
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
                let isRate = vector.role == .rate || vector.role == .decayBias
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
        if !job.plan.sharesEmbedding { try quantized(model.headName) }
        return items
    }

    private func config() throws -> ConfigEditor {
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
        var editor = try ConfigEditor(job.folder.config)
        editor.set("quantization_config", ConfigNode(.object(block)))
        return editor
    }
}
