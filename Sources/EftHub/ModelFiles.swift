// SPDX-License-Identifier: Apache-2.0
// Which files of a repository a model needs.
import EftConfig
import EftFormats

/// What of a repository is needed for a model or an adapter.
struct ModelFiles: Hashable {
    /// Paths of texts: configurations, the tokenizer, templates, tables of weights.
    var texts: [String] = []
    /// Paths of weights.
    var weights: [String] = []
    /// The file that is the model by itself, in GGUF form; nil for a folder.
    var model: String?
    /// The type of that file, when nobody has named it.
    var chosenType: String?

    /// All of them.
    var paths: [String] { texts + weights }

    // MARK: Choosing

    /// Nothing.
    init() {}

    /// Chooses among the paths of a repository, or of a snapshot in the cache.
    /// - Parameter name: may name the type of a GGUF file; else the model's folder is meant, where there is one.
    /// - Throws: `HubError` when the repository holds nothing that can be used.
    init(_ paths: [String], of name: HubName) throws(HubError) {
        let models = GGUFVariant.models(paths)
        if let variant = name.variant {
            guard let found = GGUFVariant.find(variant, in: models) else {
                throw HubError(
                    .notFound,
                    "\(name.id) holds no GGUF file '\(excerpt(variant))'\(Self.choice(models, name))"
                )
            }
            take(found)
            return
        }
        texts = paths.filter(Self.isText)
        weights = Self.weights(paths)
        if !weights.isEmpty { return }
        guard !models.isEmpty else {
            let forms = Self.otherForms.filter { form in
                paths.contains { $0.lowercased().hasSuffix(form) }
            }
            let found = forms.isEmpty ? "" : "; it holds \(forms.joined(separator: ", "))"
            throw HubError(
                .unsupported,
                "\(name.id) holds no weights that are read here (safetensors, PyTorch's .bin, or GGUF)\(found)"
            )
        }
        let usual = GGUFVariant.find(GGUFVariant.usual, in: models)
        guard let only = models.count == 1 ? models.first : usual else {
            throw HubError(
                .unsupported,
                "\(name.id) holds GGUF files of several types; name one\(Self.choice(models, name))"
            )
        }
        texts = []
        chosenType = models.count == 1 ? nil : only.type
        take(only)
    }

    private mutating func take(_ found: GGUFVariant.Model) {
        weights = found.paths
        model = found.paths.first
    }

    private static func choice(_ models: [GGUFVariant.Model], _ name: HubName) -> String {
        let words = GGUFVariant.words(models).prefix(40).map { excerpt($0) }
        guard let first = words.first else { return "; it holds no GGUF files at all" }
        return ", as in \(name.id):\(first); there are \(words.joined(separator: ", "))"
    }

    private static let otherForms = [".h5", ".msgpack", ".onnx", ".ot", ".tflite", ".pth", ".gguf"]

    // MARK: Files by their names

    private static let names: Set<String> = [
        "added_tokens.json", "adapter_config.json", "generation_config.json", "merges.txt",
        "params.json", "special_tokens_map.json", "tekken.json", "vocab.json", "vocab.txt",
    ]

    /// Whether a file belongs to a model and holds none of its weights.
    static func isText(_ path: String) -> Bool {
        if path.hasPrefix("additional_chat_templates/") { return path.hasSuffix(".jinja") }
        guard !path.contains("/") else { return false }
        if names.contains(path) { return true }
        let ends = [".json", ".jinja", ".model", ".tiktoken"]
        guard let end = ends.first(where: path.hasSuffix) else { return false }
        switch end {
        case ".json":
            return [
                "config", "tokenizer", "chat_template", "quantize_config", "quant_config",
                "hf_quant_config",
            ]
            .contains(where: path.hasPrefix)
        case ".jinja": return path.hasPrefix("chat_template")
        default: return true
        }
    }

    /// The files of weights, in the form that is read first: `CheckpointFolder` says which that is.
    private static func weights(_ paths: [String]) -> [String] {
        let top = paths.filter { !$0.contains("/") }
        let adapters = top.filter {
            ["adapter_model.safetensors", "adapter_model.bin"].contains($0)
        }
        let adapter = adapters.filter { $0.hasSuffix(".safetensors") }
        let index = ["model.safetensors.index.json", "pytorch_model.bin.index.json"]
        var chosen = safetensors(
            top.filter { $0.hasSuffix(".safetensors") && !adapters.contains($0) })
        var table = index[0]
        if chosen.isEmpty {
            chosen = pickles(top.filter { $0.hasSuffix(".bin") && !adapters.contains($0) })
            table = index[1]
        }
        let isWhole = chosen.contains("model.safetensors") || chosen.contains("pytorch_model.bin")
        if !chosen.isEmpty, !isWhole, top.contains(table) { chosen.insert(table, at: 0) }
        return chosen + (adapter.isEmpty ? adapters : adapter)
    }

    /// A model is often there twice, whole or in shards or in its maker's own form.
    private static func safetensors(_ names: [String]) -> [String] {
        if names.contains("model.safetensors") { return ["model.safetensors"] }
        for stem in ["model-", "output"] {
            let group = names.filter { $0.hasPrefix(stem) }
            if !group.isEmpty { return group }
        }
        let others = names.filter { !$0.hasPrefix("consolidated") }
        return others.isEmpty ? names : others
    }

    private static func pickles(_ names: [String]) -> [String] {
        if names.contains("pytorch_model.bin") { return ["pytorch_model.bin"] }
        return names.filter { $0.hasPrefix("pytorch_model-") }
    }

    // MARK: What is there

    /// Whether a snapshot holds all that its own tables name.
    /// - Parameter needsTokenizer: whether a model without a tokenizer is not whole.
    static func isWhole(
        _ snapshot: String, paths: [String], _ chosen: ModelFiles, needsTokenizer: Bool
    ) -> Bool {
        if chosen.model != nil {
            return GGUFVariant.models(chosen.weights).allSatisfy(GGUFVariant.isWhole)
        }
        let present = Set(paths)
        if let table = chosen.weights.first(where: { $0.hasSuffix(".index.json") }) {
            guard let index = try? ShardIndex(path: FileSystem.join(snapshot, table)),
                index.files.allSatisfy(present.contains)
            else { return false }
        }
        if present.contains("adapter_config.json") {
            return chosen.weights.contains { $0.hasPrefix("adapter_model") }
        }
        let isShardMissing = chosen.weights.contains { name in
            guard let base = name.split(separator: ".").first, let shard = ShardName(String(base))
            else { return false }
            return chosen.weights.filter { $0.hasPrefix(shard.stem + "-") }.count < shard.count
        }
        return present.contains("config.json") && !isShardMissing
            && (!needsTokenizer || hasTokenizer(present))
    }

    /// Whether a tokenizer is among a folder's names.
    static func hasTokenizer(_ names: Set<String>) -> Bool {
        let known = ["tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tekken.json"]
        return known.contains(where: names.contains)
            || names.contains { $0.hasSuffix(".tiktoken") || $0.hasSuffix(".model") }
    }
}
