// SPDX-License-Identifier: Apache-2.0
// Ollama's routes in the OpenAPI document.
import EftConfig

/// `/api/...` and its bodies.
enum OllamaDescription {
    static let operations = [
        text(
            "/api/chat", "ollamaChat", "The next message of a chat",
            "Streams lines of JSON unless stream is false.", "OllamaChatRequest"),
        text(
            "/api/generate", "ollamaGenerate", "The continuation of a prompt",
            "Streams lines of JSON unless stream is false.", "OllamaGenerateRequest"),
        post(
            "/api/embed", "ollamaEmbed", "Vectors of texts", "OllamaEmbedRequest",
            "The vectors."),
        post(
            "/api/embeddings", "ollamaEmbeddings", "The vector of a text",
            "OllamaEmbeddingsRequest", "The vector."),
        post(
            "/api/show", "ollamaShow", "What a model is made of and can do",
            "OllamaShowRequest", "What is known of it."),
        get("/api/tags", "ollamaTags", "The models that are served", "The models."),
        get("/api/ps", "ollamaPs", "The models in memory", "The models."),
        get("/api/version", "ollamaVersion", "The version of the interface", "The version."),
    ]

    private static func text(
        _ path: String, _ id: String, _ summary: String, _ description: String, _ request: String
    ) -> OpenAPIOperation {
        OpenAPIOperation(
            method: "POST", path: path, id: id, group: "ollama", summary: summary,
            description: description, request: request, answer: "The text and its numbers.",
            contents: [
                .json("OllamaObject"),
                OpenAPIOperation.Content(
                    type: "application/x-ndjson",
                    schema: OpenAPISchema.string.about("An object in each line.")),
            ], failures: [404, 503], isOllama: true)
    }

    private static func post(
        _ path: String, _ id: String, _ summary: String, _ request: String, _ answer: String
    ) -> OpenAPIOperation {
        OpenAPIOperation(
            method: "POST", path: path, id: id, group: "ollama", summary: summary,
            request: request, answer: answer, contents: [.json("OllamaObject")],
            failures: [404], isOllama: true)
    }

    private static func get(
        _ path: String, _ id: String, _ summary: String, _ answer: String
    ) -> OpenAPIOperation {
        OpenAPIOperation(
            method: "GET", path: path, id: id, group: "ollama", summary: summary, answer: answer,
            contents: [.json("OllamaObject")], isOllama: true)
    }

    static func schemas(_ facts: OpenAPIDocument.Facts) -> [(String, OpenAPISchema)] {
        let name: [(String, OpenAPISchema)] = [
            (
                "model",
                OpenAPISchema.string.orNull
                    .about("A model or adapter, with or without the tag latest.")
            )
        ]
        return [
            ("OllamaObject", .map(to: .anything)),
            ("OllamaFailure", .object(required: ["error"], ["error": .string])),
            (
                "OllamaChatRequest",
                .object(
                    name + common(facts) + [
                        ("messages", OpenAPISchema.list(of: message).orNull),
                        ("tools", OpenAPISchema.list(of: .map(to: .anything), to: 128).orNull),
                    ])
            ),
            (
                "OllamaGenerateRequest",
                .object(
                    name + common(facts) + [
                        ("prompt", OpenAPISchema.string.orNull),
                        ("system", OpenAPISchema.string.orNull),
                        ("raw", OpenAPISchema.boolean.orNull.standard(false)),
                        (
                            "context",
                            OpenAPISchema.list(of: GenerationDescription.token(facts)).orNull
                        ),
                    ])
            ),
            (
                "OllamaEmbedRequest",
                .object(
                    name + [
                        (
                            "input",
                            .any(of: [
                                .string, .list(of: .string, to: facts.limits.prompts), .null,
                            ])
                        ),
                        ("truncate", OpenAPISchema.boolean.orNull.standard(true)),
                        ("dimensions", OpenAPISchema.integer(from: 1).orNull),
                    ])
            ),
            (
                "OllamaEmbeddingsRequest",
                .object(name + [("prompt", OpenAPISchema.string.orNull)])
            ),
            ("OllamaShowRequest", .object(name)),
        ]
    }

    private static let message = OpenAPISchema.object(
        required: ["role"],
        [
            "role": .string, "content": OpenAPISchema.string.orNull,
            "thinking": OpenAPISchema.string.orNull,
            "tool_calls": OpenAPISchema.list(of: .map(to: .anything)).orNull,
            "tool_name": OpenAPISchema.string.orNull,
        ])

    private static func common(
        _ facts: OpenAPIDocument.Facts
    ) -> [(String, OpenAPISchema)] {
        [
            ("stream", OpenAPISchema.boolean.orNull.standard(true)),
            ("format", .any(of: [.word(["", "json"]), .map(to: .anything), .null])),
            (
                "options",
                OpenAPISchema.map(to: .anything).orNull
                    .about("Ollama's options, such as num_predict and temperature.")
            ),
            ("keep_alive", .any(of: [.number, .string, .null])),
            (
                "think",
                .any(of: [.boolean, .word(["low", "medium", "high"]), .null])
            ),
            ("logprobs", OpenAPISchema.boolean.orNull.standard(false)),
            (
                "top_logprobs",
                OpenAPISchema.integer(0...facts.logprobs).orNull
            ),
        ]
    }
}
