// SPDX-License-Identifier: Apache-2.0
// The keys that let a run answer prompts of its data: to measure the answers, and to show some.
import EftConfig
import EftModels
import EftNN
import EftTensor

/// What a run answers besides learning.
package struct AnswerSettings: Sendable, Hashable {
    /// What is measured in each evaluation, of greedy answers to all examples of the validation set.
    package var metrics: [AnswerMetric] = []
    /// Most tokens of a measured answer.
    package var measuredTokens = 128
    /// Examples whose answers before and after the run are shown; 0 for none.
    package var shown = 0
    /// How shown answers are sampled.
    package var shownForm = CompletionForm(maxTokens: 50, temperature: 0.7)
    /// The share of a text that is its prompt, where all of it is learned.
    package var promptShare = 0.5

    /// How measured answers are sampled.
    package var measuredForm: CompletionForm {
        CompletionForm(maxTokens: measuredTokens, temperature: 0)
    }

    /// Most answers that are made side by side.
    private static let mostAtOnce = 4

    /// Answers nothing.
    package init() {}

    /// Reads the keys; nil when they ask for nothing.
    /// - Throws: `ConfigError` for values out of range and measures that are not computed.
    static func read(_ config: ConfigCursor) throws(ConfigError) -> AnswerSettings? {
        var settings = AnswerSettings()
        settings.metrics = try ReportSettings.metrics(config).answers
        let tokens = 1...DataSettings.longestSequence
        if let most = try config.lenientInt("eval_max_new_tokens", in: tokens) {
            settings.measuredTokens = most
        }
        if try config.lenientBool("generate_samples") ?? false {
            try settings.readSamples(config, tokens)
        }
        return settings.metrics.isEmpty && settings.shown == 0 ? nil : settings
    }

    private mutating func readSamples(
        _ config: ConfigCursor, _ tokens: ClosedRange<Int>
    ) throws(ConfigError) {
        shown = try config.lenientInt("num_generation_samples", in: 1...100) ?? 3
        shownForm.maxTokens = try config.lenientInt("generation_max_new_tokens", in: tokens) ?? 50
        shownForm.temperature =
            try config.lenientDouble("generation_temperature", in: 0...100) ?? 0.7
        if try config.lenientBool("generation_do_sample") == false { shownForm.temperature = 0 }
        shownForm.topP = try config.lenientDouble("generation_top_p", in: 0.000_001...1) ?? 1
        shownForm.topK = try config.lenientInt("generation_top_k", in: 0...Int(Int32.max)) ?? 0
        promptShare = try config.lenientDouble("generation_prompt_ratio", in: 0...1) ?? 0.5
    }

    /// What answering holds beside training.
    /// - Parameter longest: tokens of the longest example.
    func need(longest: Int, kvType: KVType) -> GenerationNeed {
        let most = max(metrics.isEmpty ? 0 : measuredTokens, shown == 0 ? 0 : shownForm.maxTokens)
        return GenerationNeed(
            contextLength: longest + most, sequences: Self.mostAtOnce,
            prefillChunk: min(longest + Self.mostAtOnce, 512), kvType: kvType)
    }
}

/// A prompt of the data with what a model answered before it was trained and after.
package struct AnswerSample: Sendable, Hashable {
    /// The prompt, special tokens included.
    package let prompt: String
    /// The answer of the data.
    package let reference: String
    /// The answer before the first step; nil in a run that went on from a checkpoint.
    package let before: String?
    /// The answer of what the run came to.
    package let after: String
}
