// SPDX-License-Identifier: Apache-2.0
// What is heard of an answer while it comes, and what it was in the end.

/// Something that happens while a question is answered.
package enum ChatEvent: Sendable, Hashable {
    /// The oldest turns do not fit the context any more, and the model no longer sees them.
    case forgot(turns: Int)
    /// The conversation is being read.
    /// - Parameter cached: how many of its tokens were read in earlier turns.
    case reading(tokens: Int, cached: Int)
    /// A piece of what the model thinks.
    case thought(String)
    /// A piece of what it says.
    case text(String)
}

/// Why an answer ended.
package enum ChatFinish: String, Sendable, CaseIterable {
    /// The model ended it, or a stop string did.
    case stop
    /// It has as many tokens as it may have.
    case length
    /// The context is full.
    case context
    /// The listener wanted no more.
    case interrupted
}

/// An answer.
package struct ChatAnswer: Sendable {
    /// What the model said.
    package internal(set) var text = ""
    /// What it thought before.
    package internal(set) var thoughts = ""
    /// Its tokens, without the one that ended it.
    package internal(set) var tokens: [Int32] = []
    /// Why it ended.
    package internal(set) var finish = ChatFinish.stop
    /// Tokens of the conversation before it.
    package internal(set) var promptTokens = 0
    /// How many of those were read in earlier turns.
    package internal(set) var cachedTokens = 0
    /// Seconds until the first token; 0 when none came.
    package internal(set) var firstSeconds = 0.0
    /// Seconds from the first token to the end.
    package internal(set) var restSeconds = 0.0

    /// Tokens by second, from the first one on; 0 when there are too few to tell.
    package var tokensPerSecond: Double {
        tokens.count > 1 && restSeconds > 0 ? Double(tokens.count - 1) / restSeconds : 0
    }
}
