// SPDX-License-Identifier: Apache-2.0
// llama.cpp's LoRA adapters, seen as PEFT's folders.
import EftConfig

/// An adapter in a GGUF file (`general.type` adapter): pairs of `<tensor>.lora_a` [r, K] and `<tensor>.lora_b` [N, r], and
/// `adapter.lora.alpha`, by whose share of the rank products are multiplied; without it they are not.
///
/// Rows of B for queries and keys stand in the order of the base's rows. How wide a head is such a file does not say:
/// `GGUFView.of(headDim:)` is told.
struct GGUFAdapter {
    /// PEFT's settings.
    let config: ConfigNode
    /// The matrices under PEFT's names.
    private(set) var views: [GGUFView] = []

    /// Whether a file is one.
    static func isOne(_ file: GGUFFile) -> Bool {
        file.metadata["general.type"]?.text == "adapter"
    }

    private static let suffixes = (a: ".weight.lora_a", b: ".weight.lora_b")

    /// Gives every matrix its place.
    /// - Throws: `GGUFError`; `unsupported` for kinds of adapters and modules that are not read.
    init(_ file: GGUFFile) throws(GGUFError) {
        let family = try GGUFAdapter.family(file)
        var (views, ranks): ([GGUFView], [(module: String, rank: Int)]) = ([], [])
        for (part, tensor) in file.tensors {
            let isA = tensor.name.hasSuffix(GGUFAdapter.suffixes.a)
            guard isA || tensor.name.hasSuffix(GGUFAdapter.suffixes.b) else {
                throw GGUFError(
                    .unsupported,
                    "is no half of an adapter (.lora_a, .lora_b); others, such as norms, are not read",
                    path: file.path, tensor: String(tensor.name.prefix(100)))
            }
            let stem = String(tensor.name.dropLast(GGUFAdapter.suffixes.a.count))
            let place = try GGUFAdapter.place(stem, family, file, tensor)
            let isStacked = place.module.contains("*")
            guard tensor.dims.count == (isStacked ? 3 : 2) else {
                throw GGUFError(
                    .damaged, "has extents \(tensor.dims), which do not fit its place",
                    path: file.path, tensor: String(tensor.name.prefix(100)))
            }
            let rows = tensor.dims[tensor.dims.count - 2]
            for expert in 0..<(isStacked ? tensor.dims[0] : 1) {
                let module = place.module.replacing("*", with: String(expert))
                views.append(
                    GGUFView(
                        name: "base_model.model.\(module).lora_\(isA ? "A" : "B").weight",
                        dims: [rows, tensor.columns],
                        sources: [GGUFView.Source(tensor: tensor, part: part)],
                        runs: [GGUFView.Run(first: expert * rows, count: rows)],
                        columns: tensor.columns, hasUnknownHeads: place.turns && !isA))
                if !isA { ranks.append((module, tensor.columns)) }
            }
        }
        guard !ranks.isEmpty else {
            throw GGUFError(.damaged, "the adapter holds no tensor", path: file.path)
        }
        self.views = views
        config = try GGUFAdapter.config(file, ranks)
    }

    /// The base's architecture.
    private static func family(_ file: GGUFFile) throws(GGUFError) -> GGUFFamily {
        let kind = file.metadata["adapter.type"]?.text ?? "lora"
        guard kind == "lora", file.metadata["adapter.alora.invocation_tokens"] == nil else {
            throw GGUFError(
                .unsupported,
                "adapters of the kind '\(kind == "lora" ? "alora" : String(kind.prefix(100)))' are not read, only lora",
                path: file.path)
        }
        let hasExperts = file.tensors.contains { $0.tensor.name.contains("_exps.") }
        return try GGUFFamily.named(file, hasExperts: hasExperts).family
    }

    /// The module of a tensor of the base, in Hugging Face's form, and whether its rows change their order.
    private static func place(
        _ stem: String, _ family: GGUFFamily, _ file: GGUFFile, _ tensor: GGUFTensor
    ) throws(GGUFError) -> (module: String, turns: Bool) {
        let words = stem.split(separator: ".", omittingEmptySubsequences: false)
        var module: String?
        var turns = false
        if words.count == 3, words[0] == "blk", let layer = Int(words[1]), layer >= 0 {
            let own = String(words[2])
            // Rows that stand in another order there would have to be put in order here.
            if own != "attn_qkv" || !family.groupsHeads {
                module = (family.names[own] ?? GGUFFamily.layerNames[own]).map {
                    "\(family.layersPath).\(layer).\($0)"
                }
            }
            turns = family.isInterleaved && (own == "attn_q" || own == "attn_k")
        } else if stem == "output" {
            module = family.outerNames[stem] ?? GGUFFamily.outerNames[stem]
        }
        guard let module else {
            throw GGUFError(
                .unsupported,
                stem == "token_embd"
                    ? "an adapter of the embedding is not read from GGUF files; take PEFT's folder"
                    : "has no place in a model of the type \(family.modelType)",
                path: file.path, tensor: String(tensor.name.prefix(100)))
        }
        return (module, turns)
    }

    private static func config(
        _ file: GGUFFile, _ ranks: [(module: String, rank: Int)]
    ) throws(GGUFError) -> ConfigNode {
        let rank = ranks[0].rank
        let alpha = file.metadata["adapter.lora.alpha"]?.number ?? 0
        guard alpha.isFinite else {
            throw file.fault("adapter.lora.alpha", "is no finite number", .damaged)
        }
        var (rankPattern, alphaPattern) = (ConfigObject(), ConfigObject())
        for (module, other) in ranks where other != rank {
            rankPattern[module] = ConfigNode(other)
            if alpha == 0 { alphaPattern[module] = ConfigNode(other) }
        }
        var names: [String] = []
        for (module, _) in ranks {
            let name = String(module.split(separator: ".").last ?? "")
            if !names.contains(name) { names.append(name) }
        }
        return ConfigNode(
            .object([
                "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": ConfigNode(rank),
                "lora_alpha": ConfigNode(.real(alpha == 0 ? Double(rank) : alpha)),
                "target_modules": ConfigNode(.array(names.map { ConfigNode($0) })),
                "rank_pattern": ConfigNode(.object(rankPattern)),
                "alpha_pattern": ConfigNode(.object(alphaPattern)),
            ]))
    }
}
