// SPDX-License-Identifier: Apache-2.0
// Examples of a training run as text, so that one sees what is learned.
import EftCommandLine
import EftConfig
import EftTraining

/// The first examples of a run, and counts of all.
struct ExampleListing {
    /// How examples are shown.
    enum Style {
        /// Masked and trained parts, each begun by a word that says which it is.
        case segments
        /// Each token with its label and id, as axolotl's --debug shows them.
        case tokens
    }

    private let examples: PreparedExamples
    private let count: Int
    private let style: Style

    /// Takes what the options say; without one of them nothing is shown, unless `always`.
    /// - Throws: `UsageError`.
    init(_ examples: PreparedExamples, _ arguments: ParsedArguments, always: Bool) throws {
        self.examples = examples
        let asks = arguments.flag("debug") || arguments.flag("debug-text-only") || always
        let given = try arguments.int("debug-num-examples", in: 0...(1 << 20))
        count = given ?? (asks ? 3 : 0)
        style = arguments.flag("debug") && !arguments.flag("debug-text-only") ? .tokens : .segments
    }

    /// The lines to show; where the output has colours, what is learned is green and what is masked red.
    /// - Throws: `TokenizerError`.
    func lines(on output: TerminalOutput) throws -> [String] {
        var lines: [String] = []
        for (place, example) in examples.data.train.prefix(count).enumerated() {
            for (name, part) in ExampleListing.parts(example) {
                lines.append(
                    "example \(place + 1)\(name): \(part.tokens.count) tokens, \(part.trainedTokens) trained"
                )
                switch style {
                case .segments: lines += try segments(part, output)
                case .tokens: lines.append(try tokens(part, output))
                }
            }
        }
        return lines
    }

    /// An example, or the answers of which one is preferred.
    private static func parts(
        _ example: TrainingExample
    ) -> [(name: String, part: TrainingExample)] {
        if let rejected = example.rejected {
            return [(", chosen", example), (", rejected", rejected)]
        }
        guard case .desirable(let isGood)? = example.preference else { return [("", example)] }
        return [(isGood ? ", desirable" : ", undesirable", example)]
    }

    private static func style(isTrained: Bool) -> TerminalStyle { isTrained ? .green : .red }

    private func segments(
        _ example: TrainingExample, _ output: TerminalOutput
    ) throws -> [String] {
        try examples.segments(of: example).flatMap { segment in
            let word = segment.isTrained ? "  trained | " : "  masked  | "
            return segment.text.split(separator: "\n", omittingEmptySubsequences: false)
                .map {
                    output.styled(
                        word + excerpt(String($0), limit: .max),
                        Self.style(isTrained: segment.isTrained))
                }
        }
    }

    private func tokens(_ example: TrainingExample, _ output: TerminalOutput) throws -> String {
        try examples.tokens(of: example)
            .map {
                output.styled(
                    "\(excerpt($0.text, limit: .max))(\($0.label), \($0.id))",
                    Self.style(isTrained: $0.label >= 0))
            }
            .joined(separator: " ")
    }

    // MARK: Counts

    /// What the data holds, in lines.
    var counts: [String] {
        let data = examples.data
        func line(_ name: String, _ examples: [TrainingExample]) -> String {
            let tokens = examples.reduce(0) { $0 + $1.rowCount }
            let trained = examples.reduce(0) {
                $0 + $1.trainedTokens + ($1.rejected?.trainedTokens ?? 0)
            }
            let longest = examples.map(\.longestCount).max() ?? 0
            return
                "\(name): \(examples.count) examples, \(tokens) tokens, \(trained) of them trained, "
                + "the longest has \(longest)"
        }
        var lines = ["rows: \(data.counts.summary)", line("training", data.train)]
        if !data.validation.isEmpty { lines.append(line("validation", data.validation)) }
        return lines
    }

    /// The same for machines.
    /// - Throws: `TokenizerError`.
    func node() throws -> ConfigObject {
        let data = examples.data
        func count(_ examples: [TrainingExample]) -> ConfigNode {
            [
                "examples": ConfigNode(examples.count),
                "tokens": ConfigNode(examples.reduce(0) { $0 + $1.rowCount }),
                "trained_tokens": ConfigNode(
                    examples.reduce(0) {
                        $0 + $1.trainedTokens + ($1.rejected?.trainedTokens ?? 0)
                    }),
                "longest": ConfigNode(examples.map(\.longestCount).max() ?? 0),
            ]
        }
        let parts = data.train.prefix(self.count).flatMap(ExampleListing.parts)
        let shown = try parts.map { _, example in
            ConfigNode(
                .array(
                    try examples.segments(of: example).map { segment in
                        [
                            "trained": ConfigNode(.bool(segment.isTrained)),
                            "tokens": ConfigNode(segment.count),
                            "text": ConfigNode(segment.text),
                        ]
                    }))
        }
        return [
            "rows": ConfigNode(data.counts.rows), "too_long": ConfigNode(data.counts.tooLong),
            "truncated": ConfigNode(data.counts.truncated),
            "too_short": ConfigNode(data.counts.tooShort),
            "nothing_trained": ConfigNode(data.counts.unlabelled),
            "duplicates": ConfigNode(data.counts.duplicates), "train": count(data.train),
            "validation": count(data.validation), "shown": ConfigNode(.array(Array(shown))),
        ]
    }
}
