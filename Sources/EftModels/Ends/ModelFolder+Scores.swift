// SPDX-License-Identifier: Apache-2.0
// A language model with a head that scores in the place of its own.
import EftConfig
import EftFormats
import EftTensor

extension ModelFolder {
    /// The model with a head that scores: its own where it has that, or else a fresh one of normal numbers of the
    /// model's `initializer_range`.
    /// - Throws: `ModelError` (`mismatch`) for a model with another head that scores.
    package func scored(_ head: ScoreHead, seed: UInt64) throws -> ModelFolder {
        if let own = description.scores {
            try require(head, own)
            return self
        }
        return try scored(
            head,
            weight: .fresh(
                Shape(head.labels, description.shape.hidden),
                .normal(deviation: description.initializerRange, seed: seed)),
            bias: .fresh(Shape(head.labels), .normal(deviation: 0, seed: seed)))
    }

    /// The model with the head of an adapter that scores; the model itself for other adapters.
    /// - Parameter allowed: whether scores are wanted.
    /// - Throws: `ModelError` (`unsupported`) for an adapter that scores where tokens are wanted, `mismatch` for one that
    ///   does not belong to this base.
    func scored(by adapter: String, allowed: Bool) throws -> ModelFolder {
        guard let kind = try AdapterConfig.read(folder: adapter).scores else { return self }
        guard allowed else { throw ScoreHead.refusal("the adapter", path: adapter) }
        let checkpoint = try CheckpointFolder.open(adapter, kind: .adapter)
        guard let weight = SavedEnds.find(ScoreHead.name, checkpoint) else {
            guard description.scores != nil else {
                throw ModelError(
                    .missing,
                    "the adapter holds no \(ScoreHead.name).weight, and the base has none",
                    path: adapter)
            }
            return self
        }
        let dims = weight.shape.dims
        guard dims.count == 2, dims[1] == description.shape.hidden, dims[0] > 0,
            dims[0] <= ScoreHead.mostLabels, weight.dtype.isFloatingPoint
        else {
            throw ModelError(
                .mismatch,
                "the adapter's tensor '\(weight.name)' has shape \(weight.shape), which is no head of a "
                    + "base of width \(description.shape.hidden)", path: adapter)
        }
        let head = ScoreHead(kind, labels: dims[0])
        if let own = description.scores { try require(head, own) }
        let bias = SavedEnds.find(ScoreHead.name, checkpoint, part: "bias")
        if head.hasBias, bias?.shape.dims != [head.labels] {
            throw ModelError(
                .missing, "the adapter holds no \(ScoreHead.name).bias of \(head.labels) numbers",
                path: adapter)
        }
        return try scored(
            head, weight: .tensor(checkpoint, name: weight.name),
            bias: .tensor(checkpoint, name: bias?.name ?? ""))
    }

    private func require(_ head: ScoreHead, _ own: ScoreHead) throws(ModelError) {
        guard head != own else { return }
        func words(_ head: ScoreHead) -> String {
            "\(head.kind.className) with \(head.labels) label\(head.labels == 1 ? "" : "s")"
        }
        throw ModelError(
            .mismatch, "the model is \(words(own)), wanted is \(words(head))", path: path)
    }

    private func scored(
        _ head: ScoreHead, weight: EndsCheckpoint.Source, bias: EndsCheckpoint.Source
    ) throws -> ModelFolder {
        var object = try config.object()
        var description = description
        description.architecture = head.architecture(of: description.architecture)
        object["architectures"] = ConfigNode(.array([ConfigNode(description.architecture)]))
        var (names, numbers) = (ConfigObject(), ConfigObject())
        for label in 0..<head.labels {
            names["\(label)"] = ConfigNode("LABEL_\(label)")
            numbers["LABEL_\(label)"] = ConfigNode(label)
        }
        object["id2label"] = ConfigNode(names)
        object["label2id"] = ConfigNode(numbers)
        object["num_labels"] = nil
        let replaced = description.tiedEmbeddings ? [] : [description.headName]
        description.scores = head
        description.tiedEmbeddings = false
        var sources = [ScoreHead.name + ".weight": weight]
        if head.hasBias { sources[ScoreHead.name + ".bias"] = bias }
        return ModelFolder(
            path: path, config: ConfigCursor(ConfigNode(object), file: config.file),
            description: description,
            checkpoint: try checkpoint.map {
                try EndsCheckpoint($0, changing: sources, hiding: replaced)
            }, tokenizerFolder: tokenizerFolder, endsAdapter: endsAdapter,
            hasWholeEnds: hasWholeEnds)
    }
}

extension ScoreHead {
    /// What is said of a model that scores where one is wanted that generates.
    static func refusal(_ subject: String, path: String?) -> ModelError {
        ModelError(
            .unsupported,
            "\(subject) gives scores and no tokens, so that it cannot generate; 'eft eval --rewards FILE' asks it, "
                + "and it can be trained further (reward_model, process_reward_model), merged and converted",
            path: path)
    }
}
