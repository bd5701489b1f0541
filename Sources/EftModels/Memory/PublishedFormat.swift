// SPDX-License-Identifier: Apache-2.0
// The format of weights that are not here, by what config.json says of them.
import EftConfig
import EftTensor

extension ModelFolder {
    /// The format that `quantization_config` names, where it is one that can be planned.
    /// - Throws: `ConfigError` for keys of other types.
    package func publishedFormat() throws -> PlannedFormat? {
        guard let quantization = try config.optional("quantization_config") else { return nil }
        let ends = try numberType()
        switch try quantization.string("quant_method", default: "").lowercased() {
        case "mxfp4": return .mxfp4(ends: ends)
        case "fp8":
            let block = try quantization.optional("weight_block_size")?.elements().last?.int()
            let group = min(block ?? 128, 128)
            return group > 0 && group % 32 == 0 ? .fp8(group: group, ends: ends) : nil
        case "gptq":
            var form = PlannedFormat.GPTQForm()
            form.bits = try quantization.int("bits", default: 4)
            form.isSymmetric = try quantization.bool("sym", default: true)
            form.isOrdered = try quantization.bool("desc_act", default: false)
            let group = try quantization.int("group_size", default: 128)
            // One group for all inputs takes hardly less than long ones.
            form.group = group > 0 ? group : 1024
            guard [2, 3, 4, 8].contains(form.bits), form.group % 32 == 0, form.group <= 1 << 20
            else { return nil }
            return .gptq(form, ends: ends)
        default: return nil
        }
    }

    /// The type of the numbers that are not quantized.
    private func numberType() throws -> DType {
        let name = try config.optional("dtype") ?? config.optional("torch_dtype")
        return switch try name?.string() {
        case "float32": .f32
        case "float16": .f16
        default: .bf16
        }
    }
}
