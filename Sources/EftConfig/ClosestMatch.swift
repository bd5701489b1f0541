// SPDX-License-Identifier: Apache-2.0
// "Did you mean": the candidate that a mistyped word most likely stood for.

/// Longest word for which a suggestion is looked for, in bytes; bounds the work on hostile input.
private let longestWord = 64

/// The candidate that `word` is most likely a misspelling of, or nil when none is near.
///
/// Near is an edit distance (insertions, deletions, substitutions, swaps of neighbours) of at most
/// a third of the word's length. Failing that, the one candidate that begins with the word. Letter
/// case, and dashes for underscores, do not count. A candidate that says the opposite of the word
/// (`no-cache` for `cache`, `disable-log` for `enable-log`) is never near.
package func closestMatch(_ word: String, in candidates: [String]) -> String? {
    let word = normalized(word)
    let meaning = Meaning(word)
    guard !word.isEmpty, word.count <= longestWord else { return nil }
    var best: (distance: Int, candidate: String)?
    var prefixed: [String] = []
    for candidate in candidates {
        let letters = normalized(candidate)
        if meaning.isOpposite(of: Meaning(letters)) { continue }
        if word.count >= 3, letters.starts(with: word) { prefixed.append(candidate) }
        guard abs(letters.count - word.count) <= allowance(word.count) else { continue }
        let distance = editDistance(word, letters)
        if distance < best?.distance ?? .max { best = (distance, candidate) }
    }
    if let best, best.distance <= allowance(word.count) { return best.candidate }
    return prefixed.count == 1 ? prefixed[0] : nil
}

/// What a word switches, and whether it switches it on.
private struct Meaning {
    private let letters: [UInt8]
    private var stem: ArraySlice<UInt8>
    private var isNegative = false

    init(_ letters: [UInt8]) {
        self.letters = letters
        stem = letters[...]
        var isStripping = true
        while isStripping {
            isStripping = false
            for (prefix, negates) in Self.prefixes
            where stem.count > prefix.count && stem.starts(with: prefix) {
                stem = stem.dropFirst(prefix.count)
                isNegative = isNegative != negates
                isStripping = true
            }
        }
    }

    private static let prefixes: [(letters: [UInt8], negates: Bool)] = [
        (Array("no-".utf8), true), (Array("disable-".utf8), true), (Array("without-".utf8), true),
        (Array("skip-".utf8), true), (Array("enable-".utf8), false), (Array("with-".utf8), false),
        (Array("use-".utf8), false),
    ]

    /// Whether the other word switches the same thing the other way; letters may be mistyped.
    ///
    /// `nocache` for `no-cache` is a slip in the prefix: the words are nearer than what they switch.
    func isOpposite(of other: Meaning) -> Bool {
        guard isNegative != other.isNegative, abs(stem.count - other.stem.count) <= longestWord
        else { return false }
        let distance = editDistance(Array(stem), Array(other.stem))
        return distance <= allowance(stem.count) && distance < editDistance(letters, other.letters)
    }
}

/// Edits allowed in a word of `length` letters; a word of one letter is near nothing but itself.
private func allowance(_ length: Int) -> Int { length == 1 ? 0 : max(1, length / 3) }

private func normalized(_ word: String) -> [UInt8] {
    word.lowercased().utf8.map { $0 == UInt8(ascii: "_") ? UInt8(ascii: "-") : $0 }
}

/// Letters to put in, leave out, change or swap with a neighbour so that one word becomes another (optimal string
/// alignment distance).
package func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var beforePrevious: [Int] = []
    var previous = Array(0...b.count)
    for i in a.indices {
        var current = [i + 1]
        current.reserveCapacity(b.count + 1)
        for j in b.indices {
            var distance = min(previous[j + 1] + 1, current[j] + 1)
            distance = min(distance, previous[j] + (a[i] == b[j] ? 0 : 1))
            if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
                distance = min(distance, beforePrevious[j - 1] + 1)
            }
            current.append(distance)
        }
        beforePrevious = previous
        previous = current
    }
    return previous[b.count]
}
