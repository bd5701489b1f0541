// SPDX-License-Identifier: Apache-2.0
// How much of a conversation the model sees: what fits its context, the newest turns first.
import EftTokenizers

/// Makes prompts of a conversation that leave room for an answer.
package struct ChatWindow: Sendable {
    private let tokenizer: Tokenizer
    private let template: ChatTemplate
    private let contextLength: Int

    /// Makes a window.
    /// - Parameter contextLength: tokens of prompt and answer together.
    package init(tokenizer: Tokenizer, template: ChatTemplate, contextLength: Int) {
        self.tokenizer = tokenizer
        self.template = template
        self.contextLength = contextLength
    }

    /// Tokens that are left for an answer at least: with fewer, the oldest turns go.
    private var leastRoom: Int { max(1, min(64, contextLength / 8)) }

    /// The conversation as a prompt that leaves room for an answer, without the oldest turns if need be.
    ///
    /// Once turns have to go, as many go as leave a quarter of the context, so that they do not go one by one and the whole
    /// conversation is not read again in each turn.
    /// - Parameters:
    ///   - forgotten: how many of the oldest turns are left out; raised when more have to go, never beyond the last turn.
    ///   - answered: tokens of the answer that follow the prompt already.
    ///   - limit: most tokens of the answer.
    /// - Throws: `GenerationError` when the last turn alone does not fit; `forgotten` is then as it was before.
    ///   `ChatTemplateError` when the template refuses the conversation.
    package func prompt(
        _ conversation: ChatConversation, droppingTurns forgotten: inout Int, answered: Int = 0,
        limit: Int
    ) throws -> (tokens: [Int32], text: String) {
        let least = answered > 0 ? 1 : min(leastRoom, limit)
        var dropped = forgotten
        var prompt = try rendered(conversation, dropped)
        func room() -> Int { contextLength - prompt.tokens.count - answered }
        guard room() < least else { return prompt }
        while room() < max(least, contextLength / 4), dropped < conversation.turns.count - 1 {
            dropped += 1
            prompt = try rendered(conversation, dropped)
        }
        guard room() >= 1 else {
            throw GenerationError(
                "the message comes to \(prompt.tokens.count) tokens with its frame, the context holds "
                    + "\(contextLength); shorten it, or ask for a longer context",
                parameter: "max_tokens")
        }
        forgotten = dropped
        return prompt
    }

    private func rendered(
        _ conversation: ChatConversation, _ dropped: Int
    ) throws -> (tokens: [Int32], text: String) {
        let messages = conversation.messages(droppingTurns: dropped)
        let text = try template.render(ChatInput(messages: messages))
        return (try tokenizer.encode(text, addSpecialTokens: false), text)
    }
}
