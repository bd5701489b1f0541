// SPDX-License-Identifier: Apache-2.0
// How a text is to be continued.
import EftConfig
import EftGeneration

/// How a text is to be continued; nil takes the model's own recommendation where it has one.
public struct GenerationOptions: Sendable, Hashable {
    /// Most new tokens; as many as the context holds when nil.
    public var maxTokens: Int?
    /// 0 always takes the likeliest token.
    public var temperature: Double?
    /// Only the likeliest tokens that together reach this probability; 1 for all.
    public var topP: Double?
    /// Only the k likeliest tokens; 0 for all.
    public var topK: Int?
    /// Only tokens at least this fraction as likely as the likeliest; 0 for all.
    public var minP: Double?
    /// Above 1 discourages tokens that are in the text already.
    public var repetitionPenalty: Double?
    /// Above 0 discourages tokens of the answer.
    public var presencePenalty = 0.0
    /// Above 0 discourages tokens of the answer, as often as they occur.
    public var frequencyPenalty = 0.0
    /// The same seed gives the same answer; a random one when nil.
    public var seed: UInt64?
    /// Texts that end the answer; they are not part of it.
    public var stop: [String] = []
    /// Whether to go on after the model's end token.
    public var ignoresEndOfText = false
    /// What the answer must be; nil for any text.
    public var format: OutputFormat?
    /// The name of the adapter that acts on the request; nil for the base alone.
    public var adapter: String?

    /// The defaults.
    public init(maxTokens: Int? = nil, temperature: Double? = nil, seed: UInt64? = nil) {
        self.maxTokens = maxTokens
        self.temperature = temperature
        self.seed = seed
    }

    /// Always the likeliest token.
    public static let greedy = GenerationOptions(temperature: 0)
}

/// What an answer must be. It is enforced token by token, not asked for.
public enum OutputFormat: Sendable, Hashable {
    /// Any JSON object.
    case jsonObject
    /// A JSON document that this JSON Schema accepts.
    case jsonSchema(String)
    /// A text that this regular expression matches as a whole.
    case regex(String)
    /// One of these texts.
    case choice([String])
    /// A text of this grammar, in EBNF (`root ::= ...`) or Lark's notation (`start: ...`).
    case grammar(String)

    /// - Throws: `ConfigError` for a schema that is no JSON.
    func specification() throws -> ConstraintSpecification {
        switch self {
        case .jsonObject: .jsonObject
        case .jsonSchema(let text):
            .jsonSchema(
                try JSONParser.parse(Array(text.utf8), file: "the schema", maximumDepth: 64))
        case .regex(let pattern): .regex(pattern)
        case .choice(let texts): .choice(texts)
        case .grammar(let text): .grammar(text)
        }
    }
}
