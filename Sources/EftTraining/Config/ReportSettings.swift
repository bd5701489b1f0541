// SPDX-License-Identifier: Apache-2.0
// The keys that say what a run tells of itself in files.
import EftConfig

/// What a run writes about itself besides its log and its model card.
package struct ReportSettings: Sendable, Hashable {
    /// Whether event files for TensorBoard are written.
    package var tensorBoard: Bool
    /// The folder of the event files; one below `output_dir` when nil.
    package var loggingDir: String?
    /// Whether `report.html` is written at the end.
    package var htmlReport: Bool

    init(_ config: ConfigCursor) throws(ConfigError) {
        tensorBoard = try config.lenientBool("use_tensorboard") ?? false
        loggingDir = try config.text("logging_dir")
        htmlReport = try config.lenientBool("html_report") ?? true
    }

    /// Names that Axolotl knows for `eval_causal_lm_metrics`.
    private static let metrics = ["perplexity", "sacrebleu", "comet", "ter", "chrf"]

    /// Why some are not computed.
    private static let refused = [
        "comet": "is a neural model of its own that rates translations"
    ]

    /// What `eval_causal_lm_metrics` asks for.
    /// - Throws: `ConfigError` for what is not computed.
    static func metrics(
        _ config: ConfigCursor
    ) throws(ConfigError) -> (perplexity: Bool, answers: [AnswerMetric]) {
        let asked = try config.texts("eval_causal_lm_metrics") ?? []
        for name in asked where name != "perplexity" && AnswerMetric(rawValue: name) == nil {
            let near = closestMatch(name, in: metrics).map { "; did you mean '\($0)'?" } ?? ""
            let known = (["perplexity"] + AnswerMetric.allCases.map(\.rawValue))
                .joined(separator: ", ")
            let reason = refused[name] ?? "is not known" + near
            throw try config.required("eval_causal_lm_metrics").error(
                .badValue, "'\(excerpt(name))' \(reason); there are \(known)")
        }
        return (asked.contains("perplexity"), asked.compactMap(AnswerMetric.init))
    }
}
