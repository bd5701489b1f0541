// SPDX-License-Identifier: Apache-2.0
// Sampling settings for requests that state none.
import EftConfig

/// What a request's settings are when it says nothing: the model's own recommendations, or OpenAI's.
package struct SamplingDefaults: Sendable, Hashable {
    /// As in `GenerationParameters`.
    package var temperature: Float = 1
    package var topP: Float = 1
    package var topK = 0
    package var minP: Float = 0
    package var repetitionPenalty: Float = 1
    /// Most tokens of an answer, when the model's author set a bound.
    package var maxTokens: Int?
    /// The seed; another one for each request when nil.
    package var seed: UInt64?
    /// What the model's author set of them, by the names of a request's fields.
    package private(set) var recommended: Set<String> = []

    /// OpenAI's.
    package init() {}

    /// The likeliest token, always.
    package static var greedy: SamplingDefaults {
        var defaults = SamplingDefaults()
        defaults.temperature = 0
        return defaults
    }

    /// Those of a chat with a model whose author recommends none.
    package static var chat: SamplingDefaults {
        var defaults = SamplingDefaults()
        defaults.temperature = 0.8
        defaults.topP = 0.95
        defaults.minP = 0.05
        return defaults
    }

    /// What a generation_config.json recommends; numbers out of range are passed over.
    package init(generationConfig node: ConfigNode) {
        guard case .object(let object) = node.value else { return }
        /// The number of a key, noted as recommended under the request's name for it.
        func number(_ key: String, _ least: Double, _ most: Double, as name: String? = nil)
            -> Float?
        {
            let value = Self.number(object[key], least, most)
            if value != nil { recommended.insert(name ?? key) }
            return value
        }
        temperature = number("temperature", 0, 2) ?? 1
        topP = number("top_p", 0.000001, 1) ?? 1
        topK = number("top_k", 0, 1e6).map { Int($0) } ?? 0
        minP = number("min_p", 0, 1) ?? 0
        repetitionPenalty = number("repetition_penalty", 0.01, 100) ?? 1
        maxTokens = number("max_new_tokens", 1, 1e7, as: "max_tokens").map { Int($0) }
    }

    /// What a generation_config.json recommends for chats: all of it when it has a word on which tokens are sampled,
    /// else `chat` with its penalty and bound.
    ///
    /// A recommendation is taken whole, since a temperature was tried together with what the author left out.
    package init(chatWith node: ConfigNode) {
        self.init(generationConfig: node)
        guard !Self.choosesTokens(node) else { return }
        let (penalty, bound) = (repetitionPenalty, maxTokens)
        self = .chat
        repetitionPenalty = penalty
        maxTokens = bound
    }

    /// Whether a generation_config.json has a word on which tokens are sampled.
    package static func choosesTokens(_ node: ConfigNode) -> Bool {
        guard case .object(let object) = node.value else { return false }
        return ["temperature", "top_p", "top_k", "min_p"].contains { object[$0]?.number != nil }
    }

    private static func number(_ node: ConfigNode?, _ least: Double, _ most: Double) -> Float? {
        guard let value = node?.number, value >= least, value <= most else { return nil }
        return Float(value)
    }
}
