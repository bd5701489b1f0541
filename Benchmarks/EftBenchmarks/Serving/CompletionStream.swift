// SPDX-License-Identifier: Apache-2.0
// A streamed completion, from bytes to times and counts.
import EftConfig

/// Reads the answer to one request of OpenAI's interfaces, streamed.
package struct CompletionStream {
    /// What has been seen so far.
    package private(set) var outcome: RequestOutcome
    /// Whether nothing more is needed of the connection.
    package private(set) var isFinished = false

    private var http = HTTPResponseParser()
    private var events = EventStreamParser()
    private var refusal: [UInt8] = []
    private var last = 0.0
    private var hasUsage = false
    private var textChunks = 0
    private static let refusalLimit = 4096

    /// Starts a request.
    /// - Parameters:
    ///   - arrival: when it was to be sent.
    ///   - start: when it is sent.
    ///   - promptTokens: tokens of its prompt, unless the server counts others.
    package init(arrival: Double, start: Double, promptTokens: Int) {
        outcome = RequestOutcome()
        outcome.arrival = arrival
        outcome.start = start
        outcome.promptTokens = promptTokens
    }

    /// Reads bytes that came at a time.
    package mutating func feed(_ bytes: [UInt8], at time: Double) {
        guard !isFinished else { return }
        do throws(HTTPClientError) {
            let body = try http.feed(bytes)
            if let status = http.status, status != 200 {
                refusal += body.prefix(Self.refusalLimit - min(refusal.count, Self.refusalLimit))
                if http.isWhole { finish(refused(status), at: time) }
                return
            }
            for event in try events.feed(body) where !isFinished { try read(event, time) }
            if http.isWhole { finish(at: time) }
        } catch {
            finish(error.description, at: time)
        }
    }

    /// Notes the end of the connection.
    package mutating func close(at time: Double) {
        guard !isFinished else { return }
        if let status = http.status, status != 200 { return finish(refused(status), at: time) }
        do throws(HTTPClientError) {
            // Whether a body without length was cut off cannot be told but by its last event.
            guard !http.endsWithConnection else {
                throw HTTPClientError(.connection, "the stream ended without [DONE]")
            }
            try http.close()
            finish(at: time)
        } catch {
            finish(error.description, at: time)
        }
    }

    /// Notes that the request cannot go on.
    package mutating func fail(_ reason: String, at time: Double) {
        guard !isFinished else { return }
        finish(reason, at: time)
    }

    // MARK: Events

    private mutating func read(_ event: [UInt8], _ time: Double) throws(HTTPClientError) {
        if event.elementsEqual("[DONE]".utf8) { return finish(at: time) }
        let node: ConfigNode
        do {
            node = try JSONParser.parse(event)
        } catch {
            throw HTTPClientError(.garbled, "an event is not JSON: \(error)")
        }
        guard case .object(let chunk) = node.value else {
            throw HTTPClientError(.garbled, "an event is \(node.kindName), no mapping")
        }
        if let error = chunk["error"], error != .null {
            throw HTTPClientError(.refused, CompletionStream.message(error))
        }
        if case .array(let choices)? = chunk["choices"]?.value, let first = choices.first {
            noteChunk(first, time)
        }
        if case .object(let usage)? = chunk["usage"]?.value { noteUsage(usage) }
    }

    private mutating func noteChunk(_ choice: ConfigNode, _ time: Double) {
        if outcome.timeToFirstToken == nil {
            outcome.timeToFirstToken = time - outcome.start
        } else {
            outcome.interTokenLatencies.append(time - last)
        }
        last = time
        outcome.latency = time - outcome.start
        guard case .object(let fields) = choice.value else { return }
        var text = fields["text"]
        if case .object(let delta)? = fields["delta"]?.value { text = delta["content"] }
        guard case .string(let piece)? = text?.value, !piece.isEmpty else { return }
        outcome.text += piece
        textChunks += 1
    }

    private mutating func noteUsage(_ usage: ConfigObject) {
        if let count = CompletionStream.count(usage["completion_tokens"]) {
            outcome.outputTokens = count
            hasUsage = true
        }
        if let count = CompletionStream.count(usage["prompt_tokens"]) {
            outcome.promptTokens = count
        }
    }

    private static func count(_ node: ConfigNode?) -> Int? {
        guard case .integer(let count)? = node?.value, (0...1 << 40).contains(count) else {
            return nil
        }
        return count
    }

    // MARK: The end

    private mutating func finish(_ error: String? = nil, at time: Double) {
        isFinished = true
        outcome.end = time
        outcome.error = error
        if error == nil, outcome.timeToFirstToken == nil {
            outcome.error = "the answer has no chunk with choices"
        }
        // A server that does not count is taken to send a token a chunk.
        if !hasUsage { outcome.outputTokens = textChunks }
    }

    private func refused(_ status: Int) -> String {
        var reason = String(decoding: refusal, as: UTF8.self)
        if let node = try? JSONParser.parse(refusal) { reason = CompletionStream.message(node) }
        return "status \(status): \(excerpt(reason, limit: 300))"
    }

    /// The words of an error, in any of the shapes that servers have for it.
    private static func message(_ node: ConfigNode) -> String {
        switch node.value {
        case .string(let text): text
        case .object(let object):
            switch (object["error"]?.value, object["message"]?.value) {
            case (.string(let text), _), (_, .string(let text)): text
            case (.object(let inner), _):
                if case .string(let text)? = inner["message"]?.value {
                    text
                } else {
                    JSONWriter.text(node)
                }
            default: JSONWriter.text(node)
            }
        default: JSONWriter.text(node)
        }
    }
}
