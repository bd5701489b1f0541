// SPDX-License-Identifier: Apache-2.0
// The examples of a run with the tokenizer that made them, so that they can be shown.
import EftModels

/// Examples as training will see them: tokenized, shuffled, split, and told apart into what is learned and what is not.
package struct PreparedExamples: Sendable {
    /// The examples.
    package var data: TrainingData { current.data }
    private let current: CurrentExamples
    /// Lines for the user.
    package let notices: [String]
    private let tokenizer: TrainingTokenizer

    /// Consecutive tokens that are all learned or all masked, as text.
    package struct Segment: Sendable, Hashable {
        /// Whether the tokens are learned.
        package let isTrained: Bool
        /// Their number.
        package let count: Int
        /// Their text, special tokens included.
        package let text: String
    }

    /// Reads and prepares all data sets of a configuration, or takes what was prepared of them when that is current.
    /// - Parameters:
    ///   - tokenizerFolder: the folder of the tokenizer.
    ///   - vocabulary: the number of tokens that the model knows; more when the configuration adds some.
    ///   - shouldStop: asked now and then; when it says yes, `TrainingError` (`interrupted`) is thrown.
    /// - Throws: `ConfigError`, `TokenizerError`, `TrainingError`, and `ModelError` when tokenizer, data and model do not
    ///   belong together.
    package init(
        _ config: AxolotlConfig, tokenizerFolder: String, vocabulary: Int,
        shouldStop: () -> Bool = { false }
    ) throws {
        try self.init(
            config,
            RunVocabulary(config.model, folder: tokenizerFolder, vocabulary: vocabulary),
            shouldStop: shouldStop)
    }

    init(
        _ config: AxolotlConfig, _ source: RunVocabulary, shouldStop: () -> Bool
    ) throws {
        tokenizer = try TrainingTokenizer(config.model, source, vocabulary: source.size)
        current = try CurrentExamples(
            config, tokenizer, tokenizerFolder: source.folder, shouldStop: shouldStop)
        try tokenizer.check(current.data, vocabulary: source.size)
        notices =
            config.notices + tokenizer.notices + current.notices + current.data.notices
    }

    /// Prepares the examples of a configuration whose base model has no weights yet, or needs none for this.
    package init(_ config: AxolotlConfig, shouldStop: () -> Bool = { false }) throws {
        let settings = config.model
        let folder = try BaseModel.description(config)
        try self.init(
            config, tokenizerFolder: settings.tokenizerConfig ?? folder.path,
            vocabulary: folder.description.vocabulary, shouldStop: shouldStop)
    }

    /// Keeps the examples in the configuration's `dataset_prepared_path`, unless they come from there.
    /// - Returns: the folder in which they are now; nil when nothing was written.
    /// - Throws: `FormatError` (`io`).
    package func keep() throws -> String? { try current.keep() }

    /// The token that fills up rows.
    package var padID: Int32? { tokenizer.padID }
    /// Tokens that end an answer.
    var endIDs: Set<Int32> { tokenizer.endIDs }

    /// The text of an answer, without special tokens.
    func answer(_ ids: [Int32]) throws -> String { try tokenizer.answer(ids) }

    /// The text of tokens, special ones included.
    func text(_ ids: some Sequence<Int32>) throws -> String { try tokenizer.text(ids) }

    // MARK: Showing

    /// An example in segments.
    /// - Throws: `TokenizerError`.
    package func segments(of example: TrainingExample) throws -> [Segment] {
        var segments: [Segment] = []
        var first = 0
        while first < example.tokens.count {
            let isTrained = example.isTrained(first)
            var end = first + 1
            while end < example.tokens.count, example.isTrained(end) == isTrained { end += 1 }
            segments.append(
                Segment(
                    isTrained: isTrained, count: end - first,
                    text: try tokenizer.text(example.tokens[first..<end])))
            first = end
        }
        return segments
    }

    /// Each token's text, its label and its id.
    /// - Throws: `TokenizerError`.
    package func tokens(
        of example: TrainingExample
    ) throws -> [(text: String, label: Int32, id: Int32)] {
        try zip(example.tokens, example.labels).map { id, label in
            (try tokenizer.text([id]), label, id)
        }
    }
}

extension TrainingExample {
    /// Whether the token at a place is learned; the first one has nothing before it to be predicted from.
    fileprivate func isTrained(_ place: Int) -> Bool { place > 0 && labels[place] >= 0 }
}
