// SPDX-License-Identifier: Apache-2.0
// Reading answers in many pieces, which must find what one piece gives.
import EftConfig
import EftServer
import EftTensor
import Synchronization

/// What an answer should hold.
struct ExpectedAnswer: Sendable {
    var content = ""
    /// Names and arguments.
    var calls: [(name: String, arguments: String)] = []

    init(_ content: String = "", _ calls: [(String, String)] = []) {
        self.content = content
        self.calls = calls.map { (name: $0.0, arguments: $0.1) }
    }
}

enum ToolCallChecks {
    static let tools = [
        ToolDefinition(
            name: "get_weather",
            parameters: [
                "type": "object",
                "properties": [
                    "city": ["type": "string"], "days": ["type": "integer"],
                    "exact": ["type": "boolean"], "ratio": ["type": "number"],
                    "tags": ["type": "array"], "more": ["type": "object"],
                    "unit": ["type": "string", "enum": ["c", "f"]],
                    "maybe": ["type": ["integer", "null"]],
                    "either": ["anyOf": [["type": "string"], ["type": "integer"]]],
                    "place": ["$ref": "#/$defs/place"], "free": ["description": "anything"],
                ], "required": ["city"], "$defs": ["place": ["type": "object"]],
            ]),
        ToolDefinition(name: "now"),
    ]

    /// Ids in the order in which they are asked for.
    static func counter() -> @Sendable () -> String {
        let count = Mutex(0)
        return {
            count.withLock {
                $0 += 1
                return "id-\($0)"
            }
        }
    }

    /// The answer in a text that comes in pieces.
    static func answer(
        _ format: any ToolCallFormat, _ pieces: [String], isCut: Bool = false
    ) -> ToolCallAnswer {
        var parser = format.parser(tools: tools, makeID: counter())
        var answer = ToolCallAnswer()
        for piece in pieces { answer.add(parser.add(piece)) }
        answer.add(parser.finish(isCut: isCut))
        return answer
    }
}
