// SPDX-License-Identifier: Apache-2.0
// What config.json says about the form of the weights, and forms that are not read.
import EftConfig
import EftFormats

/// The key `quant_method` of `quantization_config`.
enum QuantizationMethod {
    /// Forms that are read: by their tensors, not by this key.
    private static let read: Set = ["exl2", "bitsandbytes", "hqq"]

    /// What other forms are called.
    private static let names = [
        "mxfp4": "MXFP4", "exl3": "EXL3",
        "aqlm": "AQLM", "quanto": "Quanto", "eetq": "EETQ", "bitnet": "BitNet", "vptq": "VPTQ",
        "higgs": "HIGGS", "torchao": "torchao",
    ]

    /// Refuses weights of a form that is not read, before their tensors are looked for in vain.
    /// - Throws: `ModelError` (`unsupported`) that says what to take instead.
    static func check(_ config: ConfigCursor) throws {
        guard let quantization = try config.optional("quantization_config") else { return }
        let method = try quantization.string("quant_method", default: "bitsandbytes").lowercased()
        if method == "bitsandbytes" {
            try checkBitsAndBytes(quantization)
        } else if method == "mxfp4",
            try GptOss.modelTypes.contains(config.string("model_type", default: ""))
        {
            // Its experts are read by their tensors; the rest is in bf16.
            return
        } else if try StoredQuantization(quantization) != nil {
            return
        } else if !read.contains(method) {
            throw fault("\(names[method] ?? excerpt(method)) weights", config)
        }
    }

    private static func checkBitsAndBytes(_ quantization: ConfigCursor) throws {
        let type = try quantization.string("bnb_4bit_quant_type", default: "fp4")
        let isFourBit = try quantization.bool("load_in_4bit", default: false)
        guard !isFourBit || type == "nf4" || type == "fp4" else {
            throw fault("4-bit weights of bitsandbytes in '\(excerpt(type))'", quantization)
        }
    }

    private static func fault(_ what: String, _ config: ConfigCursor) -> ModelError {
        ModelError(
            .unsupported,
            "\(what) are not read; read are 16-bit and f32 weights, bitsandbytes' NF4, FP4 and LLM.int8, EXL2, GPTQ, AWQ, HQQ, FP8 and "
                + "compressed-tensors. Take the unquantized model, and eft quantize or --load-in-4bit to make it small",
            path: config.file)
    }
}
