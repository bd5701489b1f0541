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

    /// What `eval_causal_lm_metrics` asks for: whether perplexities, and those that are not computed.
    static func metrics(
        _ config: ConfigCursor
    ) throws(ConfigError) -> (perplexity: Bool, others: [String]) {
        let asked = try config.texts("eval_causal_lm_metrics") ?? []
        for name in asked where !metrics.contains(name) {
            let near = closestMatch(name, in: metrics).map { "; did you mean '\($0)'?" } ?? ""
            throw try config.required("eval_causal_lm_metrics").error(
                .badValue,
                "'\(excerpt(name))' is not among \(metrics.joined(separator: ", "))\(near)")
        }
        return (asked.contains("perplexity"), asked.filter { $0 != "perplexity" })
    }
}
