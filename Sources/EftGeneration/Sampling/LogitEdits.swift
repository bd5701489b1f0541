// SPDX-License-Identifier: Apache-2.0
// What settings and history change in a row of logits before the distribution is shaped.

/// Masks, biases and penalties of one sequence; see `SequenceSampler` for their order.
struct LogitEdits: Sendable {
    private let allowed: [UInt32]?
    private let badWords: [[Int32]]
    /// Tokens that may not be drawn while the answer is shorter than `minTokens`.
    private let endings: [Int32]
    private let minTokens: Int
    private let biases: [(token: Int32, bias: Float)]
    private let repetition: Float
    private let frequency: Float
    private let presence: Float
    private let dry: DRYPenalty?

    init(_ parameters: GenerationParameters, vocabulary: Int) {
        allowed = parameters.allowedTokenIDs.map { Self.bits($0, vocabulary: vocabulary) }
        badWords = parameters.badWords.filter { !$0.isEmpty }
        endings = parameters.stopTokens.union(parameters.endTokens).sorted()
        minTokens = parameters.minTokens
        biases = parameters.logitBias.map {
            ($0.key, GenerationParameters.clampedBias($0.value))
        }
        repetition = parameters.repetitionPenalty
        frequency = parameters.frequencyPenalty
        presence = parameters.presencePenalty
        dry = DRYPenalty(parameters.dry)
    }

    /// Whether the history must count its tokens.
    var needsCounts: Bool { repetition != 1 || frequency != 0 || presence != 0 }

    private static func bits(_ tokens: [Int32], vocabulary: Int) -> [UInt32] {
        var bits = [UInt32](repeating: 0, count: (max(vocabulary, 0) + 31) / 32)
        for token in tokens where token >= 0 && Int(token) < vocabulary {
            bits[Int(token) / 32] |= 1 << UInt32(token % 32)
        }
        return bits
    }

    /// Changes a row of logits.
    func apply(to logits: UnsafeMutableBufferPointer<Float>, history: TokenHistory) {
        allowed?.withUnsafeBufferPointer { LogitRow.mask(logits, $0) }
        for word in badWords {
            if let last = word.last, endsWith(history, word.dropLast()) {
                mask(logits, last)
            }
        }
        if history.answerCount < minTokens {
            for token in endings { mask(logits, token) }
        }
        for (token, bias) in biases { change(logits, token) { $0 + bias } }
        penalize(logits, history)
        guard let dry else { return }
        for (token, penalty) in dry.penalties(history.tokens) {
            change(logits, token) { $0 - penalty }
        }
    }

    private func endsWith(_ history: TokenHistory, _ beginning: ArraySlice<Int32>) -> Bool {
        beginning.count <= history.answerCount
            && history.tokens.suffix(beginning.count).elementsEqual(beginning)
    }

    private func penalize(_ logits: UnsafeMutableBufferPointer<Float>, _ history: TokenHistory) {
        guard needsCounts else { return }
        for count in history.counts where count.total > 0 {
            change(logits, count.token) { logit in
                var changed = logit > 0 ? logit / repetition : logit * repetition
                changed -= frequency * Float(count.answer)
                if count.answer > 0 { changed -= presence }
                return changed
            }
        }
    }

    private func mask(_ logits: UnsafeMutableBufferPointer<Float>, _ token: Int32) {
        guard token >= 0, Int(token) < logits.count, logits[Int(token)].isFinite else { return }
        logits[Int(token)] = -.infinity
    }

    /// Replaces a token's logit when the row has one. What is not finite stays (a damaged row must be seen as one), and
    /// what was finite stays so, however large a penalty.
    @inline(__always)
    private func change(
        _ logits: UnsafeMutableBufferPointer<Float>, _ token: Int32, _ body: (Float) -> Float
    ) {
        guard token >= 0, Int(token) < logits.count else { return }
        let old = logits[Int(token)], most = Float.greatestFiniteMagnitude
        if old.isFinite { logits[Int(token)] = min(max(body(old), -most), most) }
    }
}
