// SPDX-License-Identifier: Apache-2.0
// What a folder says about the form of its quantized weights.
import EftConfig

/// How the weights of a model folder are quantized, where tensors alone do not tell.
///
/// Read from `quantization_config` of config.json, or from the quantize_config.json that AutoGPTQ and AutoAWQ wrote beside
/// it. Widths and groups follow from the tensors, which may differ from module to module.
package struct StoredQuantization: Sendable, Hashable {
    /// The tool's format.
    package enum Method: String, Sendable, Hashable {
        /// GPTQ, as AutoGPTQ and GPTQModel write it.
        case gptq
        /// AWQ in AutoAWQ's GEMM order.
        case awq
        /// Integers of compressed-tensors (llm-compressor).
        case compressedTensors = "compressed-tensors"
        /// 8-bit floating point numbers with scales, of any tool.
        case fp8
    }

    /// The format.
    package let method: Method
    /// Whether every zero point is the middle of the codes, by the configuration.
    package let isSymmetric: Bool
    /// Whether zero points are stored less one, as in GPTQ's first format.
    package let storesZerosLessOne: Bool
    /// Rows and columns that share a scale of FP8; nil where the configuration does not say.
    package let blockSize: [Int]?

    /// Describes a form.
    package init(
        method: Method, isSymmetric: Bool = false, storesZerosLessOne: Bool = false,
        blockSize: [Int]? = nil
    ) {
        self.method = method
        self.isSymmetric = isSymmetric
        self.storesZerosLessOne = storesZerosLessOne
        self.blockSize = blockSize
    }

    /// Reads the description of a folder; nil where its weights are in none of these forms.
    /// - Throws: `ConfigError` (`badValue`) for a variant that is not read.
    package init?(folder: String) throws(ConfigError) {
        guard let config = StoredQuantization.config(folder) else { return nil }
        try self.init(config)
    }

    /// The mapping that describes the weights of a folder.
    private static func config(_ folder: String) -> ConfigCursor? {
        func document(_ name: String) -> ConfigCursor? {
            let path = FileSystem.join(folder, name)
            guard FileSystem.exists(path), let bytes = try? FileSystem.read(path),
                let node = try? JSONParser.parse(bytes, file: path)
            else { return nil }
            return ConfigCursor(node, file: path)
        }
        if let found = try? document("config.json")?.optional("quantization_config") {
            return found
        }
        return document("quantize_config.json")
    }

    /// Reads `quantization_config`; nil where it describes another form.
    /// - Throws: `ConfigError` (`badValue`) for a variant that is not read.
    package init?(_ config: ConfigCursor) throws(ConfigError) {
        // AutoGPTQ's own file has no such key; AutoAWQ's names a version.
        let version = try config.optional("version")
        let width = try config.optional("w_bit")
        let isAWQ = version != nil || width != nil
        let name = try config.string("quant_method", default: isAWQ ? "awq" : "gptq").lowercased()
        switch name {
        case "gptq": try self.init(gptq: config)
        case "awq": try self.init(awq: config)
        case "compressed-tensors": try self.init(compressed: config)
        case "fp8", "fbgemm_fp8":
            self.init(
                method: .fp8, blockSize: try config.optional("weight_block_size")?.ints())
        default: return nil
        }
    }

    private init(gptq config: ConfigCursor) throws(ConfigError) {
        var format = try config.string("checkpoint_format", default: "")
        if format.isEmpty { format = try config.string("format", default: "gptq") }
        guard ["gptq", "gptq_v2"].contains(format.lowercased()) else {
            throw config.error(
                .badValue,
                "GPTQ weights in the form '\(excerpt(format))' are not read, only gptq and gptq_v2")
        }
        self.init(
            method: .gptq, isSymmetric: try config.bool("sym", default: false),
            storesZerosLessOne: format.lowercased() == "gptq")
    }

    private init(awq config: ConfigCursor) throws(ConfigError) {
        let version = try config.string("version", default: "gemm")
        guard version.lowercased() == "gemm" else {
            throw config.error(
                .badValue,
                "AWQ weights in the order '\(excerpt(version))' are not read, only gemm")
        }
        self.init(method: .awq)
    }

    private init(compressed config: ConfigCursor) throws(ConfigError) {
        let formats = ["pack-quantized", "int-quantized", "float-quantized", "naive-quantized"]
        var isSymmetric = true
        var isFloat = false
        var used = [try config.string("format", default: "pack-quantized")]
        for (_, group) in try config.optional("config_groups")?.entries() ?? [] {
            used.append(try group.string("format", default: used[0]))
            guard let weights = try group.optional("weights") else { continue }
            if try !weights.bool("symmetric", default: true) { isSymmetric = false }
            if try weights.string("type", default: "int") == "float" { isFloat = true }
        }
        for format in used where !formats.contains(format) && format != "mixed-precision" {
            throw config.error(
                .badValue,
                "compressed-tensors in the form '\(excerpt(format))' are not read, only "
                    + formats.joined(separator: ", "))
        }
        self.init(
            method: isFloat ? .fp8 : .compressedTensors, isSymmetric: isSymmetric)
    }
}
