// SPDX-License-Identifier: Apache-2.0
// What settings and history change in a row of logits before the distribution is shaped.

/// Masks, biases and penalties of one sequence; see `SequenceSampler` for their order.
struct LogitEdits: Sendable {
    private let allowed: [UInt32]?
    private let badWords: [[Int32]]
    /// Tokens that may not be sampled while the answer is shorter than `minTokens`.
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

    /// Whether `apply` may rule out any number of tokens.
    var hasMask: Bool { allowed != nil }

    /// Changes a row of logits.
    func apply(to row: inout EditedRow, history: TokenHistory) {
        allowed?.withUnsafeBufferPointer { LogitRow.mask(row.logits, $0) }
        for word in badWords {
            if let last = word.last, endsWith(history, word.dropLast()) { row.mask(last) }
        }
        if history.answerCount < minTokens {
            for token in endings { row.mask(token) }
        }
        for (token, bias) in biases { row.change(token) { $0 + bias } }
        penalize(&row, history)
        guard let dry else { return }
        for (token, penalty) in dry.penalties(history.tokens) {
            row.change(token) { $0 - penalty }
        }
    }

    private func endsWith(_ history: TokenHistory, _ beginning: ArraySlice<Int32>) -> Bool {
        beginning.count <= history.answerCount
            && history.tokens.suffix(beginning.count).elementsEqual(beginning)
    }

    private func penalize(_ row: inout EditedRow, _ history: TokenHistory) {
        guard needsCounts else { return }
        for count in history.counts where count.total > 0 {
            row.change(count.token) { logit in
                var changed = logit > 0 ? logit / repetition : logit * repetition
                changed -= frequency * Float(count.answer)
                if count.answer > 0 { changed -= presence }
                return changed
            }
        }
    }
}

/// A row of logits whose single changes can be undone.
struct EditedRow {
    let logits: UnsafeMutableBufferPointer<Float>
    private let isLogged: Bool
    private var log: [(token: Int32, logit: Float)] = []

    init(_ logits: UnsafeMutableBufferPointer<Float>, isLogged: Bool) {
        self.logits = logits
        self.isLogged = isLogged
    }

    /// Rules a token out when the row has it.
    mutating func mask(_ token: Int32) { replace(token) { _ in -.infinity } }

    /// Changes a token's logit when the row has it. What was finite stays so, however large a penalty.
    @inline(__always)
    mutating func change(_ token: Int32, _ body: (Float) -> Float) {
        let most = Float.greatestFiniteMagnitude
        replace(token) { min(max(body($0), -most), most) }
    }

    /// What is not finite stays: a damaged row must be seen as one.
    @inline(__always)
    private mutating func replace(_ token: Int32, _ body: (Float) -> Float) {
        guard token >= 0, Int(token) < logits.count else { return }
        let old = logits[Int(token)]
        guard old.isFinite else { return }
        if isLogged { log.append((token, old)) }
        logits[Int(token)] = body(old)
    }

    /// Undoes single changes, not masks of the whole row.
    func undo() {
        for (token, logit) in log.reversed() { logits[Int(token)] = logit }
    }
}
