// SPDX-License-Identifier: Apache-2.0
// Completions and embeddings of prompts in the OpenAPI document.
import EftConfig

/// `/v1/completions`, `/generate`, `/v1/embeddings` and their bodies.
enum CompletionDescription {
    static let operations = [
        OpenAPIOperation(
            method: "POST", path: "/v1/completions", id: "createCompletion", group: "text",
            summary: "Continuations of prompts",
            description:
                "With stream: true the answer is events, each a CompletionChunk or, amid the stream, a "
                + "Failure; the last one is [DONE].",
            request: "CompletionRequest", answer: "The texts, or a stream of their parts.",
            contents: [
                .json("Completion"),
                .text(
                    "Events whose data are CompletionChunk, then [DONE].", type: "text/event-stream"
                ),
            ],
            failures: [404, 500, 503]),
        OpenAPIOperation(
            method: "POST", path: "/generate", id: "generate", group: "text",
            summary: "Prompts with their continuations",
            description:
                "With stream: true the answer is lines of JSON, each with the whole texts so far.",
            request: "GenerateRequest", answer: "The texts, each behind its prompt.",
            contents: [
                .json("GeneratedTexts"),
                .text("Lines, each a GeneratedTexts.", type: "application/x-ndjson"),
            ],
            failures: [404, 500, 503]),
        OpenAPIOperation(
            method: "POST", path: "/v1/embeddings", id: "createEmbedding", group: "text",
            summary: "Vectors of texts, of length 1", request: "EmbeddingRequest",
            answer: "A vector for each text.", contents: [.json("Embeddings")],
            failures: [404, 500, 503]),
    ]

    static func schemas(_ facts: OpenAPIDocument.Facts) -> [(String, OpenAPISchema)] {
        [
            ("Prompts", prompts(facts)), ("CompletionRequest", request(facts)),
            ("Completion", completion), ("CompletionChunk", chunk),
            ("CompletionLogprobs", logprobs), ("GenerateRequest", generate(facts)),
            (
                "GeneratedTexts",
                .object(required: ["text"], ["text": .list(of: .string, from: 1)])
            ),
            ("EmbeddingRequest", embedding(facts)), ("Embeddings", embeddings),
        ]
    }

    // MARK: Requests

    private static func prompts(_ facts: OpenAPIDocument.Facts) -> OpenAPISchema {
        let (most, token) = (facts.limits.prompts, GenerationDescription.token(facts))
        return OpenAPISchema.any(of: [
            .string, .list(of: .string, from: 1, to: most), .list(of: token, from: 1),
            .list(of: .list(of: token, from: 1), from: 1, to: most),
        ]).about("A text, texts, token ids, or lists of token ids.")
    }

    private static func request(_ facts: OpenAPIDocument.Facts) -> OpenAPISchema {
        let fields: [(String, OpenAPISchema)] = [
            ("prompt", .named("Prompts")),
            (
                "max_tokens",
                OpenAPISchema.integer(from: 0).orNull.standard(16)
                    .about("0 only together with echo; as far as the context holds it.")
            ),
            (
                "logprobs",
                OpenAPISchema.integer(-1...facts.logprobs).orNull
                    .about("Likeliest tokens that are told beside each one; -1 for the most.")
            ),
            (
                "echo",
                OpenAPISchema.boolean.orNull.standard(false)
                    .about("Whether the texts begin with their prompts.")
            ),
            ("suffix", OpenAPISchema.string.with("maxLength", 0).orNull.about("Not served.")),
            ("add_special_tokens", OpenAPISchema.boolean.orNull.standard(true)),
            (
                "use_beam_search",
                OpenAPISchema.boolean.orNull.standard(false)
                    .about(
                        "With n beams, 32 at most; not together with stream, echo or structured output."
                    )
            ),
            ("length_penalty", OpenAPISchema.number.orNull.standard(1)),
        ]
        return .object(
            required: ["prompt"],
            fields + GenerationDescription.fields(facts) + GenerationDescription.more(facts))
    }

    private static func generate(_ facts: OpenAPIDocument.Facts) -> OpenAPISchema {
        .object(
            required: ["prompt"],
            [
                ("prompt", .string),
                ("max_tokens", OpenAPISchema.integer(from: 1).orNull.standard(16)),
                ("stream", OpenAPISchema.boolean.orNull.standard(false)),
                (
                    "use_beam_search",
                    OpenAPISchema.boolean.with("const", false).about("At /v1/completions only.")
                ),
            ] + GenerationDescription.fields(facts) + GenerationDescription.queueing(facts))
    }

    private static func embedding(_ facts: OpenAPIDocument.Facts) -> OpenAPISchema {
        .object(
            required: ["input"],
            [
                "model": GenerationDescription.model(facts), "input": .named("Prompts"),
                "encoding_format": OpenAPISchema.word(["float", "base64"]).orNull
                    .standard("float"),
                "dimensions": OpenAPISchema.integer(from: 1).orNull
                    .about("Only the first ones of each vector."),
                "pooling": OpenAPISchema.word(["mean", "last"]).orNull.standard("mean"),
                "add_special_tokens": OpenAPISchema.boolean.orNull.standard(true),
                "cache_salt": OpenAPISchema.string(1...facts.limits.saltLength)
                    .with("pattern", "^[^\\u0000-\\u001f]*$").orNull,
            ])
    }

    // MARK: Answers

    private static let completion = OpenAPISchema.object(
        required: ["id", "object", "created", "model", "choices", "usage"],
        [
            "id": .string, "object": .constant("text_completion"), "created": .integer,
            "model": .string, "choices": .list(of: choice), "usage": .named("Usage"),
            "service_tier": .null, "system_fingerprint": .null,
        ])

    private static let choice = OpenAPISchema.object(
        required: ["index", "text", "logprobs", "finish_reason"],
        [
            "index": .integer(from: 0), "text": .string,
            "logprobs": .any(of: [.named("CompletionLogprobs"), .null]),
            "finish_reason": .named("FinishReason"), "stop_reason": .named("StopReason"),
            "prompt_logprobs": .named("PromptLogprobs"),
            "cumulative_logprob": OpenAPISchema.number.about("Of a beam search."),
            "token_ids": .list(of: .integer), "prompt_token_ids": .list(of: .integer),
        ])

    private static let chunk = OpenAPISchema.object(
        required: ["id", "object", "created", "model", "choices"],
        [
            "id": .string, "object": .constant("text_completion"), "created": .integer,
            "model": .string,
            "choices": .list(
                of: .object(
                    required: ["index", "text", "finish_reason"],
                    [
                        "index": .integer(from: 0), "text": .string,
                        "logprobs": .named("CompletionLogprobs"),
                        "finish_reason": .named("FinishReason"),
                        "stop_reason": .named("StopReason"), "token_ids": .list(of: .integer),
                    ])),
            "usage": .named("Usage"),
        ])

    private static let logprobs = OpenAPISchema.object(
        required: ["text_offset", "token_logprobs", "tokens", "top_logprobs"],
        [
            "text_offset": .list(of: .integer(from: 0)),
            "token_logprobs": .list(of: OpenAPISchema.number.orNull),
            "tokens": .list(of: .string),
            "top_logprobs": .list(of: OpenAPISchema.map(to: .number).orNull),
        ])

    private static let embeddings = OpenAPISchema.object(
        required: ["id", "object", "created", "model", "data", "usage"],
        [
            "id": .string, "object": .constant("list"), "created": .integer, "model": .string,
            "data": .list(
                of: .object(
                    required: ["object", "index", "embedding"],
                    [
                        "object": .constant("embedding"), "index": .integer(from: 0),
                        "embedding": OpenAPISchema.any(of: [.list(of: .number), .string])
                            .about("Numbers, or base64 of 32-bit floats, the low byte first."),
                    ])),
            "usage": .named("Usage"),
        ])
}
