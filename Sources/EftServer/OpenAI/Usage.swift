// SPDX-License-Identifier: Apache-2.0
// Tokens that a request has taken.
import EftConfig

/// Tokens of prompts and answers.
struct Usage: Sendable {
    var prompt = 0
    var completion = 0
    /// Tokens of prompts that were found in the cache; nil where nobody looks.
    var cached: Int? = 0
    /// Tokens of reasoning among those of the answers; nil where nobody tells them apart.
    var reasoning: Int?

    /// As OpenAI's answers show it.
    var node: ConfigNode {
        var object: ConfigObject = [
            "prompt_tokens": ConfigNode(prompt), "total_tokens": ConfigNode(prompt + completion),
            "completion_tokens": ConfigNode(completion),
        ]
        if let cached {
            object["prompt_tokens_details"] = ["cached_tokens": ConfigNode(cached)]
        }
        if let reasoning {
            object["completion_tokens_details"] = ["reasoning_tokens": ConfigNode(reasoning)]
        }
        return ConfigNode(object)
    }
}

/// What all parts of an answer have in common.
struct AnswerHead: Sendable {
    let id: String
    let object: String
    let created = UnixTime.seconds
    let model: String

    /// - Parameter prefix: such as `cmpl-`.
    init(prefix: String, object: String, model: String) {
        id = AnswerHead.randomID(prefix)
        self.object = object
        self.model = model
    }

    /// An id that nobody guesses.
    static func randomID(_ prefix: String) -> String {
        let hex = (0..<2).map { _ in
            let digits = String(UInt64.random(in: 0 ... .max), radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }
        return prefix + hex.joined()
    }

    /// An object with the common fields, the choices, and the use of tokens where it is told.
    func node(_ choices: [ConfigNode], usage: Usage? = nil) -> ConfigObject {
        var object: ConfigObject = [
            "id": ConfigNode(id), "object": ConfigNode(object), "created": ConfigNode(created),
            "model": ConfigNode(model), "choices": ConfigNode(choices),
        ]
        if let usage { object["usage"] = usage.node }
        return object
    }

    /// An answer that is not streamed, with the fields that are null in it.
    func whole(_ choices: [ConfigNode], usage: Usage) -> ConfigObject {
        var object = node(choices)
        object["service_tier"] = .null
        object["system_fingerprint"] = .null
        object["usage"] = usage.node
        return object
    }
}
