// SPDX-License-Identifier: Apache-2.0
// The settings of generation, and what all answers have in common.
import EftConfig

/// Schemas that chats and completions share.
enum GenerationDescription {
    typealias Facts = OpenAPIDocument.Facts
    typealias Fields = [(String, OpenAPISchema)]

    // MARK: Requests

    /// Fields of every request that asks for text.
    static func fields(_ facts: Facts) -> Fields {
        [("model", model(facts))] + sampling(facts) + penalties + tokens(facts) + ends(facts)
            + form + refused
    }

    /// A model's name, or nothing for the base.
    static func model(_ facts: Facts) -> OpenAPISchema {
        let about = "The base or an adapter; the base when it is left out."
        guard !facts.models.isEmpty else { return OpenAPISchema.string.orNull.about(about) }
        return OpenAPISchema.word(facts.models).orNull.about(about)
    }

    /// A token id.
    static func token(_ facts: Facts) -> OpenAPISchema { .integer(0...(facts.vocabulary - 1)) }

    private static func sampling(_ facts: Facts) -> Fields {
        let defaults = facts.defaults
        return [
            (
                "temperature",
                OpenAPISchema.number(0...2).orNull.standard(real(defaults.temperature))
                    .about("0 takes the likeliest token always.")
            ),
            (
                "top_p",
                OpenAPISchema.number(above: 0, to: 1).orNull.standard(real(defaults.topP))
                    .about("Only the likeliest tokens that together reach this probability.")
            ),
            (
                "top_k",
                OpenAPISchema.integer(from: -1).orNull.standard(ConfigNode(defaults.topK))
                    .about("Only the k likeliest tokens; 0 or -1 for all.")
            ),
            (
                "min_p",
                OpenAPISchema.number(0...1).orNull.standard(real(defaults.minP))
                    .about("Only tokens at least this fraction as likely as the likeliest.")
            ),
            (
                "typical_p",
                OpenAPISchema.number(above: 0, to: 1).orNull.standard(1)
                    .about("Locally typical sampling.")
            ),
            ("xtc_probability", OpenAPISchema.number(0...1).orNull.standard(0)),
            ("xtc_threshold", OpenAPISchema.number(0...1).orNull.standard(0.1)),
            (
                "seed",
                OpenAPISchema.integer(Int.min...Int.max).orNull
                    .about("Of the samples; a random one when left out, null or -1.")
            ),
            (
                "n",
                OpenAPISchema.integer(1...facts.limits.samples).orNull.standard(1)
                    .about(
                        "Answers to each prompt, \(facts.limits.answers) to all at most; more than one "
                            + "only with a temperature above 0.")
            ),
        ]
    }

    private static let penalties: Fields = [
        (
            "repetition_penalty",
            OpenAPISchema.number(above: 0, to: 1e38).orNull
                .about("Divides logits of tokens that occur in the prompt or the answer.")
        ),
        ("presence_penalty", OpenAPISchema.number(-2...2).orNull.standard(0)),
        ("frequency_penalty", OpenAPISchema.number(-2...2).orNull.standard(0)),
        (
            "dry_multiplier",
            OpenAPISchema.number(0...1e38).orNull.standard(0)
                .about("Discourages what would lengthen a repetition; 0 for not at all.")
        ),
        ("dry_base", OpenAPISchema.number(1...1e38).orNull.standard(1.75)),
        ("dry_allowed_length", OpenAPISchema.integer(from: 1).orNull.standard(2)),
        (
            "dry_penalty_last_n",
            OpenAPISchema.integer(from: -1).orNull.standard(-1)
                .about("Last tokens that are looked at; -1 for all.")
        ),
        (
            "dry_sequence_breakers",
            OpenAPISchema.any(of: [
                .string(0...64), .list(of: .string(0...64), to: 64),
            ]).orNull.about("At most 64 texts of 64 bytes each.")
        ),
    ]

    private static func tokens(_ facts: Facts) -> Fields {
        let limits = facts.limits
        let digits = OpenAPISchema.string.with("pattern", "^[0-9]{1,9}$").node
        return [
            (
                "logit_bias",
                OpenAPISchema.map(to: .number).with("propertyNames", digits)
                    .with("maxProperties", ConfigNode(limits.biases)).orNull
                    .about(
                        "Added to the logits of token ids below \(facts.vocabulary); what lies beyond ±100 is ±100."
                    )
            ),
            (
                "allowed_token_ids",
                OpenAPISchema.list(of: token(facts), from: 1).orNull
                    .about("The only tokens that may be sampled.")
            ),
            (
                "bad_words",
                OpenAPISchema.any(of: [
                    OpenAPISchema.string.with("minLength", 1),
                    .list(
                        of: OpenAPISchema.string.with("minLength", 1),
                        to: facts.generation.maxBadWords),
                ]).orNull
                    .about("Texts that may not occur: \(limits.badWordTokens) tokens at most.")
            ),
        ]
    }

    private static func ends(_ facts: Facts) -> Fields {
        let stop = OpenAPISchema.string(1...facts.limits.stopBytes)
        return [
            (
                "stop",
                OpenAPISchema.any(of: [
                    stop, .list(of: stop, to: facts.generation.maxStopStrings),
                ]).orNull
                    .about("Texts that end the answer, of \(facts.limits.stopBytes) bytes at most.")
            ),
            ("stop_token_ids", OpenAPISchema.list(of: token(facts)).orNull),
            ("include_stop_str_in_output", OpenAPISchema.boolean.orNull.standard(false)),
            ("min_tokens", OpenAPISchema.integer(from: 0).orNull.standard(0)),
            ("ignore_eos", OpenAPISchema.boolean.orNull.standard(false)),
            ("skip_special_tokens", OpenAPISchema.boolean.orNull.standard(true)),
        ]
    }

    private static let form: Fields = [
        (
            "response_format",
            OpenAPISchema.any(of: [.named("ResponseFormat"), .null])
                .about("Excludes structured_outputs.")
        ),
        (
            "structured_outputs",
            OpenAPISchema.any(of: [.named("StructuredOutputs"), .null])
                .about("Excludes response_format.")
        ),
    ]

    /// Fields of other servers that would change the output and are not served.
    private static let refused: Fields = [
        "guided_json", "guided_regex", "guided_choice", "guided_grammar", "best_of",
        "guided_decoding_backend", "guided_whitespace_pattern", "prompt_embeds",
        "thinking_token_budget", "repetition_detection",
    ].map { ($0, OpenAPISchema.null.about("Not served.").with("deprecated", true)) }

    /// Who comes first, and with whom what is cached is shared.
    static func queueing(_ facts: Facts) -> Fields {
        let priority = facts.hasPriorities ? OpenAPISchema.integer : .integer(0...0)
        return [
            (
                "priority",
                priority.orNull.standard(0)
                    .about("Lower comes first; with --scheduling-policy priority.")
            ),
            (
                "cache_salt",
                OpenAPISchema.string(1...facts.limits.saltLength)
                    .with("pattern", "^[^\\u0000-\\u001f]*$").orNull
                    .about("Keeps the request's part of the cache apart from others'.")
            ),
        ]
    }

    /// Fields that `/generate` does not have.
    static func more(_ facts: Facts) -> Fields {
        [
            ("stream", OpenAPISchema.boolean.orNull.standard(false)),
            (
                "stream_options",
                OpenAPISchema.object([
                    "include_usage": OpenAPISchema.boolean.orNull,
                    "continuous_usage_stats": OpenAPISchema.boolean.orNull,
                ]).orNull.about("Only together with stream.")
            ),
            (
                "prompt_logprobs",
                OpenAPISchema.integer(-1...facts.logprobs).orNull
                    .about("Log-probabilities a token of the prompt; not together with stream.")
            ),
            ("return_tokens_as_token_ids", OpenAPISchema.boolean.orNull.standard(false)),
            ("return_token_ids", OpenAPISchema.boolean.orNull.standard(false)),
        ] + queueing(facts)
    }

    private static func real(_ value: Float) -> ConfigNode {
        // Rounded as a person would write it: 0.7, not 0.699999988.
        ConfigNode((Double(value) * 1e6).rounded() / 1e6)
    }

    // MARK: Shared schemas

    static func schemas(_ facts: Facts) -> Fields {
        [
            ("ResponseFormat", responseFormat), ("StructuredOutputs", structuredOutputs),
            ("Usage", usage), ("FinishReason", finishReason), ("StopReason", stopReason),
            ("PromptLogprobs", promptLogprobs),
        ]
    }

    private static let responseFormat = OpenAPISchema.any(of: [
        .object(required: ["type"], ["type": .word(["text", "json_object"])]),
        .object(
            required: ["type", "json_schema"],
            [
                "type": .constant("json_schema"),
                "json_schema": .object(
                    required: ["schema"],
                    [
                        "schema": OpenAPISchema.any(of: [.map(to: .anything), .boolean]),
                        "name": .anything,
                        "strict": .anything,
                    ]),
            ]),
    ])

    private static let structuredOutputs: OpenAPISchema = {
        let kinds: [(String, OpenAPISchema)] = [
            (
                "json",
                OpenAPISchema.any(of: [.map(to: .anything), .string])
                    .about("A JSON schema, or the text of one.")
            ),
            ("regex", .string),
            ("choice", .any(of: [.string, .list(of: .string, from: 1)])),
            ("grammar", OpenAPISchema.string.about("In EBNF.")),
            ("json_object", OpenAPISchema.boolean.with("const", true)),
        ]
        let others: [(String, OpenAPISchema)] = [
            ("structural_tag", OpenAPISchema.null.about("Not served.")),
            ("disable_any_whitespace", OpenAPISchema.boolean.orNull),
            ("whitespace_pattern", OpenAPISchema.string.orNull),
            ("disable_additional_properties", OpenAPISchema.boolean.orNull),
        ]
        // One of the kinds, and nothing in the fields of the others.
        return OpenAPISchema.any(
            of: kinds.map { kind in
                let absent = kinds.filter { $0.0 != kind.0 }.map { ($0.0, OpenAPISchema.null) }
                return OpenAPISchema.object(required: [kind.0], [kind] + absent + others)
            }
        ).about("Exactly one of json, regex, choice, grammar and json_object.")
    }()

    private static let usage = OpenAPISchema.object(
        required: ["prompt_tokens", "completion_tokens", "total_tokens"],
        [
            "prompt_tokens": .integer(from: 0),
            "completion_tokens": .integer(from: 0),
            "total_tokens": .integer(from: 0),
            "prompt_tokens_details": .object([
                "cached_tokens": OpenAPISchema.integer(from: 0)
                    .about("Tokens of the prompt that were found in the cache.")
            ]),
            "completion_tokens_details": .object(["reasoning_tokens": .integer(from: 0)]),
        ])

    private static let finishReason = OpenAPISchema.word([
        "stop", "length", "tool_calls", "abort", "error",
    ]).orNull

    private static let stopReason = OpenAPISchema.any(of: [.string, .integer, .null])
        .about("The stop string or the stop token that ended the answer.")

    private static let promptLogprobs = OpenAPISchema.list(
        of: OpenAPISchema.map(
            to: .object([
                "logprob": .number, "rank": .integer(from: 1), "decoded_token": .string,
            ])
        ).orNull
    ).orNull.about("For each token of the prompt but the first, the likeliest by their ids.")
}
