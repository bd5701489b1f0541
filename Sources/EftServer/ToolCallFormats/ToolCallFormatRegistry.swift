// SPDX-License-Identifier: Apache-2.0
// The ways of writing tool calls that are known.

/// Formats of tool calls; a new one is a line here.
package enum ToolCallFormatRegistry {
    /// All formats. Where several fit a chat template, the first one is taken.
    package static let all: [any ToolCallFormat.Type] = [
        Qwen3CoderToolCalls.self, HermesToolCalls.self, MistralArgsToolCalls.self,
        MistralToolCalls.self, Llama3ToolCalls.self,
    ]

    /// The format of a name.
    package static func format(named name: String) -> (any ToolCallFormat)? {
        all.first { $0.name == name }?.init()
    }

    /// The format that a chat template seems to teach its model.
    package static func format(ofTemplate source: String) -> (any ToolCallFormat)? {
        all.first { format in format.templateMarks.contains { source.contains($0) } }?.init()
    }
}
