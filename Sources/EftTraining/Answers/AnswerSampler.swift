// SPDX-License-Identifier: Apache-2.0
// Answers to prompts of a run's data, by the model as it is at the moment.
import EftModels

/// Answers prompts of a run's examples.
final class AnswerSampler {
    private let settings: AnswerSettings
    private let source: any CompletionSource
    private let seed: UInt64
    private let examples: PreparedExamples

    /// - Parameter source: completes prompts; holds what `AnswerSettings.need` states.
    init(
        _ settings: AnswerSettings, source: any CompletionSource, examples: PreparedExamples,
        seed: UInt64
    ) {
        self.settings = settings
        self.source = source
        self.examples = examples
        self.seed = seed
    }

    /// The measures of answers to all examples of the validation set, by name.
    /// - Parameter pause: called now and then; what it throws ends the work.
    func scores(pause: () throws -> Void) throws -> [AnswerMeasure] {
        let turns = examples.data.validation.compactMap(\.firstAnswer)
        guard !settings.metrics.isEmpty, !turns.isEmpty else { return [] }
        let answers = try complete(turns.map(\.prompt), settings.measuredForm, pause)
        let references = try turns.map { try examples.answer(Array($0.answer)) }
        return settings.metrics.map {
            AnswerMeasure(metric: $0, value: $0.score(answers: answers, references: references))
        }
    }

    /// The prompts that are shown, with the answers of the data.
    private func shown() throws -> [(prompt: ArraySlice<Int32>, answer: String)] {
        let data = examples.data
        let source = data.validation.isEmpty ? data.train : data.validation
        return try source.lazy.compactMap(\.firstAnswer).prefix(settings.shown).map { turn in
            var (prompt, answer) = turn
            if prompt.count < 2 {
                // Of a text that is all learned, the first part is its prompt.
                let all = prompt + answer
                let count = Int(Double(all.count) * settings.promptShare)
                let end = all.startIndex + min(max(count, 1), all.count)
                (prompt, answer) = (all[..<end], all[end...])
            }
            return (prompt, try examples.answer(Array(answer)))
        }
    }

    /// Answers to the prompts that are shown.
    func answers(pause: () throws -> Void) throws -> [String] {
        try complete(shown().map(\.prompt), settings.shownForm, pause)
    }

    /// What is shown of a run.
    /// - Parameters:
    ///   - before: answers of before the first step; nil when there are none.
    ///   - after: answers of what the run came to.
    func samples(before: [String]?, after: [String]) throws -> [AnswerSample] {
        try shown().enumerated().compactMap { index, turn in
            guard index < after.count else { return nil }
            return AnswerSample(
                prompt: try examples.text(turn.prompt), reference: turn.answer,
                before: before.flatMap { index < $0.count ? $0[index] : nil }, after: after[index])
        }
    }

    private func complete(
        _ prompts: [ArraySlice<Int32>], _ form: CompletionForm, _ pause: () throws -> Void
    ) throws -> [String] {
        let requests = prompts.enumerated().map { index, prompt in
            CompletionRequest(
                prompt: Array(prompt), samples: 1, seed: mixedSeed(seed, UInt64(index)),
                form: form)
        }
        return try source.complete(requests, pause: pause).map {
            try examples.answer($0.first?.tokens ?? [])
        }
    }
}

/// A measure of answers.
package struct AnswerMeasure: Sendable, Hashable {
    /// What is measured.
    package let metric: AnswerMetric
    /// The score, from 0 to 100.
    package let value: Double
}

extension TrainingExample {
    /// The tokens before the first one that is learned, and those from there on that are; nil when none is.
    var firstAnswer: (prompt: ArraySlice<Int32>, answer: ArraySlice<Int32>)? {
        guard let first = tokens.indices.dropFirst().first(where: { labels[$0] >= 0 }) else {
            return nil
        }
        let end = tokens.indices[first...].first { labels[$0] < 0 } ?? tokens.endIndex
        return (tokens[..<first], tokens[first..<end])
    }
}
