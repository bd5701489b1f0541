// SPDX-License-Identifier: Apache-2.0
// Questions in tokens, cut as lm-evaluation-harness cuts them.
import EftModels
import EftTokenizers

/// A context and one continuation of it, in tokens.
package struct EncodedChoice: Sendable, Hashable {
    /// Context and continuation; what is more than the model's context is cut off in front.
    package let tokens: [Int32]
    /// How many of the last tokens are the continuation.
    package let scored: Int

    /// Tokens that the model reads: all but the last.
    package var rows: Int { tokens.count - 1 }
}

/// Encodes the choices of questions.
///
/// Context and continuation are encoded as one text, with the special tokens that the tokenizer adds; the continuation is
/// what stands behind as many tokens as the context alone has. Space at the end of the context goes with the
/// continuation. An empty context is the tokenizer's begin token, or its end token when it has none.
package struct ChoiceEncoder {
    private let tokenizer: Tokenizer
    private let limit: Int

    /// - Parameter contextLength: the most tokens that the model reads.
    package init(tokenizer: Tokenizer, contextLength: Int) {
        self.tokenizer = tokenizer
        limit = contextLength
    }

    /// The choices of a question.
    /// - Throws: `TokenizerError`, `GenerationError` for a choice without tokens or one that the model's context does not
    ///   hold.
    package func encode(_ question: ChoiceQuestion) throws -> [EncodedChoice] {
        let (text, space) = PythonStrip.split(question.context)
        let context = question.context.isEmpty ? [] : try encoded(text)
        return try question.choices.map { choice in
            let (first, rest) =
                context.isEmpty
                ? try unconditional(space + " " + choice)
                : (
                    context,
                    Array(try encoded(text + space + " " + choice).dropFirst(context.count))
                )
            guard !rest.isEmpty, rest.count <= limit else {
                throw GenerationError(
                    "the choice '\(choice.prefix(60))' has \(rest.count) tokens; from 1 to \(limit) can be scored"
                )
            }
            return EncodedChoice(tokens: (first + rest).suffix(limit + 1), scored: rest.count)
        }
    }

    /// Where the begin token stands in the text, none is added.
    private func encoded(_ text: String) throws(TokenizerError) -> [Int32] {
        let begin = prefixToken.flatMap(tokenizer.token(for:))
        let hasPrefix = begin.map { text.utf8.starts(with: $0.utf8) } ?? false
        return try tokenizer.encode(text, addSpecialTokens: !hasPrefix)
    }

    private var prefixToken: Int32? { tokenizer.bosID ?? tokenizer.eosID }

    private func unconditional(_ choice: String) throws -> ([Int32], [Int32]) {
        let tokens = try tokenizer.encode(choice, addSpecialTokens: false)
        guard let prefix = prefixToken else {
            throw GenerationError(
                "a question has no text, and the tokenizer no token that begins one")
        }
        return tokens.first == prefix
            ? ([prefix], Array(tokens.dropFirst())) : ([prefix], tokens)
    }
}
