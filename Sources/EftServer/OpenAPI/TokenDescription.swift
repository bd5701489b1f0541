// SPDX-License-Identifier: Apache-2.0
// Texts as tokens and back in the OpenAPI document.
import EftConfig

/// `/tokenize`, `/detokenize`, `/tokenizer_info` and their bodies.
enum TokenDescription {
    static let operations = [
        OpenAPIOperation(
            method: "POST", path: "/tokenize", id: "tokenize", group: "tokens",
            summary: "A prompt or a chat as tokens", request: "TokenizeRequest",
            answer: "The tokens.", contents: [.json("Tokens")], failures: [404]),
        OpenAPIOperation(
            method: "POST", path: "/detokenize", id: "detokenize", group: "tokens",
            summary: "Tokens as text", request: "DetokenizeRequest", answer: "The text.",
            contents: [.json("DetokenizedText")], failures: [404]),
        OpenAPIOperation(
            method: "GET", path: "/tokenizer_info", id: "getTokenizerInfo", group: "tokens",
            summary: "Special tokens and sizes", answer: "What is known of the tokenizer.",
            contents: [.json("TokenizerInfo")]),
    ]

    static func schemas(_ facts: OpenAPIDocument.Facts) -> [(String, OpenAPISchema)] {
        [
            ("TokenizeRequest", tokenize(facts)),
            ("Tokens", tokens),
            (
                "DetokenizeRequest",
                .object(
                    required: ["tokens"],
                    [
                        "model": GenerationDescription.model(facts),
                        "tokens": .list(of: GenerationDescription.token(facts)),
                    ])
            ),
            ("DetokenizedText", .object(required: ["prompt"], ["prompt": .string])),
            ("TokenizerInfo", info),
        ]
    }

    private static func tokenize(_ facts: OpenAPIDocument.Facts) -> OpenAPISchema {
        let common: [(String, OpenAPISchema)] = [
            ("model", GenerationDescription.model(facts)),
            (
                "return_token_strs",
                OpenAPISchema.boolean.orNull.standard(false)
                    .about("Whether the tokens' texts are told too.")
            ),
        ]
        return .any(of: [
            .object(
                required: ["prompt"],
                common + [
                    ("prompt", .string), ("messages", .null),
                    ("add_special_tokens", OpenAPISchema.boolean.orNull.standard(true)),
                ]),
            .object(required: ["messages"], common + ChatDescription.prompt(facts)),
        ])
    }

    private static let tokens = OpenAPISchema.object(
        required: ["count", "max_model_len", "tokens"],
        [
            "count": .integer(from: 0), "max_model_len": .integer(from: 1),
            "tokens": .list(of: .integer(from: 0)),
            "token_strs": OpenAPISchema.list(of: .string).orNull,
        ])

    private static let info = OpenAPISchema.object(
        required: ["tokenizer_class", "vocab_size", "model_max_length"],
        [
            "tokenizer_class": .string, "bos_token": OpenAPISchema.string.orNull,
            "eos_token": OpenAPISchema.string.orNull, "pad_token": OpenAPISchema.string.orNull,
            "vocab_size": .integer(from: 1), "model_max_length": .integer(from: 1),
            "chat_template": OpenAPISchema.string.orNull,
        ])
}
