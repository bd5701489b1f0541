// SPDX-License-Identifier: Apache-2.0
// Examples that are evaluated, with what their evaluation comes to.
import EftCommandLine
import EftConfig
import EftModels
import EftTraining

#if canImport(Glibc)
    import Glibc
#endif

/// The validation or the training examples of a configuration.
struct EvaluatedSet {
    /// Which examples of a run.
    enum Kind: String {
        case training
        case validation
    }

    let kind: Kind
    let examples: [TrainingExample]
    /// The numbers under the names that `--json` and training logs have, without a prefix.
    private(set) var numbers: [(key: String, value: ConfigNode)] = []
    /// A line for the user.
    private(set) var sentence = ""

    /// The sets of a run that are evaluated and not empty.
    static func sets(_ data: TrainingData, withTraining: Bool) -> [EvaluatedSet] {
        let all = [
            EvaluatedSet(kind: .training, examples: withTraining ? data.train : []),
            EvaluatedSet(kind: .validation, examples: data.validation),
        ]
        return all.filter { !$0.examples.isEmpty }
    }

    private init(kind: Kind, examples: [TrainingExample]) {
        self.kind = kind
        self.examples = examples
    }

    /// The prefix of names in training logs: `train`, `eval`.
    private var prefix: String { kind == .training ? "train" : "eval" }

    /// A number's name beside those of other sets; of validation only losses have a prefix.
    func key(_ name: String) -> String {
        kind == .training || !EvaluatedSet.bareNames.contains(name) ? "\(prefix)_\(name)" : name
    }

    private static let bareNames: Set = ["perplexity", "tokens", "examples"]

    /// Takes the mean loss of trained tokens.
    mutating func take(_ loss: (mean: Double, tokens: Int)) {
        let perplexity = exp(loss.mean)
        numbers = [
            ("loss", ConfigNode(loss.mean)), ("perplexity", ConfigNode(perplexity)),
            ("tokens", ConfigNode(loss.tokens)), ("examples", ConfigNode(examples.count)),
        ]
        sentence =
            "\(prefix) loss \(formatFixed(loss.mean, decimals: 4))  perplexity "
            + "\(formatFixed(perplexity, decimals: 4))  over \(loss.tokens) trained tokens of "
            + "\(examples.count) examples"
    }

    /// Takes what a model that scores says.
    mutating func take(_ scores: ScoredExamples.Summary?) {
        numbers = [("examples", ConfigNode(examples.count))] + (scores?.entries ?? [])
        sentence = "\(prefix) \(scores?.sentence ?? "")"
    }
}
