// SPDX-License-Identifier: Apache-2.0
// eft eval --data --compare: how far a model is from a reference.
import EftCommandLine
import EftConfig
import EftGeneration
import EftModels
import EftPlanning
import EftTensor
import EftTokenizers

extension Scoring {
    /// Compares the model with the one that `--compare` names.
    func comparison() throws {
        if arguments.string("gpu-split", default: "auto") != "auto" {
            throw arguments.error(
                "gpu-split", "cannot be a list with --compare: two models share the devices")
        }
        let model = try LoadedModel(arguments)
        let reference = try reference(beside: model)
        let (tokens, rows) = try text(model.tokenizer, model.folder.description)
        let kvType = try cacheType(model)
        try during("comparing the tokenizers") {
            try SharedVocabulary.check(model, reference, tokens: tokens) {
                try text(reference.tokenizer, reference.folder.description).tokens
            }
        }
        let plan = try plan(model, reference, tokens: tokens.count, rows: rows, kvType)
        let streams = try (model.streaming(plan.model), reference.streaming(plan.reference))
        var budget = model.budget(plan.whole, nil)
        budget.streamingLines = [
            ("model", model.budget(plan.model, streams.0)),
            ("reference", reference.budget(plan.reference, streams.1)),
        ].compactMap { name, budget in budget.streaming.map { "\(name): \($0)" } }
        try budget.announce(quiet: isJSON)
        let (decoder, slots) = try model.load(plan.model, streams.0, quiet: isJSON)
        let (other, _) = try reference.load(plan.reference, streams.1, quiet: isJSON)
        let score = try ComparisonEvaluator(
            reference: other, model: decoder, slots: slots, length: rows, kvType: kvType
        ).compare(tokens) { try report($0, of: tokens.count, "tokens") }
        show(score.object, tokensPerSecond: score.tokensPerSecond, budget) { score.write(to: $0) }
    }

    /// The reference as it is stored, without the model's adapters.
    private func reference(beside model: LoadedModel) throws -> LoadedModel {
        var other = arguments
        other.replace("model", with: try arguments.required("compare"))
        other.turn("load-in-4bit", on: false)
        other.turn("load-in-8bit", on: false)
        return try LoadedModel(other, adapters: [], sharing: model.devices)
    }

    private func plan(
        _ model: LoadedModel, _ reference: LoadedModel, tokens: Int, rows: Int, _ kvType: KVType
    ) throws -> ComparisonPlan {
        let kept = ComparisonEvaluator.byteCount(
            tokens: tokens, rows: rows, layers: model.folder.description.layers)
        var beside = reference.planner()
        beside.programBytes = 0
        beside.laterProgramBytes = 0
        return ComparisonPlan(
            name: "eval",
            model: ComparedDecoder(
                planner: model.planner(for: .evaluation, beside: reference, reserving: kept),
                layouts: model.layouts, adapters: model.adapterExtents,
                load: try model.loader.loadNeed(), kvType: kvType),
            reference: ComparedDecoder(
                planner: beside, layouts: reference.layouts,
                load: try reference.loader.loadNeed()),
            rows: rows)
    }
}

/// Whether two models speak of the same tokens.
private enum SharedVocabulary {
    /// - Parameters:
    ///   - tokens: of the text, by the model's tokenizer.
    ///   - others: the same by the reference's.
    /// - Throws: `ModelError` (`mismatch`).
    static func check(
        _ model: LoadedModel, _ reference: LoadedModel, tokens: [Int32],
        others: () throws -> [Int32]
    ) throws {
        func refusal(_ what: String) -> ModelError {
            ModelError(
                .mismatch,
                "the model and the reference \(what); only models with the same tokens can be compared",
                path: reference.folder.path)
        }
        let sizes = (model.folder.description.vocabulary, reference.folder.description.vocabulary)
        guard sizes.0 == sizes.1 else {
            throw refusal("have vocabularies of \(sizes.0) and \(sizes.1) tokens")
        }
        let (one, other) = (model.tokenizer, reference.tokenizer)
        for id in 0..<Int32(clamping: max(one.idBound, other.idBound))
        where one.token(for: id) != other.token(for: id) {
            throw refusal("have tokenizers in which token \(id) differs")
        }
        guard try tokens == others() else {
            throw refusal("have tokenizers that cut the text in different tokens")
        }
    }
}

extension ComparisonScore {
    /// Everything, for machines.
    fileprivate var object: ConfigObject {
        var object = ConfigObject()
        object["tokens"] = ConfigNode(tokens)
        object["nll"] = ConfigNode(nll)
        object["perplexity"] = ConfigNode(perplexity)
        object["reference"] = [
            "nll": ConfigNode(referenceNLL), "perplexity": ConfigNode(referencePerplexity),
        ]
        object["kl_divergence"] = [
            "mean": ConfigNode(divergence.mean), "median": ConfigNode(divergence.median),
            "p99": ConfigNode(divergence.percentile99), "max": ConfigNode(divergence.largest),
        ]
        object["top1_agreement"] = ConfigNode(top1Agreement)
        object["top5_agreement"] = ConfigNode(top5Agreement)
        object["layer_errors"] = ConfigNode(.array(layerErrors.map { ConfigNode($0) }))
        return object
    }

    /// A short table.
    fileprivate func write(to output: TerminalOutput) {
        func nats(_ value: Double) -> String { formatFixed(value, decimals: 5) }
        func share(_ value: Double) -> String { formatFixed(value * 100, decimals: 2) + " %" }
        var table = TableRenderer([.init("over \(tokens) tokens"), .init("", .right)])
        table.add(["perplexity", formatFixed(perplexity, decimals: 4)])
        table.add(["perplexity of the reference", formatFixed(referencePerplexity, decimals: 4)])
        table.addRule()
        table.add(["KL divergence, mean (nats)", nats(divergence.mean)])
        table.add(["median", nats(divergence.median)])
        table.add(["99 %", nats(divergence.percentile99)])
        table.add(["largest", nats(divergence.largest)])
        table.addRule()
        table.add(["same likeliest token", share(top1Agreement)])
        table.add(["same among the five likeliest", share(top5Agreement)])
        if !layerErrors.isEmpty {
            table.addRule()
            for layer in shownLayers {
                table.add(["error after layer \(layer)", share(layerErrors[layer])])
            }
        }
        output.write(table)
    }

    /// The first layer, the last, and a few between them.
    private var shownLayers: [Int] {
        let last = layerErrors.count - 1
        guard last > 4 else { return Array(layerErrors.indices) }
        return (0...4).map { last * $0 / 4 }
    }
}
