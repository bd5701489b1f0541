// SPDX-License-Identifier: Apache-2.0
// What settings of a request may be.

/// Bounds that a model and its server put on the settings of a request.
package struct GenerationLimits: Sendable, Hashable {
    /// Tokens of the model; nil leaves token ids unchecked.
    package var vocabulary: Int?
    /// Most log-probabilities a token, beside the token's own; -1 for the whole vocabulary.
    package var maxLogprobs: Int
    /// Most stop strings.
    package var maxStopStrings: Int
    /// Most bad words.
    package var maxBadWords: Int
    /// Whether a request may ask for no token at all, to have its prompt scored.
    package var allowsNoTokens: Bool

    /// Makes limits.
    package init(
        vocabulary: Int? = nil, maxLogprobs: Int = 20, maxStopStrings: Int = 4,
        maxBadWords: Int = 128, allowsNoTokens: Bool = false
    ) {
        self.vocabulary = vocabulary
        self.maxLogprobs = maxLogprobs
        self.maxStopStrings = maxStopStrings
        self.maxBadWords = maxBadWords
        self.allowsNoTokens = allowsNoTokens
    }

    /// The most tokens to report for a request of all of them (-1).
    package var allLogprobs: Int {
        let most = maxLogprobs < 0 ? Int.max : maxLogprobs
        return min(most, vocabulary ?? most)
    }
}

extension GenerationParameters {
    /// Checks all ranges.
    /// - Throws: `GenerationError` naming the setting.
    package func validate(_ limits: GenerationLimits = GenerationLimits()) throws(GenerationError) {
        try validateLengths(limits)
        try validateDistribution()
        try validatePenalties()
        try validateTokens(limits)
        try validateText(limits)
        try validateLogprobs(limits)
    }

    /// Settings within their ranges as they act: small temperatures raised, biases clamped, -1 log-probabilities made
    /// a number.
    /// - Throws: `GenerationError` as `validate`.
    package func validated(
        _ limits: GenerationLimits
    ) throws(GenerationError) -> GenerationParameters {
        try validate(limits)
        var settled = self
        settled.temperature = effectiveTemperature
        settled.logitBias = logitBias.mapValues(Self.clampedBias)
        if logprobs == -1 { settled.logprobs = limits.allLogprobs }
        if promptLogprobs == -1 { settled.promptLogprobs = limits.allLogprobs }
        return settled
    }

    /// The temperature that acts.
    var effectiveTemperature: Float { temperature > 0 ? max(temperature, 0.01) : 0 }

    /// The bias that acts.
    static func clampedBias(_ bias: Float) -> Float { min(max(bias, -100), 100) }

    private func validateLengths(_ limits: GenerationLimits) throws(GenerationError) {
        let least = limits.allowsNoTokens ? 0 : 1
        try require(
            maxTokens >= least, "max_tokens", "must be at least \(least), found \(maxTokens)")
        try require(minTokens >= 0, "min_tokens", "must be 0 or more, found \(minTokens)")
        try require(
            minTokens <= maxTokens, "min_tokens",
            "must be at most max_tokens, which is \(maxTokens), found \(minTokens)")
    }

    private func validateDistribution() throws(GenerationError) {
        try require(
            temperature >= 0 && temperature <= 2, "temperature",
            "must lie in [0, 2], found \(temperature)")
        try require(topK >= -1, "top_k", "must be 0 or -1 (off) or more, found \(topK)")
        try require(topP > 0 && topP <= 1, "top_p", "must lie in (0, 1], found \(topP)")
        try require(minP >= 0 && minP <= 1, "min_p", "must lie in [0, 1], found \(minP)")
        try require(
            typicalP > 0 && typicalP <= 1, "typical_p", "must lie in (0, 1], found \(typicalP)")
        try require(
            xtc.probability >= 0 && xtc.probability <= 1, "xtc_probability",
            "must lie in [0, 1], found \(xtc.probability)")
        try require(
            xtc.threshold >= 0 && xtc.threshold <= 1, "xtc_threshold",
            "must lie in [0, 1], found \(xtc.threshold)")
    }

    private func validatePenalties() throws(GenerationError) {
        try require(
            repetitionPenalty > 0 && repetitionPenalty.isFinite, "repetition_penalty",
            "must be above 0 and finite, found \(repetitionPenalty)")
        try require(
            abs(presencePenalty) <= 2, "presence_penalty",
            "must lie in [-2, 2], found \(presencePenalty)")
        try require(
            abs(frequencyPenalty) <= 2, "frequency_penalty",
            "must lie in [-2, 2], found \(frequencyPenalty)")
        try require(
            dry.multiplier >= 0 && dry.multiplier.isFinite, "dry_multiplier",
            "must be 0 (off) or more and finite, found \(dry.multiplier)")
        try require(
            dry.base >= 1 && dry.base.isFinite, "dry_base",
            "must be at least 1 and finite, found \(dry.base)")
        try require(
            dry.allowedLength >= 1, "dry_allowed_length",
            "must be at least 1, found \(dry.allowedLength)")
        try require(dry.range >= -1, "dry_range", "must be -1 (all) or more, found \(dry.range)")
    }

    private func validateTokens(_ limits: GenerationLimits) throws(GenerationError) {
        func check(
            _ tokens: some Sequence<Int32>, _ parameter: String
        ) throws(GenerationError) {
            guard let vocabulary = limits.vocabulary else { return }
            let stray = tokens.first { $0 < 0 || Int($0) >= vocabulary }
            try require(
                stray == nil, parameter,
                "has token \(stray ?? 0), the vocabulary has \(vocabulary) tokens")
        }
        for (token, bias) in logitBias where !bias.isFinite {
            try require(
                false, "logit_bias", "must have finite numbers, found \(bias) for \(token)")
        }
        try check(logitBias.keys, "logit_bias")
        if let allowedTokenIDs {
            try require(
                !allowedTokenIDs.isEmpty, "allowed_token_ids",
                "must have a token; leave it out to allow all")
            try check(allowedTokenIDs, "allowed_token_ids")
        }
        try require(
            badWords.count <= limits.maxBadWords, "bad_words",
            "may have \(limits.maxBadWords) entries, found \(badWords.count)")
        for word in badWords {
            try require(!word.isEmpty, "bad_words", "must not have an empty word")
            try check(word, "bad_words")
        }
        try check(stopTokens, "stop_token_ids")
    }

    private func validateText(_ limits: GenerationLimits) throws(GenerationError) {
        try require(
            stop.count <= limits.maxStopStrings, "stop",
            "may have \(limits.maxStopStrings) strings, found \(stop.count)")
        try require(!stop.contains(""), "stop", "must not have an empty string")
    }

    private func validateLogprobs(_ limits: GenerationLimits) throws(GenerationError) {
        for (count, parameter) in [(logprobs, "logprobs"), (promptLogprobs, "prompt_logprobs")] {
            guard let count else { continue }
            try require(
                count >= -1, parameter, "must be 0 or more, or -1 for all, found \(count)")
            try require(
                count <= limits.maxLogprobs || limits.maxLogprobs < 0, parameter,
                "may be \(limits.maxLogprobs) at most, found \(count)")
        }
    }

    private func require(
        _ holds: Bool, _ parameter: String, _ message: @autoclosure () -> String
    ) throws(GenerationError) {
        if !holds { throw GenerationError("\(parameter) \(message())", parameter: parameter) }
    }
}
