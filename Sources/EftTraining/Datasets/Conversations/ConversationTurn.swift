// SPDX-License-Identifier: Apache-2.0
// One message of a conversation, and what of it is to be learned.
import EftConfig

/// A conversation as a template takes it.
struct Conversation {
    /// The messages in order.
    var turns: [ConversationTurn]
    /// Descriptions of tools; nil for none.
    var tools: [ConfigNode]?
}

/// A message, with what its row says about learning it.
struct ConversationTurn {
    /// The message with the properties that templates know.
    var message: ConfigObject
    /// Whether the row asks for the turn to be learned or not; nil leaves it to the role.
    var training: Bool?
    /// Which characters of the content are learned; nil for all.
    var detail: [TrainedCharacters]?
    /// Which characters of the thoughts are learned; nil for all.
    var thoughtDetail: [TrainedCharacters]?
    /// Where the message stands.
    let place: ConfigCursor

    /// Who speaks.
    var role: String { text("role") ?? "" }

    /// A property that is a text.
    func text(_ property: String) -> String? {
        guard case .string(let text)? = message[property]?.value else { return nil }
        return text
    }
}

/// A range of characters (Unicode scalars, as Python counts), both ends included.
struct TrainedCharacters: Hashable {
    var first: Int
    var last: Int
    var isTrained: Bool
}
