// SPDX-License-Identifier: Apache-2.0
// Calls as chat templates show them to models, read back.
import EftConfig
import EftFormats
import EftServer
import EftTestSupport
import EftTokenizers
import Testing

struct TemplateRoundTripTests {
    @Test(arguments: [
        ("qwen2.5", "<|im_start|>assistant\n", "<|im_end|>"),
        ("qwen3", "<think>\n\n</think>\n\n", "<|im_end|>"),
        ("hermes2pro-tools", "<|im_start|>assistant\n", "<|im_end|>"),
        ("llama3.1", "<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"),
        ("mistral-v3", "[/INST]", "</s>"), ("mistral-v7", "[/INST]", "</s>"),
    ])
    func `a call in a prompt is read back as it was`(
        family: String, start: String, end: String
    ) throws {
        let path = Fixtures.path("chat/templates/\(family).jinja")
        let source = String(decoding: try FileSystem.read(path), as: UTF8.self)
        let template = try ChatTemplate(
            source, specialTokens: SpecialTokenTexts([("bos_token", "<s>"), ("eos_token", "</s>")]))
        let arguments = #"{"city": "Zürich {\"x\"}", "days": 3, "tags": ["a", null]}"#
        let prompt = try template.render(
            ChatInput(
                messages: [
                    ["role": "user", "content": "Weather?"],
                    [
                        "role": "assistant", "content": "",
                        "tool_calls": [
                            [
                                "id": "abcdef123", "type": "function",
                                "function": [
                                    "name": "get_weather", "arguments": ConfigNode(arguments),
                                ],
                            ]
                        ],
                    ],
                ], addGenerationPrompt: false))
        let format = try #require(ToolCallFormatRegistry.format(ofTemplate: source))
        let answer = try #require(
            prompt.remainder(after: start)?.prefixBefore(end), "\(prompt.debugDescription)")
        let found = format.answer(in: answer, tools: ToolCallChecks.tools, makeID: { "x" })
        #expect(found.content == "")
        #expect(found.calls.map(\.name) == ["get_weather"])
        #expect(found.calls.map(\.arguments) == [arguments])
    }
}

extension String {
    /// What stands behind the last `part`.
    fileprivate func remainder(after part: String) -> String? {
        var rest = self[...]
        var result: String?
        while let range = rest.firstRange(of: part) {
            rest = rest[range.upperBound...]
            result = String(rest)
        }
        return result
    }

    /// What stands before the first `part`.
    fileprivate func prefixBefore(_ part: String) -> String? {
        firstRange(of: part).map { String(self[..<$0.lowerBound]) }
    }
}
