// SPDX-License-Identifier: Apache-2.0
// Settings out of range are refused by name.
import EftGeneration
import Testing

@Suite struct GenerationParametersTests {
    private let limits = GenerationLimits(vocabulary: 10)

    private func refusal(
        _ limits: GenerationLimits? = nil, _ change: (inout GenerationParameters) -> Void
    ) -> String? {
        do throws(GenerationError) {
            try parameters(change).validate(limits ?? self.limits)
            return nil
        } catch {
            return error.parameter
        }
    }

    @Test func `settings out of range are refused by name`() {
        #expect(refusal { _ in } == nil)
        #expect(refusal { $0.maxTokens = 0 } == "max_tokens")
        #expect(refusal(GenerationLimits(allowsNoTokens: true)) { $0.maxTokens = 0 } == nil)
        #expect(refusal { $0.minTokens = -1 } == "min_tokens")
        #expect(refusal { ($0.minTokens, $0.maxTokens) = (5, 4) } == "min_tokens")
        for temperature: Float in [-0.1, 2.1, .nan, .infinity] {
            #expect(refusal { $0.temperature = temperature } == "temperature")
        }
        #expect(refusal { $0.topK = -2 } == "top_k")
        for p: Float in [-1, 1.1, .nan] {
            #expect(refusal { $0.topP = p } == "top_p")
            #expect(refusal { $0.typicalP = p } == "typical_p")
            #expect(refusal { $0.minP = p } == "min_p")
            #expect(refusal { $0.xtc.probability = p } == "xtc_probability")
            #expect(refusal { $0.xtc.threshold = p } == "xtc_threshold")
        }
        #expect(refusal { $0.topP = 0 } == "top_p")
        for penalty: Float in [0, -1, .nan, .infinity] {
            #expect(refusal { $0.repetitionPenalty = penalty } == "repetition_penalty")
        }
        for penalty: Float in [-2.1, 2.1, .nan] {
            #expect(refusal { $0.presencePenalty = penalty } == "presence_penalty")
            #expect(refusal { $0.frequencyPenalty = penalty } == "frequency_penalty")
        }
        #expect(refusal { $0.dry.multiplier = -1 } == "dry_multiplier")
        #expect(refusal { $0.dry.base = 0.9 } == "dry_base")
        #expect(refusal { $0.dry.allowedLength = 0 } == "dry_allowed_length")
        #expect(refusal { $0.dry.range = -2 } == "dry_range")
    }

    @Test func `token ids, strings and counts are checked`() {
        #expect(refusal { $0.logitBias = [10: 1] } == "logit_bias")
        #expect(refusal { $0.logitBias = [1: .nan] } == "logit_bias")
        #expect(refusal { $0.logitBias = [9: 1000] } == nil)
        #expect(refusal { $0.allowedTokenIDs = [] } == "allowed_token_ids")
        #expect(refusal { $0.allowedTokenIDs = [-1] } == "allowed_token_ids")
        #expect(refusal { $0.badWords = [[]] } == "bad_words")
        #expect(refusal { $0.badWords = [[1, 11]] } == "bad_words")
        #expect(refusal { $0.badWords = Array(repeating: [1], count: 129) } == "bad_words")
        #expect(refusal { $0.stopTokens = [10] } == "stop_token_ids")
        #expect(refusal(GenerationLimits()) { $0.stopTokens = [10] } == nil)
        #expect(refusal { $0.stop = ["a", ""] } == "stop")
        #expect(refusal { $0.stop = ["a", "b", "c", "d", "e"] } == "stop")
        #expect(refusal { $0.logprobs = -2 } == "logprobs")
        #expect(refusal { $0.logprobs = 21 } == "logprobs")
        #expect(refusal(GenerationLimits(maxLogprobs: -1)) { $0.logprobs = 21 } == nil)
        #expect(refusal { $0.promptLogprobs = 21 } == "prompt_logprobs")
    }

    @Test func `settings are settled to what acts`() throws {
        let settled = try parameters(temperature: 1e-6) {
            $0.logitBias = [1: -300, 2: 3]
            $0.logprobs = -1
            $0.promptLogprobs = 2
        }.validated(limits)
        #expect(settled.temperature == 0.01 && settled.logitBias == [1: -100, 2: 3])
        #expect(settled.logprobs == 10 && settled.promptLogprobs == 2)
        #expect(try parameters().validated(limits).temperature == 0)
    }

    @Test func `end tokens end a sequence unless they are ignored`() {
        var settings = parameters { ($0.stopTokens, $0.endTokens) = ([3], [3, 4]) }
        #expect(settings.end(with: 3) == .stopToken(3))
        #expect(settings.end(with: 4) == .endOfSequence && settings.end(with: 5) == nil)
        settings.ignoreEOS = true
        #expect(settings.end(with: 4) == nil && settings.end(with: 3) == .stopToken(3))
    }
}
