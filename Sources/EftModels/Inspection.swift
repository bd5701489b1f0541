// SPDX-License-Identifier: Apache-2.0
// What is in a checkpoint: architecture, formats, bits per weight, sizes.
import EftConfig
import EftFormats
import EftQuant
import EftTensor

/// A look at a model's or adapter's folder, or at a single weight file.
package struct Inspection {
    /// The weights.
    package let checkpoint: any CheckpointReader
    /// The model, when a config.json describes one that is known.
    package let model: ModelFolder?
    /// Why the model cannot be run, when its config.json describes one of a kind that is not supported.
    package let remark: String?
    /// The adapter's settings, when it is one.
    package let adapter: AdapterConfig?
    /// Groups of weight matrices of one role and format.
    package let modules: [Module]

    /// Weight matrices of one role and format.
    package struct Module: Sendable {
        /// The last part of their names, such as `q_proj`.
        package let role: String
        /// The stored form.
        package let format: String
        /// How many.
        package var count: Int
        /// Numbers in all of them.
        package var parameters: Int
        /// Bytes in the files.
        package var storedBytes: Int
        /// Bytes when loaded.
        package var memoryBytes: Int
    }

    /// Opens a path.
    /// - Throws: `FormatError`, `ConfigError`, `ModelError`.
    package init(_ path: String) throws {
        let isFolder = FileSystem.isFolder(path)
        let hasConfig = isFolder && FileSystem.exists(FileSystem.join(path, "config.json"))
        let isAdapter = isFolder && FileSystem.exists(FileSystem.join(path, "adapter_config.json"))
        if isAdapter, !hasConfig || !FileSystem.exists(FileSystem.join(path, "model.safetensors")) {
            adapter = try AdapterConfig.read(folder: path)
            (model, remark) = (nil, nil)
            checkpoint = try CheckpointFolder.open(path, kind: .adapter)
            modules = []
            return
        }
        adapter = nil
        var model: ModelFolder?
        var remark: String?
        if hasConfig {
            do { model = try ModelFolder.open(path, scores: true) } catch let error as ModelError
                where error.code == .unsupported
            {
                remark = error.description
            }
        }
        let checkpoint = try model?.checkpoint ?? CheckpointFolder.open(path)
        (self.model, self.remark) = (model, remark)
        self.checkpoint = checkpoint
        modules = try model.map { try Inspection.modules($0, checkpoint) } ?? []
    }

    private static func modules(
        _ model: ModelFolder, _ checkpoint: any CheckpointReader
    ) throws -> [Module] {
        let description = model.description
        var all: [(role: String, name: String, inputs: Int, outputs: Int)] = [
            (
                "embed_tokens", description.embeddingName, description.shape.hidden,
                description.vocabulary
            )
        ]
        for layer in 0..<description.layers {
            for linear in description.linears(layer: layer) {
                all.append((linear.moduleName, linear.name, linear.inputs, linear.outputs))
            }
        }
        if !description.tiedEmbeddings {
            all.append(
                (
                    description.headName, description.headName, description.shape.hidden,
                    description.headOutputs
                ))
        }
        var groups: [Module] = []
        for (role, name, inputs, outputs) in all {
            let source = try LinearSource(
                module: name, checkpoint: checkpoint, inputs: inputs, outputs: outputs)
            let format = source.formName
            let memory = try source.layout(as: .asStored).byteCount
            if let index = groups.firstIndex(where: { $0.role == role && $0.format == format }) {
                groups[index].count += 1
                groups[index].parameters += inputs * outputs
                groups[index].storedBytes += source.storedBytes
                groups[index].memoryBytes += memory
            } else {
                groups.append(
                    Module(
                        role: role, format: format, count: 1, parameters: inputs * outputs,
                        storedBytes: source.storedBytes, memoryBytes: memory))
            }
        }
        return groups
    }

    /// Lines for people.
    package var summary: [String] {
        var lines: [String] = []
        if let model {
            let d = model.description
            lines.append(
                "\(d.architecture): \(d.layers) layers, hidden \(d.shape.hidden), "
                    + "MLP \(d.shape.intermediate), \(d.shape.heads) heads (\(d.shape.kvHeads) for keys and "
                    + "values) of \(d.shape.headDim), vocabulary \(d.vocabulary), context \(d.contextLength)"
                    + (d.tiedEmbeddings ? ", tied embeddings" : "") + Inspection.mixture(d))
            lines.append(
                "\(d.parameterCount) parameters, \(formatBytes(checkpoint.byteCount)) stored")
            lines += d.parts.map { "\($0.name): \($0.form)" }
        } else if let adapter {
            lines.append(
                (adapter.usesDora ? "DoRA" : "LoRA")
                    + " adapter: rank \(adapter.rank), alpha \(adapter.alpha), for "
                    + adapter.targetModules.joined(separator: ", "))
            lines.append("made for \(adapter.baseModel)")
            lines.append(
                "\(checkpoint.tensors.count) tensors, \(formatBytes(checkpoint.byteCount))")
        } else {
            lines.append(
                "\(checkpoint.tensors.count) tensors, \(formatBytes(checkpoint.byteCount))")
        }
        if let remark { lines.append("it cannot be run: \(remark)") }
        return lines
    }

    private static func mixture(_ model: DecoderDescription) -> String {
        model.shape.mixture.map { ", \($0.experts) experts, \($0.expertsPerRow) for each token" }
            ?? ""
    }

    /// Rows of a table: role, format, count, parameters, stored bytes, bits per weight, bytes in memory.
    package var moduleRows: [[String]] {
        modules.map { module in
            let bits = Double(module.storedBytes) * 8 / Double(max(module.parameters, 1))
            return [
                module.role, module.format, "\(module.count)", "\(module.parameters)",
                formatBytes(module.storedBytes), "\((bits * 100).rounded() / 100)",
                formatBytes(module.memoryBytes),
            ]
        }
    }

    /// The inspection for machines.
    package func node(tensors: Bool) -> ConfigNode {
        var object = ConfigObject()
        if let model {
            let d = model.description
            object["architecture"] = ConfigNode(d.architecture)
            object["layers"] = ConfigNode(d.layers)
            object["hidden_size"] = ConfigNode(d.shape.hidden)
            if let mixture = d.shape.mixture {
                object["num_local_experts"] = ConfigNode(mixture.experts)
                object["num_experts_per_tok"] = ConfigNode(mixture.expertsPerRow)
            }
            object["vocab_size"] = ConfigNode(d.vocabulary)
            object["parameters"] = ConfigNode(d.parameterCount)
            var parts = ConfigObject()
            for part in d.parts { parts[part.name] = ConfigNode(part.form) }
            object["parts"] = ConfigNode(parts)
        }
        if let adapter {
            object["peft_type"] = ConfigNode("LORA")
            object["r"] = ConfigNode(adapter.rank)
        }
        object["stored_bytes"] = ConfigNode(checkpoint.byteCount)
        object["modules"] = ConfigNode(
            modules.map { module in
                [
                    "role": ConfigNode(module.role), "format": ConfigNode(module.format),
                    "count": ConfigNode(module.count), "parameters": ConfigNode(module.parameters),
                    "stored_bytes": ConfigNode(module.storedBytes),
                    "memory_bytes": ConfigNode(module.memoryBytes),
                ] as ConfigNode
            })
        if tensors {
            object["tensors"] = ConfigNode(
                checkpoint.tensors.map { tensor in
                    [
                        "name": ConfigNode(tensor.name), "dtype": ConfigNode(tensor.dtype.rawValue),
                        "shape": ConfigNode(tensor.shape.dims),
                    ] as ConfigNode
                })
        }
        return ConfigNode(object)
    }
}
