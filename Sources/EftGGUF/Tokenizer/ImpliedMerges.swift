// SPDX-License-Identifier: Apache-2.0
// The merges that a vocabulary implies where no file lists them.

extension TokenList {
    /// Merges as SentencePiece's scores imply them: of every two tokens that make a third, best third first.
    /// - Parameter scores: a number for each token, none of them NaN.
    package func merges(ofScores scores: [Double]) -> [(left: Int32, right: Int32)] {
        var merges: [ScoredMerge] = []
        forEachMade { id, splits in
            for (left, right) in splits {
                let lengths = (
                    Self.characters(self[Int(left)]), Self.characters(self[Int(right)])
                )
                // Runs of spaces come before all else, shorter ones and those of shorter parts first.
                let isSpaces = isSpaces[id]
                merges.append(
                    ScoredMerge(
                        left: left, right: right,
                        score: isSpaces ? .greatestFiniteMagnitude : scores[id],
                        run: isSpaces ? Int32(lengths.0 + lengths.1) : 0,
                        leftLength: isSpaces ? -lengths.0 : lengths.0,
                        rightLength: isSpaces ? -lengths.1 : lengths.1,
                        place: Int32(truncatingIfNeeded: merges.count)))
            }
        }
        merges.sort(by: ScoredMerge.comesFirst)
        return merges.map { ($0.left, $0.right) }
    }

    /// Merges as ranks imply them: of every two tokens that make a third, the third with the smallest id first.
    package func mergesOfRanks() -> [(left: Int32, right: Int32)] {
        var merges: [(left: Int32, right: Int32)] = []
        forEachMade { _, splits in merges += splits }
        return merges
    }

    /// Gives each token that merges can make, in the order of ids, and the pairs that make it.
    private func forEachMade(
        _ body: (_ id: Int, _ splits: [(left: Int32, right: Int32)]) -> Void
    ) {
        var splits: [(left: Int32, right: Int32)] = []
        for id in 0..<count where !isRepeated[id] {
            switch kinds[id] {
            case .normal, .userDefined, .unused: break
            case .unknown, .control, .byte: continue
            }
            splits.removeAll(keepingCapacity: true)
            forEachSplit(id) { splits.append((Int32($0), Int32($1))) }
            splits.sort { ($0.left, $0.right) < ($1.left, $1.right) }
            body(id, splits)
        }
    }

    private static func characters(_ bytes: ArraySlice<UInt8>) -> Int32 {
        bytes.reduce(0) { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) }
    }
}

extension DocumentWriter {
    /// Writes the elements of a list of merges.
    package mutating func merges(_ merges: [(left: Int32, right: Int32)], of tokens: TokenList) {
        for (place, merge) in merges.enumerated() {
            text(place == 0 ? "\n[" : ",\n[")
            string(tokens[Int(merge.left)])
            text(",")
            string(tokens[Int(merge.right)])
            text("]")
        }
    }
}

/// Two tokens that make a third.
private struct ScoredMerge {
    let left, right: Int32
    /// The score of the third.
    let score: Double
    /// Characters of a run of spaces; 0 for anything else.
    let run: Int32
    let leftLength, rightLength: Int32
    /// Its place among all.
    let place: Int32

    /// Of merges with one score, those of longer tokens come first; else they stay in their order.
    static func comesFirst(_ one: ScoredMerge, _ other: ScoredMerge) -> Bool {
        if one.score != other.score { return one.score > other.score }
        if one.run != other.run { return one.run < other.run }
        if one.leftLength != other.leftLength { return one.leftLength > other.leftLength }
        if one.rightLength != other.rightLength { return one.rightLength > other.rightLength }
        return one.place < other.place
    }
}
