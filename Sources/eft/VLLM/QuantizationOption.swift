// SPDX-License-Identifier: Apache-2.0
// vLLM's --quantization: what a model is stored in.
import EftCommandLine
import EftFormats
import EftGGUF
import EftModels

/// The methods that name a stored form, which is read whatever this option says.
enum QuantizationOption {
    /// vLLM's names of stored forms; those of its kernels stand for the form that they read.
    private static let methods: [String: Set<StoredQuantization.Method>] = [
        "gptq": [.gptq], "gptq_marlin": [.gptq], "awq": [.awq], "awq_marlin": [.awq],
        // llm-compressor's FP8 goes by both names.
        "compressed-tensors": [.compressedTensors, .fp8], "fp8": [.fp8], "fbgemm_fp8": [.fp8],
    ]

    /// Whether a method names a stored form.
    static func isForm(_ method: String) -> Bool {
        method == "exl2" || method == "gguf" || methods[method] != nil
    }

    /// The methods in messages.
    static var names: String {
        (["bitsandbytes", "exl2", "gguf"] + methods.keys.sorted()).joined(separator: ", ")
    }

    /// Refuses a model that is stored in another form than the option says.
    /// - Throws: `UsageError`.
    static func check(_ arguments: ParsedArguments, _ folder: ModelFolder) throws {
        guard let method = arguments.string("quantization") else { return }
        let isRight =
            method == "gguf"
            ? GGUFModel.isOne(folder.path)
            : methods[method].map { forms in
                folder.checkpoint?.quantization.map { forms.contains($0.method) } ?? false
            } ?? true
        guard !isRight else { return }
        throw arguments.error(
            "quantization",
            "says \(method), and the model is stored otherwise; leave the option out, quantize the 16-bit model with "
                + "'eft quantize', or give bitsandbytes to hold it in NF4")
    }
}
