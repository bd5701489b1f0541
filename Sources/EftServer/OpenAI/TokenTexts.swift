// SPDX-License-Identifier: Apache-2.0
// Tokens and their log-probabilities as answers show them.
import EftConfig
import EftGeneration

/// How tokens are written in answers.
struct TokenTexts: Sendable {
    let model: ServedModel
    /// Whether they are shown as `token_id:N`, which is never ambiguous.
    let asIDs: Bool

    /// The bytes of a token's text.
    func bytes(_ id: Int32) -> [UInt8] {
        let bytes = (try? model.constraints.vocabulary).map { Array($0.text(of: id)) } ?? []
        return bytes.isEmpty ? Array((model.tokenizer.token(for: id) ?? "").utf8) : bytes
    }

    /// A token's text; what is no UTF-8 becomes U+FFFD.
    func text(_ id: Int32) -> String {
        asIDs ? "token_id:\(id)" : String(decoding: bytes(id), as: UTF8.self)
    }

    /// A log-probability that JSON has a word for.
    static func logprob(_ value: Float) -> ConfigNode {
        ConfigNode(value.isFinite ? Double(value) : -9999)
    }

    // MARK: Completions

    /// The `logprobs` of a completion, or of a part of it.
    /// - Parameters:
    ///   - shift: scalars that stand before the first offset.
    ///   - leading: entries of the prompt that come first, the first of them without a score.
    func completion(
        _ tokens: [AnswerToken], shift: Int, leading: PromptTokens? = nil
    ) -> ConfigNode {
        var (offsets, logprobs) = ([ConfigNode](), [ConfigNode]())
        var (texts, tops) = ([ConfigNode](), [ConfigNode]())
        func add(_ id: Int32, _ token: SampledToken?, _ offset: Int) {
            offsets.append(ConfigNode(offset))
            texts.append(ConfigNode(text(id)))
            logprobs.append(token.map { TokenTexts.logprob($0.logprob) } ?? .null)
            tops.append(token.map { top($0) } ?? .null)
        }
        if let leading {
            for (place, id) in leading.ids.enumerated() {
                let score = place < leading.scores.count ? leading.scores[place] : nil
                add(id, score, leading.offsets[place])
            }
        }
        for token in tokens { add(token.token.id, token.token, token.offset + shift) }
        return [
            "text_offset": ConfigNode(offsets), "token_logprobs": ConfigNode(logprobs),
            "tokens": ConfigNode(texts), "top_logprobs": ConfigNode(tops),
        ]
    }

    /// Texts and log-probabilities; of tokens with the same text the likelier one counts.
    private func top(_ token: SampledToken) -> ConfigNode {
        var object = ConfigObject()
        for entry in token.top {
            let key = text(entry.id)
            if object[key] == nil { object[key] = TokenTexts.logprob(entry.logprob) }
        }
        return ConfigNode(object)
    }

    /// The `prompt_logprobs` of vLLM: null, then for each token the likeliest ones by their ids.
    func prompt(_ scores: [SampledToken?]) -> ConfigNode {
        ConfigNode(
            scores.map { score -> ConfigNode in
                guard let score else { return .null }
                var object = ConfigObject()
                for entry in score.top {
                    object[String(entry.id)] = [
                        "logprob": TokenTexts.logprob(entry.logprob),
                        "rank": ConfigNode(entry.rank),
                        "decoded_token": ConfigNode(text(entry.id)),
                    ]
                }
                return ConfigNode(object)
            })
    }

    // MARK: Chats

    /// The `logprobs.content` of a chat, or of a part of it.
    /// - Parameter count: entries of each token's list.
    func chat(_ tokens: [AnswerToken], count: Int) -> ConfigNode {
        ["content": entries(tokens, count: count), "refusal": .null]
    }

    /// Each token with the likeliest ones in its place.
    func entries(_ tokens: [AnswerToken], count: Int) -> ConfigNode {
        ConfigNode(
            tokens.map { token -> ConfigNode in
                var entry = self.entry(token.token.id, token.token.logprob)
                entry["top_logprobs"] = ConfigNode(
                    token.token.top.prefix(count).map { ConfigNode(self.entry($0.id, $0.logprob)) })
                return ConfigNode(entry)
            })
    }

    private func entry(_ id: Int32, _ logprob: Float) -> ConfigObject {
        [
            "token": ConfigNode(text(id)), "logprob": TokenTexts.logprob(logprob),
            "bytes": ConfigNode(bytes(id).map { ConfigNode(Int($0)) }),
        ]
    }
}

/// The tokens of a prompt that an answer repeats.
struct PromptTokens: Sendable {
    let ids: [Int32]
    /// Where each one's text begins, in Unicode scalars.
    let offsets: [Int]
    /// Their scores; none when they were not asked for.
    var scores: [SampledToken?] = []
    /// The text of all.
    let text: String

    /// - Parameter hidesFirst: whether a first token that begins sequences is left out of the text.
    /// - Throws: `HTTPFailure` when the prompt cannot be turned into text.
    init(
        _ ids: [Int32], _ model: ServedModel, hidesFirst: Bool
    ) throws(HTTPFailure) {
        self.ids = ids
        var offsets: [Int] = []
        var whole = ""
        do {
            var parameters = GenerationParameters()
            parameters.skipSpecialTokens = false
            var text = try OutputText(model.tokenizer, parameters)
            for (place, id) in ids.enumerated() {
                if place == 0, hidesFirst, id == model.tokenizer.bosID {
                    offsets.append(0)
                    continue
                }
                let piece = try text.append(id)
                offsets.append(piece.offset)
                whole += piece.text
            }
            whole += try text.finish()
        } catch {
            throw .badRequest("the prompt cannot be repeated: \(error.message)", parameter: "echo")
        }
        self.offsets = offsets
        text = whole
    }

    /// Unicode scalars of the text.
    var length: Int { text.unicodeScalars.count }
}
