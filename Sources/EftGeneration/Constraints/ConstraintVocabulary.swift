// SPDX-License-Identifier: Apache-2.0
// A tokenizer's tokens as constraints see them.

import EftTokenizers

/// The texts of all tokens, made once for a tokenizer; immutable.
package final class ConstraintVocabulary: Sendable {
    /// Number of ids that a mask covers, as many as the model has logits.
    package let size: Int
    /// The tokens that end a text, ascending.
    package let endIDs: [Int32]
    /// Number of 32-bit words of a mask.
    package var maskWords: Int { (size + 31) / 32 }
    /// The tokens that may stand in a constrained text.
    let trie: TokenTrie
    /// The scalars that can be written from any whole character on; nil when all can.
    let spellable: ScalarSet?
    private let texts: [UInt8]
    private let starts: [Int32]

    /// Reads the tokens of a tokenizer.
    /// - Parameters:
    ///   - endIDs: the tokens that end a text; those of the tokenizer when nil.
    ///   - size: number of logits; the tokenizer's ids when nil.
    /// - Throws: `ConstraintError` (`vocabulary`).
    package convenience init(
        _ tokenizer: Tokenizer, endIDs: [Int32]? = nil, size: Int? = nil
    ) throws(ConstraintError) {
        let texts: [[UInt8]?]
        do { texts = try tokenizer.textOfTokens() } catch {
            throw ConstraintError(.vocabulary, error.description)
        }
        try self.init(
            texts: texts, endIDs: endIDs ?? tokenizer.eosIDs, size: size ?? tokenizer.idBound)
    }

    /// Makes a vocabulary of the text of each id; nil, or empty, for tokens without text,
    /// which stand only where a constraint asks for them.
    /// - Throws: `ConstraintError` (`vocabulary`).
    package init(
        texts: [[UInt8]?], endIDs: [Int32], size: Int? = nil
    ) throws(ConstraintError) {
        let size = size ?? texts.count
        guard size > 0, size <= 1 << 24 else {
            throw ConstraintError(.vocabulary, "a vocabulary of \(size) tokens is not supported")
        }
        for id in endIDs where id < 0 || Int(id) >= size {
            throw ConstraintError(
                .vocabulary, "the token \(id) that ends a text is outside the vocabulary")
        }
        self.size = size
        self.endIDs = Set(endIDs).sorted()
        var isSingle = [Bool](repeating: false, count: 256)
        for case .some(let text) in texts.prefix(size) where text.count == 1 {
            isSingle[Int(text[0])] = true
        }
        let hasContinuations = isSingle[0x80...0xBF].allSatisfy { $0 }
        var whole: [ClosedRange<UInt32>] = []
        var kept: [(id: Int32, text: [UInt8])] = []
        for (index, text) in texts.prefix(size).enumerated() {
            let id = Int32(truncatingIfNeeded: index)
            if self.endIDs.contains(id) { continue }
            guard let text, !text.isEmpty else {
                kept.append((id, Self.mark(of: id)))
                continue
            }
            // Bytes that are in no UTF-8 could be taken for marks.
            if text.contains(where: { $0 > 0xF4 }) { continue }
            let string = text.count > 4 ? nil : String(validating: text, as: UTF8.self)
            let scalars = string?.unicodeScalars
            if let scalar = scalars?.first, scalars?.count == 1 {
                whole.append(scalar.value...scalar.value)
            } else if !hasContinuations, string ?? String(validating: text, as: UTF8.self) == nil {
                // A part of a character that no other token could complete.
                continue
            }
            kept.append((id, text))
        }
        if hasContinuations {
            for lead in 0xC2..<0xF5 where isSingle[lead] { whole.append(Self.scalars(lead: lead)) }
        }
        let spellable = ScalarSet(whole)
        self.spellable = spellable == .all ? nil : spellable
        trie = TokenTrie(kept)
        var (all, starts): ([UInt8], [Int32]) = ([], [0])
        var next = 0
        for id in 0..<size {
            if next < kept.count, Int(kept[next].id) == id {
                all += kept[next].text
                next += 1
            }
            starts.append(Int32(truncatingIfNeeded: all.count))
        }
        self.texts = all
        self.starts = starts
    }

    /// The scalars whose first byte is `lead`.
    private static func scalars(lead: Int) -> ClosedRange<UInt32> {
        let lead = UInt32(truncatingIfNeeded: lead)
        return switch lead {
        case ..<0xE0: ((lead & 0x1F) << 6)...((lead & 0x1F) << 6 | 0x3F)
        case ..<0xF0: max(0x800, (lead & 0xF) << 12)...((lead & 0xF) << 12 | 0xFFF)
        default: max(0x1_0000, (lead & 7) << 18)...min(0x10FFFF, (lead & 7) << 18 | 0x3FFFF)
        }
    }

    /// The bytes that a token adds to a constrained text; empty for a token without text.
    package func text(of id: Int32) -> ArraySlice<UInt8> {
        let bytes = bytes(of: id)
        return bytes.first == Self.firstOfMark ? [] : bytes
    }

    /// The bytes by which a token is found in `trie`: its text, or its mark.
    func bytes(of id: Int32) -> ArraySlice<UInt8> {
        guard id >= 0, Int(id) < size else { return [] }
        return texts[Int(starts[Int(id)])..<Int(starts[Int(id) + 1])]
    }

    /// What a token without text stands for, which is in no text, as 0xFE and 0xFF are in no UTF-8.
    static func mark(of id: Int32) -> [UInt8] { [firstOfMark] + Array(String(id).utf8) + [0xFE] }

    /// The byte with which all marks of tokens without text begin.
    static let firstOfMark: UInt8 = 0xFF

    /// Whether a token ends a text.
    package func isEnd(_ id: Int32) -> Bool { endIDs.contains(id) }
}
