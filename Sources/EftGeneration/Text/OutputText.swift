// SPDX-License-Identifier: Apache-2.0
// The text of an answer while its tokens come.
import EftTokenizers

/// What one more token adds to an answer.
package struct OutputPiece: Sendable, Hashable {
    /// The text that has become certain, to be given out.
    package let text: String
    /// Where the token's own text begins in the text of all tokens, in Unicode scalars, as `text_offset` counts.
    package let offset: Int
}

/// Turns an answer's tokens into its text: special tokens, stop tokens and stop strings as the settings say.
///
/// All pieces together, with the one of `finish`, are the text of all tokens, cut at the first stop string that is complete
/// past `minTokens`.
package struct OutputText: Sendable {
    private let parameters: GenerationParameters
    private var detokenizer: StreamingDetokenizer
    private var matcher: StopMatcher
    private var count = 0
    private var offset = 0

    /// Begins an answer.
    /// - Throws: `TokenizerError` when memory is short.
    package init(
        _ tokenizer: Tokenizer, _ parameters: GenerationParameters
    ) throws(TokenizerError) {
        self.parameters = parameters
        detokenizer = try StreamingDetokenizer(
            tokenizer, skipSpecialTokens: parameters.skipSpecialTokens)
        matcher = StopMatcher(parameters.stop, includesStop: parameters.includeStopString)
    }

    /// The stop string that ended the answer; tokens after it add nothing.
    package var stopString: String? { matcher.match }

    /// Takes the answer's next token. One that ends the sequence has no text unless stop strings are kept.
    /// - Throws: `TokenizerError`.
    package mutating func append(_ token: Int32) throws(TokenizerError) -> OutputPiece {
        count += 1
        let begin = offset
        if parameters.end(with: token) != nil && !parameters.includeStopString {
            return OutputPiece(text: "", offset: begin)
        }
        let piece = try detokenizer.append(token)
        offset += piece.unicodeScalars.count
        return OutputPiece(text: give(piece), offset: begin)
    }

    /// The rest of the text, once no token follows: what was held back, and what no character came of as U+FFFD.
    /// - Throws: `TokenizerError`.
    package mutating func finish() throws(TokenizerError) -> String {
        let rest = try detokenizer.finish()
        offset += rest.unicodeScalars.count
        let text = give(rest)
        return text + matcher.finish()
    }

    private mutating func give(_ piece: String) -> String {
        matcher.append(piece, canStop: count > parameters.minTokens)
    }
}
