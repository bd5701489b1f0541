// SPDX-License-Identifier: Apache-2.0
// Text to token ids by the rules of instruction data sets.

/// Encodes prompts and responses as Axolotl does.
///
/// Prompt and response are encoded each by itself and the ids joined, so that no token spans the border.
package struct PromptEncoder: Sendable {
    /// Most tokens of a prompt or a response.
    package let sequenceLen: Int
    /// Whether prompts are learned too.
    package let trainOnInputs: Bool
    /// What conversations need besides; nil where there is no tokenizer's folder.
    package let chat: ChatResources?
    let bosID: Int32?
    let eosID: Int32?
    private let encode: @Sendable (_ text: String, _ addSpecialTokens: Bool) throws -> [Int32]

    /// Makes an encoder.
    /// - Parameters:
    ///   - bosID: the token at the beginning of a text, if there is one.
    ///   - eosID: the token that ends a response, if there is one.
    ///   - chat: tokenizer and templates for conversations.
    ///   - encode: the ids of a text, with or without the tokens that the tokenizer puts around it.
    package init(
        sequenceLen: Int, trainOnInputs: Bool, bosID: Int32?, eosID: Int32?,
        chat: ChatResources? = nil,
        encode: @escaping @Sendable (_ text: String, _ addSpecialTokens: Bool) throws -> [Int32]
    ) {
        self.sequenceLen = sequenceLen
        self.trainOnInputs = trainOnInputs
        self.bosID = bosID
        self.eosID = eosID
        self.chat = chat
        self.encode = encode
    }

    /// A prompt and the response to it; the response is learned, the prompt only with `trainOnInputs`.
    package func instruction(prompt: String, response: String) throws -> TrainingExample {
        let promptIDs = try beginning(prompt)
        let responseIDs = try ending(response)
        let ignored = [Int32](repeating: TrainingExample.ignoreIndex, count: promptIDs.count)
        return TrainingExample(
            tokens: promptIDs + responseIDs,
            labels: (trainOnInputs ? promptIDs : ignored) + responseIDs)
    }

    /// The ids of a prompt that is to be completed: with the tokenizer's special tokens in front, and no EOS.
    func promptIDs(_ text: String) throws -> [Int32] {
        var ids = try encode(text, true)
        // What a tokenizer puts behind a text does not belong between prompt and completion.
        if let eosID, ids.last == eosID, try plain(text).last != eosID { ids.removeLast() }
        return ids
    }

    /// The ids of a text with the tokenizer's special tokens, but no EOS, at most `sequenceLen`.
    private func beginning(_ text: String) throws -> [Int32] {
        if text.isEmpty { return [] }
        var ids = Array(try encode(text, true).prefix(sequenceLen))
        if let eosID, ids.last == eosID { ids.removeLast() }
        return ids
    }

    /// The ids of a text without BOS, at most `sequenceLen`, with EOS where that leaves room for it.
    private func ending(_ text: String) throws -> [Int32] {
        var ids = try document(text, limit: sequenceLen)
        if let bosID, ids.first == bosID { ids.removeFirst() }
        return ids
    }

    /// The ids of a whole text with special tokens, at most `limit`, with EOS where that leaves room for it.
    package func document(_ text: String, limit: Int) throws -> [Int32] {
        if text.isEmpty { return [] }
        var ids = Array(try encode(text, true).prefix(limit))
        if let eosID, ids.last != eosID, ids.count < limit { ids.append(eosID) }
        return ids
    }

    /// A text that goes on from a prompt, encoded as one; what is beyond the prompt's own tokens is learned.
    package func continued(prompt: String, text: String) throws -> TrainingExample {
        let ids = try document(text, limit: sequenceLen)
        let count = trainOnInputs ? 0 : min(try encode(prompt, true).count, ids.count)
        let ignored = [Int32](repeating: TrainingExample.ignoreIndex, count: count)
        return TrainingExample(tokens: ids, labels: ignored + ids[count...])
    }

    /// An answer to a prompt, encoded with it as one text and ended by EOS, as TRL does; only the answer is learned.
    ///
    /// Where the two grow together at the border, each is encoded by itself.
    package func answer(_ text: String, to prompt: String) throws -> TrainingExample {
        var promptIDs = try encode(prompt, true)
        let ownEnd = try plain(prompt).last
        // What a tokenizer puts behind a text does not belong between prompt and answer.
        if let eosID, promptIDs.last == eosID, ownEnd != eosID { promptIDs.removeLast() }
        var ids = try encode(prompt + text, true)
        if !ids.starts(with: promptIDs) { ids = try promptIDs + plain(text) }
        var count = promptIDs.count
        // Templates write BOS themselves.
        if let bosID, ids.count > 1, count > 1, ids[0] == bosID, ids[1] == bosID {
            ids.removeFirst()
            count -= 1
        }
        if let eosID, ids.last != eosID { ids.append(eosID) }
        let ignored = [Int32](repeating: TrainingExample.ignoreIndex, count: count)
        return TrainingExample(tokens: ids, labels: ignored + ids[count...])
    }

    /// The ids of a text in windows of at most `length`, each with special tokens and EOS.
    /// - Parameter shared: tokens that a window has in common with the one before.
    package func windows(_ text: String, length: Int, shared: Int) throws -> [[Int32]] {
        let whole = try encode(text, true)
        let plain = try encode(text, false)
        let added = whole.count - plain.count
        let before = (0...max(added, 0)).first { whole.dropFirst($0).starts(with: plain) } ?? 0
        let room = length - 1 - max(added, 0)
        guard room > 0 else { return [] }
        let step = room > shared ? room - shared : room
        var windows: [[Int32]] = []
        var first = 0
        repeat {
            let end = min(first + room, plain.count)
            var ids = whole.prefix(before) + plain[first..<end]
            ids += whole.suffix(max(added - before, 0))
            if let eosID { ids.append(eosID) }
            windows.append(Array(ids))
            if end == plain.count { break }
            first += step
        } while true
        return windows
    }

    /// The ids of a text and nothing else.
    package func plain(_ text: String) throws -> [Int32] {
        text.isEmpty ? [] : try encode(text, false)
    }
}
