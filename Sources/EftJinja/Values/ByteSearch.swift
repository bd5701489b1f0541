// SPDX-License-Identifier: Apache-2.0
// Finding texts in texts, by bytes, which for UTF-8 is by code points.

/// Searches that take time in proportion to the text, or to text times pattern for patterns that repeat themselves.
enum ByteSearch {
    /// Where `part` first occurs in `text`, in bytes.
    static func first(of part: String, in text: String) -> Int? {
        first(of: Array(part.utf8), in: Array(text.utf8), from: 0)
    }

    /// Where `part` first occurs at or behind `start`.
    static func first(of part: [UInt8], in text: [UInt8], from start: Int) -> Int? {
        guard let head = part.first else { return start <= text.count ? start : nil }
        guard text.count >= part.count else { return nil }
        var place = start
        while place <= text.count - part.count {
            if text[place] == head, matches(part, text, place) { return place }
            place += 1
        }
        return nil
    }

    /// Where `part` last occurs in the first `end` bytes.
    static func last(of part: [UInt8], in text: [UInt8], before end: Int) -> Int? {
        var place = min(end, text.count) - part.count
        while place >= 0 {
            if matches(part, text, place) { return place }
            place -= 1
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

    private static func matches(_ part: [UInt8], _ text: [UInt8], _ place: Int) -> Bool {
        for index in part.indices where text[place + index] != part[index] { return false }
        return true
    }
}
