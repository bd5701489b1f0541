// SPDX-License-Identifier: Apache-2.0
// The tokens of a sequence and how often each occurred.

/// A sequence's tokens so far. Copies share their memory until one of them changes.
struct TokenHistory: Sendable {
    /// Prompt, then answer.
    private(set) var tokens: [Int32]
    /// How many of them are the prompt.
    let promptCount: Int
    /// The distinct tokens, when they are counted.
    private(set) var counts: [Count] = []
    private var places: [Int32: Int] = [:]
    private let isCounted: Bool

    /// How often a token occurred.
    struct Count: Sendable {
        let token: Int32
        /// In prompt and answer.
        var total: Int32 = 0
        /// In the answer.
        var answer: Int32 = 0
    }

    /// Begins with a prompt, every count at what the prompt gives.
    init(prompt: [Int32], isCounted: Bool) {
        tokens = prompt
        promptCount = prompt.count
        self.isCounted = isCounted
        guard isCounted else { return }
        for token in prompt { count(token, inAnswer: false) }
    }

    /// The answer's length.
    var answerCount: Int { tokens.count - promptCount }

    mutating func append(_ token: Int32) {
        tokens.append(token)
        if isCounted { count(token, inAnswer: true) }
    }

    private mutating func count(_ token: Int32, inAnswer: Bool) {
        let place: Int
        if let known = places[token] {
            place = known
        } else {
            place = counts.count
            places[token] = place
            counts.append(Count(token: token))
        }
        counts[place].total &+= 1
        if inAnswer { counts[place].answer &+= 1 }
    }
}
