// SPDX-License-Identifier: Apache-2.0
// The keys that say which turns of a conversation are learned, and which of the tokens that end them.
import EftConfig
import EftTokenizers

/// What of a conversation is learned.
struct TurnTraining: Sendable {
    /// Which of the tokens that end turns are learned.
    enum Ends: String, CaseIterable {
        case all, turn, last, none
    }

    /// Roles whose turns are learned, as templates call them.
    let roles: Set<String>
    /// Whether all turns are learned.
    let isEverything: Bool
    /// What becomes of the EOS token behind a turn.
    let eos: Ends
    /// What becomes of other tokens that end turns.
    let eot: Ends
    /// The EOS token.
    let eosID: Int32?
    /// The tokens that end turns.
    let eotIDs: Set<Int32>
    /// Texts that end turns and are several tokens each.
    let eotTexts: [[UInt8]]
    /// Lines for the user.
    let notices: [String]

    /// - Parameter template: the template's text, which has to write the tokens that end turns.
    /// - Throws: `ConfigError`, `TokenizerError`.
    init(
        _ entry: ConfigCursor, roleNames: [String: String], encoder: PromptEncoder,
        chat: ChatResources, template: String
    ) throws {
        let names = try entry.optional("roles_to_train")?.strings() ?? ["assistant"]
        roles = Set(names.map { roleNames[$0] ?? $0 })
        isEverything = encoder.trainOnInputs
        eos = try Self.ends(entry, "train_on_eos") ?? .turn
        eot = try Self.ends(entry, "train_on_eot") ?? eos
        eosID = encoder.eosID
        let eosText = eosID.flatMap { chat.tokenizer.token(for: $0) }
        var notices: [String] = []
        guard let tokens = chat.settings.eotTokens, tokens != eosText.map({ [$0] }) else {
            eotIDs = eosID.map { [$0] } ?? []
            eotTexts = []
            if let eosText, !template.contains(eosText), !template.contains("eos_token") {
                notices.append(
                    "the chat template never writes the EOS token '\(excerpt(eosText))', so that no turn's end is "
                        + "learned by it; name the token that ends turns in eot_tokens")
            }
            self.notices = notices
            return
        }
        var ids: Set<Int32> = []
        var texts: [[UInt8]] = []
        for token in tokens {
            guard template.contains(token) else {
                notices.append(
                    "the chat template never writes '\(excerpt(token))' of eot_tokens; it is left out"
                )
                continue
            }
            let encoded = try chat.tokenizer.encode(token, addSpecialTokens: false)
            guard encoded.count == 1 else {
                texts.append(Array(token.utf8))
                notices.append(
                    "'\(excerpt(token))' of eot_tokens is \(encoded.count) tokens of this tokenizer, not one; they are "
                        + "learned together where they end a turn")
                continue
            }
            ids.insert(encoded[0])
        }
        if let eosID, ids.contains(eosID), eos != eot {
            throw entry.error(
                .badValue,
                "train_on_eos and train_on_eot differ, but eot_tokens holds the EOS token; set both alike"
            )
        }
        eotIDs = ids
        eotTexts = texts
        self.notices = notices
    }

    private static func ends(
        _ entry: ConfigCursor, _ key: String
    ) throws(ConfigError) -> Ends? {
        guard let cursor = try entry.optional(key) else { return nil }
        guard let ends = Ends(rawValue: try cursor.string()) else {
            throw cursor.error(.badValue, "expected all, turn, last or none")
        }
        return ends
    }

    /// Whether a turn is learned.
    func trains(_ turn: ConversationTurn) -> Bool {
        if let training = turn.training { return training }
        if turn.detail != nil || turn.thoughtDetail != nil {
            return turn.detail?.isEmpty == false || turn.thoughtDetail?.isEmpty == false
        }
        return isEverything || roles.contains(turn.role)
    }

    /// Whether ends of turns are learned that are not.
    var trainsAllEnds: Bool { eos == .all || eot == .all }
}
