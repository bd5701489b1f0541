// SPDX-License-Identifier: Apache-2.0
// Times and counts of streamed answers, and what is made of servers that fail.
import EftBenchmarks
import Testing

@Suite struct CompletionStreamTests {
    private static let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    private static func chunk(_ text: String) -> String {
        "\(String(text.utf8.count, radix: 16))\r\n\(text)\r\n"
    }

    private static func event(_ json: String) -> String { chunk("data: \(json)\n\n") }

    /// Feeds pieces a second apart, the first at 11 s of a request sent at 10 s.
    private func read(_ pieces: [String], closing: Bool = false) -> RequestOutcome {
        var stream = CompletionStream(arrival: 9, start: 10, promptTokens: 5)
        for (index, piece) in pieces.enumerated() {
            stream.feed(Array(piece.utf8), at: 11 + Double(index))
        }
        if closing { stream.close(at: 11 + Double(pieces.count)) }
        #expect(stream.isFinished || !closing)
        return stream.outcome
    }

    @Test func `times are those of chunks with choices, counts those of the server`() {
        let outcome = read([
            Self.head,
            Self.event(#"{"choices":[{"index":0,"text":"a"}]}"#),
            Self.event(#"{"choices":[{"index":0,"text":"bc"}]}"#) + Self.chunk(": keep-alive\n\n"),
            Self.event(#"{"choices":[{"index":0,"text":"","finish_reason":"length"}]}"#),
            Self.event(
                #"{"choices":[],"usage":{"prompt_tokens":6,"completion_tokens":4}}"#),
            Self.event("[DONE]"),
        ])
        #expect(outcome.isComplete)
        #expect(outcome.timeToFirstToken == 2)
        #expect(outcome.interTokenLatencies == [1, 1])
        #expect(outcome.latency == 4 && outcome.end == 16)
        #expect(outcome.promptTokens == 6 && outcome.outputTokens == 4)
        #expect(outcome.timePerOutputToken == 2.0 / 3)
        #expect(outcome.text == "abc")
    }

    @Test func `a chat's deltas are read, and counted where the server does not count`() {
        let outcome = read([
            Self.head + Self.event(#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#),
            Self.event(#"{"choices":[{"delta":{"content":"x"}}]}"#),
            Self.event(#"{"choices":[{"delta":{"content":"y"}}],"usage":null}"#) + "0\r\n\r\n",
        ])
        #expect(outcome.isComplete && outcome.text == "xy" && outcome.outputTokens == 2)
        #expect(outcome.promptTokens == 5)
    }

    static let failures: [(String, [String], String)] = [
        ("nothing", [], "without an answer"),
        ("cut off", [head, event(#"{"choices":[{"text":"a"}]}"#)], "amid its answer"),
        ("no length", ["HTTP/1.1 200 OK\r\n\r\n", "data: {\"choices\":[{}]}\n\n"], "[DONE]"),
        ("empty", [head + "0\r\n\r\n"], "no chunk with choices"),
        ("no JSON", [head + event("{nonsense")], "not JSON"),
        ("no mapping", [head + event("[1]")], "no mapping"),
        ("deep", [head + event(String(repeating: "[", count: 3000))], "not JSON"),
        (
            "error within", [head + event(#"{"error":{"message":"out of luck","code":500}}"#)],
            "out of luck"
        ),
        (
            "status",
            ["HTTP/1.1 503 Busy\r\nContent-Length: 28\r\n\r\n{\"error\":{\"message\":\"full\"}}"],
            "status 503: full"
        ),
        ("plain status", ["HTTP/1.1 404 No\r\n\r\nnot here"], "status 404: not here"),
        ("garbage", ["SSH-2.0-OpenSSH\r\n"], "not HTTP"),
    ]

    @Test(arguments: CompletionStreamTests.failures.indices)
    func `failures are told`(index: Int) {
        let (name, pieces, reason) = Self.failures[index]
        let outcome = read(pieces, closing: true)
        #expect(outcome.error?.contains(reason) ?? false, "\(name): \(outcome.error ?? "none")")
    }
}
