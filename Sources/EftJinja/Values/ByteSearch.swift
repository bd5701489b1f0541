// SPDX-License-Identifier: Apache-2.0
// Finding texts in texts, by bytes, which for UTF-8 is by code points.

/// Searches whose time grows with text and part together, whatever they hold (Knuth, Morris and Pratt 1977).
package enum ByteSearch {
    /// Where `part` first occurs in `text`, in bytes.
    static func first(of part: String, in text: String) -> Int? {
        first(of: Array(part.utf8), in: Array(text.utf8), from: 0)
    }

    /// Where `part` first occurs at or behind `start`.
    static func first(of part: [UInt8], in text: [UInt8], from start: Int) -> Int? {
        guard !part.isEmpty else { return start <= text.count ? start : nil }
        guard text.count - start >= part.count else { return nil }
        let borders = borders(of: part)
        var matched = 0
        for place in start..<text.count {
            let byte = text[place]
            while matched > 0, part[matched] != byte { matched = borders[matched - 1] }
            if part[matched] == byte { matched += 1 }
            if matched == part.count { return place + 1 - matched }
        }
        return nil
    }

    /// Where `part` last occurs in the first `end` bytes.
    package static func last(of part: [UInt8], in text: [UInt8], before end: Int) -> Int? {
        let end = min(end, text.count)
        guard !part.isEmpty else { return end }
        guard end >= part.count else { return nil }
        let part = [UInt8](part.reversed())
        let borders = borders(of: part)
        var matched = 0
        for place in (0..<end).reversed() {
            let byte = text[place]
            while matched > 0, part[matched] != byte { matched = borders[matched - 1] }
            if part[matched] == byte { matched += 1 }
            if matched == part.count { return place }
        }
        return nil
    }

    /// All places of `part` that do not overlap, at most `limit`; `part` is not empty.
    static func all(of part: [UInt8], in text: [UInt8], limit: Int) -> [Int] {
        var places: [Int] = []
        var start = 0
        while places.count < limit, !part.isEmpty,
            let place = first(of: part, in: text, from: start)
        {
            places.append(place)
            start = place + part.count
        }
        return places
    }

    /// For each beginning of a part, how long a beginning of the part it ends with.
    private static func borders(of part: [UInt8]) -> [Int] {
        var borders = [Int](repeating: 0, count: part.count)
        var length = 0
        for place in part.indices.dropFirst() {
            while length > 0, part[length] != part[place] { length = borders[length - 1] }
            if part[length] == part[place] { length += 1 }
            borders[place] = length
        }
        return borders
    }
}
