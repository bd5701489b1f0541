// SPDX-License-Identifier: Apache-2.0
// Ends a text at the first stop string, while the text is still being made.

/// Finds stop strings in a text that comes in pieces.
///
/// The text ends where a stop string is complete for the first time; of several that are complete at the same place, the
/// longest counts. So the result is the same however the text is cut. What may be the beginning of a stop string is held
/// back, at most the longest one's bytes but one, and never a part of a character.
package struct StopMatcher: Sendable {
    private var patterns: [Pattern]
    private let includesStop: Bool
    private var held: [UInt8] = []
    /// The stop string that ended the text.
    package private(set) var match: String?

    /// One stop string and how much of it the text ends with (Knuth, Morris, Pratt 1977).
    private struct Pattern: Sendable {
        let text: String
        let bytes: [UInt8]
        /// For each number of matched bytes, how many remain matched when the next one differs.
        private let shorter: [Int]
        private(set) var matched = 0

        init(_ text: String) {
            self.text = text
            bytes = Array(text.utf8)
            var shorter = [0, 0]
            for byte in bytes.dropFirst() {
                var length = shorter.last ?? 0
                while length > 0 && bytes[length] != byte { length = shorter[length] }
                shorter.append(bytes[length] == byte ? length + 1 : 0)
            }
            self.shorter = shorter
        }

        /// Takes one byte; returns whether the pattern is complete.
        mutating func take(_ byte: UInt8) -> Bool {
            while matched > 0 && bytes[matched] != byte { matched = shorter[matched] }
            if bytes[matched] == byte { matched += 1 }
            guard matched == bytes.count else { return false }
            matched = shorter[matched]
            return true
        }
    }

    /// Begins a text.
    /// - Parameters:
    ///   - stops: stop strings; empty ones are passed over.
    ///   - includesStop: whether the text keeps the one that ends it.
    package init(_ stops: [String], includesStop: Bool = false) {
        patterns = stops.filter { !$0.isEmpty }.map { Pattern($0) }
        self.includesStop = includesStop
    }

    /// Takes the next piece.
    /// - Parameters:
    ///   - piece: whole characters.
    ///   - canStop: whether a stop string that is complete in this piece counts.
    /// - Returns: the text that has become certain; nothing more after a match.
    package mutating func append(_ piece: String, canStop: Bool = true) -> String {
        guard match == nil else { return "" }
        guard !patterns.isEmpty else { return piece }
        for byte in piece.utf8 {
            held.append(byte)
            guard let found = take(byte), canStop else { continue }
            match = found.text
            let end = includesStop ? held.count : held.count - found.bytes.count
            defer { held = [] }
            return String(decoding: held[..<end], as: UTF8.self)
        }
        // With the stop string kept, nothing can be taken back.
        let kept = includesStop ? 0 : patterns.reduce(0) { max($0, $1.matched) }
        let certain = held.count - kept
        defer { held.removeFirst(certain) }
        return String(decoding: held[..<certain], as: UTF8.self)
    }

    /// The text that was held back, once no more comes.
    package mutating func finish() -> String {
        defer { held = [] }
        return String(decoding: held, as: UTF8.self)
    }

    /// The longest pattern that this byte completes.
    private mutating func take(_ byte: UInt8) -> Pattern? {
        var longest: Pattern?
        for index in patterns.indices where patterns[index].take(byte) {
            if patterns[index].bytes.count > longest?.bytes.count ?? 0 {
                longest = patterns[index]
            }
        }
        return longest
    }
}
