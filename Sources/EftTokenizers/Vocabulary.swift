// SPDX-License-Identifier: Apache-2.0
// The texts and ids of a model's tokens.

/// A two-way map between token texts (as bytes) and ids.
struct Vocabulary: Sendable {
    /// The largest id that is accepted; far above any known vocabulary, and bounds what a hostile file can allocate.
    static let maximumID: Int32 = (1 << 22) - 1

    private var texts: ByteStringTable
    private var ids: [Int32] = []
    private var indexByID: [Int32] = []

    /// Makes an empty vocabulary.
    init(capacity: Int = 64) { texts = ByteStringTable(capacity: capacity) }

    /// Number of tokens.
    var count: Int { ids.count }

    /// One more than the largest id.
    var idBound: Int { indexByID.count }

    /// The id of a token, or nil.
    func id(of token: UnsafeBufferPointer<UInt8>) -> Int32? {
        texts.index(of: token).map { ids[$0] }
    }

    /// The id of a token, or nil.
    func id(of token: [UInt8]) -> Int32? { texts.index(of: token).map { ids[$0] } }

    /// The id of a token, or nil.
    func id(of token: String) -> Int32? { texts.index(of: token).map { ids[$0] } }

    /// The text of the token with an id, or nil.
    func token(for id: Int32) -> ArraySlice<UInt8>? {
        guard id >= 0, Int(id) < indexByID.count, indexByID[Int(id)] >= 0 else { return nil }
        return texts[Int(indexByID[Int(id)])]
    }

    /// Adds a token; nil on success, otherwise what is wrong.
    mutating func add(_ token: [UInt8], id: Int) -> String? {
        guard let narrow = Int32(exactly: id), narrow >= 0, narrow <= Self.maximumID else {
            return "the token id \(id) is outside 0...\(Self.maximumID)"
        }
        if let other = self.token(for: narrow) {
            return "the id \(id) is also that of '\(String(decoding: other, as: UTF8.self))'"
        }
        let entry = token.withUnsafeBufferPointer { texts.insert($0) }
        guard entry.isNew else { return "the token appears twice" }
        ids.append(narrow)
        while indexByID.count <= id { indexByID.append(-1) }
        indexByID[id] = Int32(entry.index)
        return nil
    }
}
