// SPDX-License-Identifier: Apache-2.0
// Chats in the OpenAPI document.
import EftConfig

/// `/v1/chat/completions` and its bodies.
enum ChatDescription {
    static let operations = [
        OpenAPIOperation(
            method: "POST", path: "/v1/chat/completions", id: "createChatCompletion",
            group: "text", summary: "The next message of a chat",
            description:
                "With stream: true the answer is events, each a ChatCompletionChunk or, amid the stream, a "
                + "Failure; the last one is [DONE].",
            request: "ChatCompletionRequest", answer: "The message, or a stream of its parts.",
            contents: [
                .json("ChatCompletion"),
                .text(
                    "Events whose data are ChatCompletionChunk, then [DONE].",
                    type: "text/event-stream"),
            ],
            failures: [404, 500, 503])
    ]

    static func schemas(
        _ facts: OpenAPIDocument.Facts
    ) -> [(String, OpenAPISchema)] {
        [
            ("ChatCompletionRequest", request(facts)), ("ChatMessage", message),
            ("ContentPart", part), ("Tool", tool), ("ToolCall", toolCall),
            ("ChatCompletion", completion), ("ChatCompletionChunk", chunk),
            ("ChatLogprobs", logprobs),
        ]
    }

    // MARK: Requests

    private static func request(_ facts: OpenAPIDocument.Facts) -> OpenAPISchema {
        let fields: [(String, OpenAPISchema)] = [
            (
                "max_completion_tokens",
                OpenAPISchema.integer(from: 1).orNull
                    .about("As far as the context holds it; comes before max_tokens.")
            ),
            ("max_tokens", OpenAPISchema.integer(from: 1).orNull),
            ("logprobs", OpenAPISchema.boolean.orNull.standard(false)),
            (
                "top_logprobs",
                OpenAPISchema.integer(-1...facts.logprobs).orNull
                    .about("Only together with logprobs: true; -1 for the most.")
            ),
            (
                "tool_choice",
                OpenAPISchema.any(of: [
                    .word(["none", "auto", "required"]),
                    .object(
                        required: ["function"],
                        ["function": .object(required: ["name"], ["name": .string])]),
                ]).orNull.about("Only none and auto where there are no tools.")
            ),
            ("parallel_tool_calls", OpenAPISchema.boolean.orNull.standard(true)),
            ("include_reasoning", OpenAPISchema.boolean.orNull.standard(true)),
            ("echo", OpenAPISchema.boolean.orNull.standard(false)),
        ]
        return .object(
            required: ["messages"],
            prompt(facts) + fields + GenerationDescription.fields(facts)
                + GenerationDescription.more(facts))
    }

    /// The fields that make a prompt, here and in `/tokenize`.
    static func prompt(_ facts: OpenAPIDocument.Facts) -> [(String, OpenAPISchema)] {
        let template =
            facts.trustsTemplates
            ? OpenAPISchema.string.orNull.about("Instead of the model's own.")
            : OpenAPISchema.null.about("Needs --trust-request-chat-template.")
        return [
            ("messages", .list(of: .named("ChatMessage"), from: 1)),
            ("tools", OpenAPISchema.list(of: .named("Tool"), from: 1, to: 128).orNull),
            ("documents", OpenAPISchema.list(of: .map(to: .anything)).orNull),
            (
                "add_generation_prompt",
                OpenAPISchema.boolean.orNull
                    .about("On, but for continue_final_message.")
            ),
            (
                "continue_final_message",
                OpenAPISchema.boolean.orNull.standard(false)
                    .about("Whether the last message is gone on with.")
            ),
            ("add_special_tokens", OpenAPISchema.boolean.orNull.standard(false)),
            ("chat_template_kwargs", OpenAPISchema.map(to: .anything).orNull),
            ("chat_template", template),
        ]
    }

    private static let message = OpenAPISchema.object(
        required: ["role", "content"],
        [
            "role": OpenAPISchema.string
                .about("As the model's template knows it: mostly system, user, assistant, tool."),
            "content": OpenAPISchema.any(of: [
                .string, .list(of: .named("ContentPart")), .null,
            ]),
            "reasoning": OpenAPISchema.string.orNull,
            "tool_calls": OpenAPISchema.list(of: .named("ToolCall")).orNull,
            "tool_call_id": OpenAPISchema.string.orNull,
        ])

    private static let part = OpenAPISchema.any(of: [
        .string,
        .object(required: ["type", "text"], ["type": .constant("text"), "text": .string]),
    ])

    private static let tool = OpenAPISchema.object(
        required: ["type", "function"],
        [
            "type": .constant("function"),
            "function": .object(
                required: ["name"],
                [
                    "name": OpenAPISchema.string(1...256).about("256 bytes at most."),
                    "description": OpenAPISchema.string.orNull,
                    "parameters": OpenAPISchema.map(to: .anything).orNull
                        .about("A JSON schema of the arguments."),
                ]),
        ])

    private static let toolCall = OpenAPISchema.object(
        required: ["id", "type", "function"],
        [
            "id": .string, "type": .constant("function"),
            "function": .object(
                required: ["name", "arguments"],
                ["name": .string, "arguments": OpenAPISchema.string.about("JSON text.")]),
        ])

    // MARK: Answers

    private static let completion = OpenAPISchema.object(
        required: ["id", "object", "created", "model", "choices", "usage"],
        [
            "id": .string, "object": .constant("chat.completion"), "created": .integer,
            "model": .string, "choices": .list(of: choice), "usage": .named("Usage"),
            "service_tier": .null, "system_fingerprint": .null,
            "prompt_logprobs": .named("PromptLogprobs"),
            "prompt_token_ids": .list(of: .integer),
        ])

    private static let choice = OpenAPISchema.object(
        required: ["index", "message", "logprobs", "finish_reason"],
        [
            "index": .integer(from: 0),
            "message": .object(
                required: ["role", "content"],
                [
                    "role": .constant("assistant"), "content": OpenAPISchema.string.orNull,
                    "reasoning": OpenAPISchema.string.orNull,
                    "tool_calls": .list(of: .named("ToolCall")),
                ]),
            "logprobs": .any(of: [.named("ChatLogprobs"), .null]),
            "finish_reason": .named("FinishReason"), "stop_reason": .named("StopReason"),
            "token_ids": .list(of: .integer),
        ])

    private static let chunk = OpenAPISchema.object(
        required: ["id", "object", "created", "model", "choices"],
        [
            "id": .string, "object": .constant("chat.completion.chunk"), "created": .integer,
            "model": .string, "choices": .list(of: chunkChoice), "usage": .named("Usage"),
        ])

    private static let chunkChoice = OpenAPISchema.object(
        required: ["index", "delta", "finish_reason"],
        [
            "index": .integer(from: 0), "delta": delta,
            "logprobs": .any(of: [.named("ChatLogprobs"), .null]),
            "finish_reason": .named("FinishReason"), "stop_reason": .named("StopReason"),
            "token_ids": .list(of: .integer),
        ])

    private static let delta = OpenAPISchema.object([
        "role": .constant("assistant"), "content": .string, "reasoning": .string,
        "tool_calls": .list(
            of: .object(
                required: ["index", "function"],
                [
                    "index": .integer(from: 0), "id": .string, "type": .constant("function"),
                    "function": .object(["name": .string, "arguments": .string]),
                ])),
    ])

    private static let logprobs: OpenAPISchema = {
        let entry: [(String, OpenAPISchema)] = [
            ("token", .string), ("logprob", .number), ("bytes", .list(of: .integer(0...255))),
        ]
        let top = OpenAPISchema.object(required: ["token", "logprob", "bytes"], entry)
        let whole = OpenAPISchema.object(
            required: ["token", "logprob", "bytes", "top_logprobs"],
            entry + [("top_logprobs", .list(of: top))])
        return .object(
            required: ["content"], ["content": .list(of: whole), "refusal": .null])
    }()
}
