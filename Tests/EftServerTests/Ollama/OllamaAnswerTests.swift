// SPDX-License-Identifier: Apache-2.0
import EftConfig
import EftGeneration
import EftTensor
import Testing

@testable import EftServer

/// Answers of Ollama's routes to texts that a model may write, in whatever pieces they come.
struct OllamaAnswerTests {
    private let model: ServedModel
    init() throws { model = try DemoServer.shared().model }

    private static let tools: ConfigNode = [
        [
            "type": "function",
            "function": [
                "name": "cook",
                "parameters": ["type": "object", "properties": ["count": ["type": "integer"]]],
            ],
        ]
    ]

    private static let calls = """
        Well. <tool_call>
        {"name": "cook", "arguments": {"count": 4}}
        </tool_call><tool_call>
        {"name": "cook", "arguments": {"count": 5}}
        </tool_call>
        """

    /// What a client is sent when the model writes a text.
    /// - Parameter size: characters of a piece.
    private func answer(
        _ changes: ConfigObject, _ text: String, size: Int, _ reason: FinishReason = .stop,
        error: (any Error)? = nil
    ) throws -> (status: Int, lines: [ConfigNode?]) {
        let body: ConfigObject = ["options": ["temperature": 0]]
        var object = body
        for entry in changes.entries { object[entry.key] = entry.node }
        let fields = try RequestFields(ConfigNode(object))
        let named = try model.ollamaNamed(fields)
        let request =
            if let prompt = try fields.string("prompt") {
                try OllamaRequest(generate: fields, prompt, named, model)
            } else {
                try OllamaRequest(
                    chat: fields, [["role": "user", "content": "x"]], named, model)
            }
        let channel = ResponseChannel(bufferLimit: 1 << 20)
        let answer = OllamaAnswer(request, model, Responder(channel, .ollama))
        answer.began(prompt: 0, cachedTokens: 0)
        var rest = Substring(text)
        while !rest.isEmpty {
            let piece = AnswerPiece(text: String(rest.prefix(size)))
            #expect(answer.grew(prompt: 0, sample: 0, piece))
            rest = rest.dropFirst(size)
        }
        answer.ended(
            prompt: 0, sample: 0, AnswerPiece(), AnswerEnd(reason: reason, stop: nil, error: error))
        return try OllamaAnswerTests.response(channel)
    }

    private static func response(
        _ channel: ResponseChannel
    ) throws -> (status: Int, lines: [ConfigNode?]) {
        switch channel.step {
        case .whole(let response): return (response.status, [try JSONParser.parse(response.body)])
        case .stream(let status, _):
            var bytes = [UInt8](repeating: 0, count: 1 << 20)
            let piece = bytes.withUnsafeMutableBufferPointer { channel.take(into: $0) }
            guard case .bytes(let count) = piece else { throw SocketError("nothing was sent") }
            let text = String(decoding: bytes.prefix(count), as: UTF8.self)
            return (
                status,
                try text.split(separator: "\n").map { try JSONParser.parse(Array($0.utf8)) }
            )
        case .pending, .broken: throw SocketError("no response")
        }
    }

    @Test(arguments: [1, 7, 1000]) func `calls come whole, and as mappings`(size: Int) throws {
        let request: ConfigObject = ["tools": OllamaAnswerTests.tools]
        var streamed = request
        streamed["stream"] = true
        let lines = try answer(streamed, OllamaAnswerTests.calls, size: size).lines
        let found = lines.flatMap { $0["message"]["tool_calls"].items }.map { Optional($0) }
        #expect(found.count == 2)
        for (place, call) in found.enumerated() {
            #expect(call["function"]["name"] == "cook")
            #expect(call["function"]["index"] == ConfigNode(place))
            #expect(call["function"]["arguments"] == ["count": ConfigNode(4 + place)])
            #expect(call["id"].text?.isEmpty == false)
        }
        let text = lines.map { $0["message"]["content"].text ?? "" }.joined()
        #expect(text.hasPrefix("Well."))
        #expect(!text.contains("tool_call"))
        #expect((lines.last ?? nil)["done_reason"] == "stop")

        var whole = request
        whole["stream"] = false
        let message = try answer(whole, OllamaAnswerTests.calls, size: size).lines[0]["message"]
        #expect(message["tool_calls"].items.count == 2)
        #expect(message["content"].text == text)
    }

    @Test func `without tools a call is text`() throws {
        let lines = try answer(["stream": false], OllamaAnswerTests.calls, size: 5).lines
        #expect(lines[0]["message"]["content"].text == OllamaAnswerTests.calls)
        #expect(lines[0]["message"].keys == ["role", "content"])
    }

    @Test func `a call that is cut off is not lost`() throws {
        let text = "<tool_call>\n{\"name\": \"cook\", \"arguments\": {\"count\": 4"
        let lines = try answer(
            ["tools": OllamaAnswerTests.tools, "stream": false], text, size: 3, .length
        ).lines
        #expect(lines[0]["done_reason"] == "length")
        #expect(lines[0]["message"]["content"].text?.contains("4") == true)
        #expect(lines[0]["message"]["tool_calls"].items.isEmpty)
    }

    @Test(arguments: [1, 4, 1000]) func `thoughts stand apart, or nowhere`(size: Int) throws {
        let text = "<think>peas</think>soup"
        for (path, prompt) in [("message", [:]), ("response", ["prompt": "x"])]
            as [(String, ConfigObject)]
        {
            for isStream in [true, false] {
                var changes = prompt
                changes["stream"] = ConfigNode(isStream)
                func parts(_ lines: [ConfigNode?]) -> (content: String, thinking: String) {
                    let objects = path == "message" ? lines.map { $0["message"] } : lines
                    let key = path == "message" ? "content" : "response"
                    return (
                        objects.map { $0[key].text ?? "" }.joined(),
                        objects.map { $0["thinking"].text ?? "" }.joined()
                    )
                }
                let shown = try parts(answer(changes, text, size: size).lines)
                #expect(shown == ("soup", "peas"))
                changes["think"] = false
                let hidden = try parts(answer(changes, text, size: size).lines)
                #expect(hidden == ("soup", ""))
            }
        }
        let raw = try answer(
            ["prompt": "x", "raw": true, "stream": false], text, size: size
        ).lines
        #expect(raw[0]["response"].text == text)
    }

    @Test func `a failure amid a stream is its last line, and one before it has a status`() throws {
        let failure = HTTPFailure.unavailable("too much to do")
        let late = try answer([:], "soup", size: 2, .error, error: failure)
        #expect(late.status == 200)
        #expect(late.lines.last == ["error": "too much to do"])
        for isStream in [true, false] {
            let early = try answer(
                ["stream": ConfigNode(isStream)], "", size: 1, .error, error: failure)
            #expect(early.status == 503)
            #expect(early.lines == [["error": "too much to do"]])
        }
    }
}
