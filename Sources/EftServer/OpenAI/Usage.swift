// SPDX-License-Identifier: Apache-2.0
// Tokens that a request has taken.
import EftConfig

/// Tokens of prompts and answers.
struct Usage: Sendable {
    var prompt = 0
    var completion = 0
    var cached = 0
    /// Tokens of reasoning among those of the answers; nil where nobody tells them apart.
    var reasoning: Int?

    /// As OpenAI's answers show it.
    func node(tellsCached: Bool) -> ConfigNode {
        var object: ConfigObject = [
            "prompt_tokens": ConfigNode(prompt), "total_tokens": ConfigNode(prompt + completion),
            "completion_tokens": ConfigNode(completion),
        ]
        if tellsCached {
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

    /// An object with the common fields and the choices.
    func node(_ choices: [ConfigNode]) -> ConfigObject {
        [
            "id": ConfigNode(id), "object": ConfigNode(object), "created": ConfigNode(created),
            "model": ConfigNode(model), "choices": ConfigNode(choices),
        ]
    }
}
