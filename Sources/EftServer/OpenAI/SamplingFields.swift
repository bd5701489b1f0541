// SPDX-License-Identifier: Apache-2.0
// The settings of generation in a request, under OpenAI's and vLLM's names.
import EftConfig
import EftGeneration

/// Bounds on requests.
package struct RequestLimits: Sendable, Hashable {
    /// Most answers to a prompt.
    package var samples = 128
    /// Most prompts of a request.
    package var prompts = 1024
    /// Most answers to all prompts of a request.
    package var answers = 2048
    /// Most bytes of a text, at least; a long context allows for more.
    package var textBytes = 1 << 20
    /// Most log-probabilities a token; -1 for the whole vocabulary.
    package var logprobs = 20
    /// Most bytes of a stop string.
    package var stopBytes = 256
    /// Most entries of `logit_bias`.
    package var biases = 1024
    /// Most tokens of all bad words.
    package var badWordTokens = 1024
    /// Most characters of `cache_salt`.
    package var saltLength = 128

    /// The defaults.
    package init() {}
}

extension RequestFields {
    /// Fields that vLLM once had and silently ignores today, so that the output would not be what was asked for.
    private static let gone = [
        "guided_json": "structured_outputs.json", "guided_regex": "structured_outputs.regex",
        "guided_choice": "structured_outputs.choice",
        "guided_grammar": "structured_outputs.grammar", "best_of": "n",
        "guided_decoding_backend": "structured_outputs",
        "guided_whitespace_pattern": "structured_outputs.whitespace_pattern",
    ]

    /// Refuses fields that would be passed over though they change the output.
    func refuseGone() throws(HTTPFailure) {
        for (key, instead) in Self.gone where self[key] != nil {
            throw failure(key, "is no longer served; use \(instead)")
        }
        for key in ["prompt_embeds", "thinking_token_budget", "repetition_detection"]
        where self[key] != nil {
            throw failure(key, "is not served here")
        }
    }

    /// Settings common to all ways to ask for text; `maxTokens` and log-probabilities are the caller's.
    /// - Parameter specified: what holds where the request says nothing; the model's defaults when nil.
    func parameters(
        _ model: ServedModel, defaults specified: SamplingDefaults? = nil
    ) throws(HTTPFailure) -> GenerationParameters {
        let defaults = specified ?? model.options.defaults
        var parameters = GenerationParameters(
            temperature: try float("temperature") ?? defaults.temperature,
            topK: try int("top_k") ?? defaults.topK,
            topP: try float("top_p") ?? defaults.topP,
            minP: try float("min_p") ?? defaults.minP,
            repetitionPenalty: try float("repetition_penalty") ?? defaults.repetitionPenalty)
        guard parameters.temperature >= 0, parameters.temperature <= 2 else {
            throw failure("temperature", "must lie in [0, 2]")
        }
        parameters.presencePenalty = try float("presence_penalty") ?? 0
        parameters.frequencyPenalty = try float("frequency_penalty") ?? 0
        parameters.typicalP = try float("typical_p") ?? 1
        parameters.minTokens = try int("min_tokens") ?? 0
        parameters.ignoreEOS = try bool("ignore_eos") ?? false
        parameters.skipSpecialTokens = try bool("skip_special_tokens") ?? true
        parameters.includeStopString = try bool("include_stop_str_in_output") ?? false
        parameters.endTokens = Set(model.tokenizer.eosIDs)
        parameters.stopTokens = Set(try tokens("stop_token_ids") ?? [])
        parameters.stop = try stopStrings(model.options.limits)
        parameters.seed = try seed(defaults.seed)
        parameters.logitBias = try logitBias(model.options.limits)
        parameters.allowedTokenIDs = try tokens("allowed_token_ids")
        parameters.badWords = try badWords(model)
        try readDRY(into: &parameters, model)
        parameters.xtc.probability = try float("xtc_probability") ?? 0
        parameters.xtc.threshold = try float("xtc_threshold") ?? 0.1
        return parameters
    }

    private func stopStrings(_ limits: RequestLimits) throws(HTTPFailure) -> [String] {
        let stop = try strings("stop") ?? []
        guard stop.allSatisfy({ $0.utf8.count <= limits.stopBytes }) else {
            throw failure("stop", "holds a string of more than \(limits.stopBytes) bytes")
        }
        return stop
    }

    /// -1 and no seed at all are a random one.
    private func seed(_ usual: UInt64?) throws(HTTPFailure) -> UInt64 {
        guard let seed = try int("seed"), seed != -1 else {
            return usual ?? UInt64.random(in: 0 ... .max)
        }
        return UInt64(bitPattern: Int64(seed))
    }

    private func logitBias(_ limits: RequestLimits) throws(HTTPFailure) -> [Int32: Float] {
        guard let fields = try fields("logit_bias") else { return [:] }
        guard fields.object.count <= limits.biases else {
            throw failure("logit_bias", "has more than \(limits.biases) entries")
        }
        var biases: [Int32: Float] = [:]
        for entry in fields.object.entries {
            guard let id = Int32(entry.key), id >= 0 else {
                throw failure("logit_bias", "has a key that is no token id")
            }
            guard let bias = entry.node.number, bias.isFinite else {
                throw failure("logit_bias", "has a value that is no number")
            }
            biases[id] = Float(min(max(bias, -100), 100))
        }
        return biases
    }

    /// Each word as it stands at the beginning of a text and within one.
    private func badWords(_ model: ServedModel) throws(HTTPFailure) -> [[Int32]] {
        let words = try strings("bad_words") ?? []
        guard words.count <= 128 else { throw failure("bad_words", "has more than 128 entries") }
        var sequences: [[Int32]] = []
        var total = 0
        for word in words {
            guard !word.isEmpty else { throw failure("bad_words", "holds an empty string") }
            var forms: [[Int32]] = []
            for form in [word, " " + word] {
                let ids = try model.encode(form, addSpecialTokens: false)
                if !ids.isEmpty, !forms.contains(ids) { forms.append(ids) }
            }
            total += forms.reduce(0) { $0 + $1.count }
            guard total <= model.options.limits.badWordTokens else {
                throw failure(
                    "bad_words",
                    "come to more than \(model.options.limits.badWordTokens) tokens")
            }
            sequences += forms
        }
        return sequences
    }

    private func readDRY(
        into parameters: inout GenerationParameters, _ model: ServedModel
    ) throws(HTTPFailure) {
        parameters.dry.multiplier = try float("dry_multiplier") ?? 0
        guard parameters.dry.multiplier != 0 else { return }
        parameters.dry.base = try float("dry_base") ?? 1.75
        parameters.dry.allowedLength = try int("dry_allowed_length") ?? 2
        parameters.dry.range = try int("dry_penalty_last_n") ?? -1
        let breakers = try strings("dry_sequence_breakers") ?? ["\n", ":", "\"", "*"]
        guard breakers.count <= 64, breakers.allSatisfy({ $0.utf8.count <= 64 }) else {
            throw failure("dry_sequence_breakers", "are more than 64, or longer than 64 bytes")
        }
        for text in breakers {
            if let id = try model.encode(text, addSpecialTokens: false).last {
                parameters.dry.sequenceBreakers.insert(id)
            }
        }
    }

    /// Checks that an answer may be as long as it must be; a context that is too short for it is another matter.
    func checkLeast(
        _ parameters: GenerationParameters, most: Int
    ) throws(HTTPFailure) {
        guard parameters.minTokens <= most else {
            throw failure(
                "min_tokens", "is \(parameters.minTokens), more than the \(most) of max_tokens")
        }
    }

    /// How many answers to each prompt.
    func samples(
        _ model: ServedModel, _ parameters: GenerationParameters
    ) throws(HTTPFailure) -> Int {
        let count = try int("n") ?? 1
        guard (1...model.options.limits.samples).contains(count) else {
            throw failure("n", "must lie in [1, \(model.options.limits.samples)]")
        }
        guard count == 1 || parameters.temperature > 0 else {
            throw failure("n", "must be 1 when the temperature is 0: all answers would be the same")
        }
        return count
    }

    /// What a stream is to tell of its use of tokens.
    func streamOptions(
        _ model: ServedModel
    ) throws(HTTPFailure) -> (isStream: Bool, usage: Bool, always: Bool) {
        let isStream = try bool("stream") ?? false
        let isUsual = model.options.answers.includesUsage
        guard let options = try fields("stream_options") else { return (isStream, isUsual, false) }
        guard isStream else {
            throw failure("stream_options", "has a meaning only together with stream")
        }
        let asked = try options.bool("include_usage") ?? false
        let usage = isUsual || asked
        let isContinuous = try options.bool("continuous_usage_stats") ?? false
        return (true, usage, usage && isContinuous)
    }

    /// A secret that keeps the request's pages apart.
    func cacheSalt(_ limits: RequestLimits) throws(HTTPFailure) -> String {
        guard let salt = try string("cache_salt") else { return "" }
        guard !salt.isEmpty, salt.unicodeScalars.count <= limits.saltLength,
            !salt.utf8.contains(where: { $0 < 32 })
        else {
            throw failure(
                "cache_salt",
                "must have 1 to \(limits.saltLength) characters, none of them a control character")
        }
        return salt
    }
}
