// SPDX-License-Identifier: Apache-2.0
// The bytes that a token adds to a text, for what must know them without decoding a run.

extension Tokenizer {
    /// The bytes that each token adds to a text in which other tokens precede it, by id, up to `idBound`.
    ///
    /// They may be a part of a character. Nil for an id without a token and for special tokens. What the decoder does at
    /// the two ends of a text, such as dropping a space in front, is left out.
    /// - Throws: `TokenizerError` (`unsupported`) when the text of a token depends on its neighbours; (`matching`).
    package func textOfTokens() throws(TokenizerError) -> [[UInt8]?] {
        var state = TokenTextState(matcher: try MatchState())
        for step in decoder {
            switch step {
            case .join:
                throw TokenizerError(
                    .unsupported,
                    "the tokenizer puts a space between any two tokens, so that tokens have no "
                        + "text of their own")
            case .byteLevel, .fuse: state.fusedAt = state.fusedAt ?? state.steps.count
            default: break
            }
            state.steps.append(step)
        }
        var texts: [[UInt8]?] = []
        texts.reserveCapacity(idBound)
        for id in 0..<idBound {
            let id = Int32(truncatingIfNeeded: id)
            guard !isSpecial(id), let token = tokenBytes(for: id) else {
                texts.append(nil)
                continue
            }
            texts.append(try state.text(of: token))
        }
        return texts
    }
}

/// What is needed to apply a decoder's steps to one token.
private struct TokenTextState {
    let matcher: MatchState
    var steps: [DecoderStep] = []
    /// The first step that joins tokens; stripping behind it is done at the ends of the text only.
    var fusedAt: Int?

    func text(of token: [UInt8]) throws(TokenizerError) -> [UInt8] {
        var text = token
        for (index, step) in steps.enumerated() {
            switch step {
            case .byteLevel: text = ByteLevelAlphabet.decode(text) ?? text
            case .byteFallback:
                // Nothing behind this step sees a single byte as text.
                if let byte = DecoderRun.fallbackByte(text) { return [byte] }
            case .fuse, .join: break
            case .strip(let content, let start, let stop):
                if fusedAt.map({ index < $0 }) ?? true {
                    text = DecoderRun.strip(text, content, start: start, stop: stop)
                }
            case .replace(let pattern, let content, _):
                try pattern?.replaceAll(
                    in: &text, with: content, original: token.count, state: matcher)
            case .metaspace(let replacement, _):
                let scalars = String(decoding: text, as: UTF8.self).unicodeScalars
                    .map { $0 == replacement ? " " : $0 }
                text = Array(String(String.UnicodeScalarView(scalars)).utf8)
            }
        }
        return text
    }
}
