// SPDX-License-Identifier: Apache-2.0
// What there is to tell of a request that has ended.
import EftConfig
import EftTensor

/// A line of an access log.
struct AccessLine {
    private let call: Call
    private let outcome: CallOutcome
    private let seconds: Double
    private let count: RequestTally.Count

    init(_ call: Call, _ outcome: CallOutcome, seconds: Double) {
        self.call = call
        self.outcome = outcome
        self.seconds = seconds
        count = call.channel.tally.count
    }

    private var method: String { excerpt(call.head.method, limit: 20) }

    /// Without the query, which may hold what should not be kept.
    private var path: String {
        excerpt(String(call.head.rawTarget.prefix { $0 != "?" }), limit: 256)
    }

    /// For programs.
    var node: ConfigNode {
        var object: ConfigObject = [
            "time": ConfigNode(Timestamp.now), "method": ConfigNode(excerpt(call.head.method)),
            "path": ConfigNode(path), "status": ConfigNode(outcome.status),
            "duration": ConfigNode(AccessLine.rounded(seconds)),
            "bytes": ConfigNode(outcome.responseBytes), "request_id": ConfigNode(call.requestID),
            "peer": ConfigNode(call.head.peer),
        ]
        if let model = count.model {
            object["model"] = ConfigNode(model)
            object["prompt_tokens"] = ConfigNode(count.promptTokens)
            object["completion_tokens"] = ConfigNode(count.answerTokens)
        }
        if let first = count.firstToken {
            object["time_to_first_token"] = ConfigNode(AccessLine.rounded(first.seconds))
        }
        if let rate = count.tokensPerSecond {
            object["tokens_per_second"] = ConfigNode((rate * 1000).rounded() / 1000)
        }
        return ConfigNode(object)
    }

    /// For people, such as `POST /v1/completions 200 in 1.52 s: smollm2, 12 tokens in, 80 out, first after 0.06 s, 54.1 tokens/s`.
    var text: String {
        let end =
            outcome.status == CallOutcome.clientLeft ? "client left" : String(outcome.status)
        var text = "\(method) \(path) \(end) in \(AccessLine.short(seconds)) s"
        guard let model = count.model else { return text }
        text += ": \(excerpt(model)), \(count.promptTokens) tokens in, \(count.answerTokens) out"
        if let first = count.firstToken {
            text += ", first after \(AccessLine.short(first.seconds)) s"
        }
        if let rate = count.tokensPerSecond { text += ", \(AccessLine.short(rate)) tokens/s" }
        return text
    }

    /// Microseconds are as fine as anybody reads.
    private static func rounded(_ seconds: Double) -> Double { (seconds * 1e6).rounded() / 1e6 }

    /// A number with two or three digits.
    private static func short(_ value: Double) -> String {
        guard value < 100 else { return String(Int(exactly: value.rounded()) ?? 0) }
        let scale = value < 0.1 ? 1000.0 : value < 10 ? 100 : 10
        return String((value * scale).rounded() / scale)
    }
}
