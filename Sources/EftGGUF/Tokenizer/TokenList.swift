// SPDX-License-Identifier: Apache-2.0
// The tokens of a vocabulary, one behind the other in one piece of memory.

/// What kind of token it is, with the numbers of SentencePiece and of `tokenizer.ggml.token_type`.
package enum TokenKind: UInt8, Sendable {
    case normal = 1
    case unknown = 2
    case control = 3
    case userDefined = 4
    case unused = 5
    case byte = 6
}

/// All tokens of a vocabulary, found by their bytes.
package struct TokenList {
    /// The most tokens that a vocabulary may have.
    fileprivate static let most = 1 << 24
    /// The longest token.
    fileprivate static let longest = 1 << 16

    private var bytes: [UInt8] = []
    private var ends: [Int] = []
    /// The kind of each.
    package private(set) var kinds: [TokenKind] = []
    /// Whether each was written with spaces and now stands for a run of them, as merges make it.
    package private(set) var isSpaces: [Bool] = []
    /// Places of tokens by their hash, one more than the index; of tokens that stand twice the first.
    private var table: [Int32] = []
    /// Whether a token of the same bytes stands before.
    package private(set) var isRepeated: [Bool] = []

    /// Number of tokens.
    package var count: Int { ends.count }

    /// Begins without a token.
    package init() {}

    /// Adds a token; `index` must follow before tokens are looked for.
    ///
    /// Tokens of several spaces that a user defined are Gemma's. In Hugging Face's form they have U+2581 in them, and are
    /// made by merges.
    /// - Parameter isPlain: whether tokens have U+2581 for spaces.
    package mutating func append(_ token: some Collection<UInt8>, kind: TokenKind, isPlain: Bool) {
        let run = isPlain && kind == .userDefined ? Self.spaces(token) : 0
        if run > 1 {
            for _ in 0..<run { bytes += "\u{2581}".utf8 }
        } else {
            bytes += token
        }
        kinds.append(run > 1 ? .normal : kind)
        isSpaces.append(run > 1)
        ends.append(bytes.count)
    }

    /// The number of spaces that a token consists of, written as such or as U+2581; 0 for any other.
    private static func spaces(_ token: some Collection<UInt8>) -> Int {
        if token.allSatisfy({ $0 == UInt8(ascii: " ") }) { return token.count }
        let mark = Array("\u{2581}".utf8)
        guard token.count % mark.count == 0,
            zip(token, 0...).allSatisfy({ $0 == mark[$1 % mark.count] })
        else { return 0 }
        return token.count / mark.count
    }

    private func range(_ id: Int) -> Range<Int> { (id == 0 ? 0 : ends[id - 1])..<ends[id] }

    /// The bytes of a token.
    package subscript(id: Int) -> ArraySlice<UInt8> { bytes[range(id)] }

    /// The text of a token; bytes that are no UTF-8 become U+FFFD.
    package func text(_ id: Int) -> String { String(decoding: self[id], as: UTF8.self) }

    // MARK: Finding

    /// Makes tokens be found.
    package mutating func index() {
        var size = 16
        while size < 2 * count { size *= 2 }
        table = [Int32](repeating: 0, count: size)
        isRepeated = [Bool](repeating: false, count: count)
        for id in 0..<count {
            let slot = slot(of: range(id))
            if table[slot] == 0 { table[slot] = Int32(id + 1) } else { isRepeated[id] = true }
        }
    }

    /// Where a token with the bytes of a range of all bytes stands, or would stand.
    private func slot(of range: Range<Int>) -> Int {
        bytes.withUnsafeBufferPointer { bytes in
            slot(of: UnsafeBufferPointer(rebasing: bytes[range]))
        }
    }

    private func slot(of wanted: UnsafeBufferPointer<UInt8>) -> Int {
        bytes.withUnsafeBufferPointer { bytes in
            var slot = Int(truncatingIfNeeded: Self.hash(wanted)) & (table.count - 1)
            while table[slot] != 0 {
                let found = UnsafeBufferPointer(rebasing: bytes[self.range(Int(table[slot]) - 1)])
                if found.elementsEqual(wanted) { break }
                slot = (slot + 1) & (table.count - 1)
            }
            return slot
        }
    }

    private static func hash(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return hash ^ (hash >> 29)
    }

    /// The token with some bytes, the first of several; nil when there is none.
    package func id(of token: [UInt8]) -> Int? {
        token.withUnsafeBufferPointer { wanted in
            let found = table[slot(of: wanted)]
            return found == 0 ? nil : Int(found) - 1
        }
    }

    /// The tokens whose texts, one behind the other, are the text of a token.
    /// - Parameter body: receives left and right; both are shorter than the token.
    package func forEachSplit(_ id: Int, _ body: (_ left: Int, _ right: Int) -> Void) {
        let range = range(id)
        for middle in range.dropFirst() where bytes[middle] & 0xC0 != 0x80 {
            let left = table[slot(of: range.lowerBound..<middle)]
            guard left != 0 else { continue }
            let right = table[slot(of: middle..<range.upperBound)]
            if right != 0 { body(Int(left) - 1, Int(right) - 1) }
        }
    }
}

extension TokenList {
    /// Reads the tokens of a file.
    /// - Parameter isPlain: whether tokens have U+2581 for spaces.
    /// - Throws: `GGUFError`.
    init(_ file: GGUFFile, isPlain: Bool) throws(GGUFError) {
        let key = "tokenizer.ggml.tokens"
        guard let claimed = file.metadata[key]?.list?.count else {
            throw file.fault(key, "is missing; the file has no tokenizer", .missing)
        }
        guard claimed > 0, claimed <= Self.most else {
            throw file.fault(key, "has \(claimed) tokens")
        }
        let kinds = try Self.kinds(file, count: claimed)
        var list = TokenList()
        _ = try file.forEachString(key, limit: Self.longest) { index, token throws(GGUFError) in
            list.append(token, kind: kinds[index], isPlain: isPlain)
        }
        list.index()
        self = list
    }

    private static func kinds(_ file: GGUFFile, count: Int) throws(GGUFError) -> [TokenKind] {
        let key = "tokenizer.ggml.token_type"
        guard let list = try file.numbers(key, limit: most) else {
            return [TokenKind](repeating: .normal, count: count)
        }
        guard list.count == count else {
            throw file.fault(key, "has \(list.count) entries for \(count) tokens")
        }
        return list.map { number in
            UInt8(exactly: number).flatMap { TokenKind(rawValue: $0) } ?? .normal
        }
    }
}
