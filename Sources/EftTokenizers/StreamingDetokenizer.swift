// SPDX-License-Identifier: Apache-2.0
// Text of a token stream, given out as soon as it is certain.

/// Turns ids into text as they come; never gives out a part of a character.
///
/// All pieces together, with the one of `finish`, are exactly what `Tokenizer.decode` returns for all ids.
package struct StreamingDetokenizer: Sendable {
    private let tokenizer: Tokenizer
    private let skipSpecialTokens: Bool
    private var run: DecoderRun

    /// Begins a stream.
    /// - Throws: `TokenizerError` (`matching`) when memory is short.
    package init(_ tokenizer: Tokenizer, skipSpecialTokens: Bool = true) throws(TokenizerError) {
        self.tokenizer = tokenizer
        self.skipSpecialTokens = skipSpecialTokens
        run = try DecoderRun(tokenizer.decoder)
    }

    /// The text that is certain after one more id; often empty in the middle of a character.
    /// - Throws: `TokenizerError` (`matching`).
    package mutating func append(_ id: Int32) throws(TokenizerError) -> String {
        var text: [UInt8] = []
        try append(id, into: &text)
        return String(decoding: text, as: UTF8.self)
    }

    /// The text that was held back; bytes that make no character become U+FFFD.
    /// - Throws: `TokenizerError` (`matching`).
    package mutating func finish() throws(TokenizerError) -> String {
        var text: [UInt8] = []
        try finish(into: &text)
        return String(decoding: text, as: UTF8.self)
    }

    mutating func append(_ id: Int32, into text: inout [UInt8]) throws(TokenizerError) {
        if skipSpecialTokens && tokenizer.isSpecial(id) { return }
        guard let token = tokenizer.tokenBytes(for: id) else { return }
        try run.append(token, into: &text)
    }

    mutating func finish(into text: inout [UInt8]) throws(TokenizerError) {
        try run.finish(into: &text)
        run = try DecoderRun(tokenizer.decoder)
    }
}
