// SPDX-License-Identifier: Apache-2.0
// The head of a model that gives scores instead of the logits of tokens.
import EftConfig
import EftNN

/// A head that gives a few numbers for a text or for each of its tokens, as transformers' classes for classification
/// have it: `score.weight` `[labels][C]` behind the last norm.
package struct ScoreHead: Sendable, Hashable {
    /// What a score is about.
    package enum Kind: String, Sendable, CaseIterable {
        /// A whole text: a reward model. Its score stands at the last token that is not padding.
        case text = "SEQ_CLS"
        /// Each token: a process reward model.
        case tokens = "TOKEN_CLS"

        /// The end of the class's name in `architectures`.
        package var className: String {
            switch self {
            case .text: "ForSequenceClassification"
            case .tokens: "ForTokenClassification"
            }
        }
    }

    /// What a score is about.
    package let kind: Kind
    /// Numbers of a score.
    package let labels: Int

    /// The path of the head in checkpoints.
    package static let name = "score"
    /// The names that PEFT gives to such heads in `modules_to_save`.
    package static let savedModules = ["classifier", "score"]
    /// The most numbers of a score that are believed.
    package static let mostLabels = 1 << 16

    /// Describes a head.
    package init(_ kind: Kind, labels: Int) {
        precondition(labels > 0 && labels <= ScoreHead.mostLabels)
        self.kind = kind
        self.labels = labels
    }

    /// The head that a `config.json` names; nil for a language model.
    /// - Throws: `ConfigError` for a number of labels that no model has.
    init?(_ config: ConfigCursor) throws(ConfigError) {
        let names = try config.optional("architectures")?.elements() ?? []
        guard let name = try names.first?.string(),
            let kind = Kind.allCases.first(where: { name.hasSuffix($0.className) })
        else { return nil }
        let named = try config.optional("id2label")?.object().entries.count
        let given = try config.optional("num_labels")?.int(in: 1...ScoreHead.mostLabels)
        // transformers leaves out what is its default.
        let labels = named ?? given ?? 2
        guard labels > 0, labels <= ScoreHead.mostLabels else {
            throw config.error(.badValue, "a head of \(labels) labels makes no sense")
        }
        self.init(kind, labels: labels)
    }

    /// Whether the head adds a bias.
    package var hasBias: Bool { kind == .tokens }

    /// The name of a model with this head, from that of the language model or of a model with another one.
    func architecture(of name: String) -> String {
        let ends = ["ForCausalLM"] + Kind.allCases.map(\.className)
        guard let end = ends.first(where: { name.hasSuffix($0) }) else { return name }
        return name.dropLast(end.count) + kind.className
    }
}

extension DecoderDescription {
    /// Numbers that the head gives for a token: logits of the vocabulary, or scores.
    package var headOutputs: Int { scores?.labels ?? vocabulary }

    /// Whether the head adds a bias.
    package var headHasBias: Bool { scores?.hasBias ?? headBias }

    /// What becomes of the head's products; scores are them.
    package var headTransform: LogitTransform { scores == nil ? logits : LogitTransform() }

    /// The names of the head's tensors where it is no embedding.
    package var headTensors: [String] {
        [headName + ".weight"] + (headHasBias ? [headName + ".bias"] : [])
    }
}
