// SPDX-License-Identifier: Apache-2.0
// What llama.cpp's code for an architecture takes for granted, which no key of a file says.
import EftModels
import EftNN

/// Refuses models that a file could hold and llama.cpp would not load, or would run as another model.
enum GGUFShapeCheck {
    /// - Throws: `ConversionError` (`unsupported`) with the reason.
    static func check(_ folder: ModelFolder, architecture: String) throws(ConversionError) {
        guard let reason = reason(folder.description, architecture) else { return }
        throw ConversionError(
            .unsupported,
            "llama.cpp's \(architecture) \(reason); the file would not be loaded, or run as another model",
            path: folder.path)
    }

    private static func reason(
        _ model: DecoderDescription, _ architecture: String
    ) -> String? {
        let shape = model.shape
        switch architecture {
        case "arcee", "ernie4_5":
            return hasBiases(model)
                ? "reads no biases of linear layers, and this model has some" : nil
        case "exaone4": return windows(model)
        case "deepseek2":
            let isLite = model.layers == 26 || model.layers == 27
            guard let latent = shape.latent, (latent.queryRank == nil) != isLite else { return nil }
            return isLite
                ? "takes models of 26 and 27 layers for those without a short vector of queries, and this one has it"
                : "reads models without a short vector of queries (q_lora_rank) of 26 or 27 layers alone, and this one has \(model.layers)"
        case "gptneox":
            let isBare = linears(model).contains { $0.role == .queryKeyValue && !$0.hasBias }
            return isBare
                ? "needs biases of queries, keys and values, and this model has none" : nil
        case "nemotron", "chatglm":
            guard shape.headDim * shape.heads != shape.hidden else { return nil }
            return
                "has heads that share the model's width, and \(shape.heads) of \(shape.headDim) are not \(shape.hidden)"
        case "olmoe":
            guard shape.kvHeads != shape.heads else { return nil }
            return
                "has a key for each query, and this model has \(shape.kvHeads) for \(shape.heads)"
        case "qwen3next", "qwen35", "qwen35moe":
            guard let delta = shape.mixer?.delta?.delta, delta.keyDim != delta.valueDim else {
                return nil
            }
            return
                "has keys and values of linear attention of one width, and this model's are \(delta.keyDim) and \(delta.valueDim)"
        default: return nil
        }
    }

    private static func linears(
        _ model: DecoderDescription
    ) -> [DecoderDescription.LinearShape] {
        (0..<model.layers).flatMap { model.linears(layer: $0) }
    }

    private static func hasBiases(_ model: DecoderDescription) -> Bool {
        linears(model).contains(where: \.hasBias)
    }

    /// EXAONE 4 32B has windows of 4096 in three of four layers; no other size has any.
    private static func windows(_ model: DecoderDescription) -> String? {
        let found = (0..<model.layers).map { model.kind(layer: $0).window }
        guard model.layers == 64 else {
            return found.contains { $0 != nil }
                ? "reads windows in models of 64 layers alone, and this one has \(model.layers)"
                : nil
        }
        let known = (0..<64).map { ($0 + 1) % 4 == 0 ? nil : 4096 }
        return found == known
            ? nil
            : "takes models of 64 layers to have windows of 4096 in three of four, and this one has others"
    }
}
