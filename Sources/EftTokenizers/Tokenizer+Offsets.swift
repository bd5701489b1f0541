// SPDX-License-Identifier: Apache-2.0
// Where in a text each of its tokens stands.

extension Tokenizer {
    /// The bytes of a text that each of its tokens stands for, in order and without a gap.
    ///
    /// Found by laying the tokens' own texts along the text, so that it holds for any tokenizer that takes the text as it is.
    /// A token that stands for a part of a character has that part; a space that the tokenizer put in front has no place.
    /// - Parameter ids: the ids of the text, encoded without special tokens.
    /// - Returns: nil where the tokenizer changed the text (a normal form, lower case, an unknown character).
    package func places(of ids: [Int32], in text: [UInt8]) -> [Range<Int>]? {
        var places: [Range<Int>] = []
        places.reserveCapacity(ids.count)
        var position = 0
        for id in ids {
            guard let end = end(of: id, in: text, from: position) else { return nil }
            places.append(position..<end)
            position = end
        }
        return position == text.count ? places : nil
    }

    /// Where the token ends in the text when it begins at `start`; nil when it cannot.
    private func end(of id: Int32, in text: [UInt8], from start: Int) -> Int? {
        if let token = added.token(for: id) {
            return Self.end(of: token, in: text, from: start)
        }
        guard let token = vocabulary.token(for: id) else { return nil }
        let surface = surface(of: Array(token))
        if Self.stands(surface[...], in: text, at: start) { return start + surface.count }
        guard surface.first == 0x20, Self.stands(surface[1...], in: text, at: start) else {
            return nil
        }
        return start + surface.count - 1
    }

    /// The text of a token of the vocabulary, in UTF-8.
    private func surface(of token: [UInt8]) -> [UInt8] {
        if isByteLevel { return ByteLevelAlphabet.decode(token) ?? token }
        if let byte = Self.fallbackByte(token) { return [byte] }
        var bytes: [UInt8] = []
        var position = 0
        while position < token.count {
            // The lower block that stands for a space where texts are cut by Metaspace.
            if token[position...].starts(with: [0xE2, 0x96, 0x81]) {
                bytes.append(0x20)
                position += 3
            } else {
                bytes.append(token[position])
                position += 1
            }
        }
        return bytes
    }

    /// The byte that a token such as `<0x0A>` stands for.
    private static func fallbackByte(_ token: [UInt8]) -> UInt8? {
        guard token.count == 6, token.starts(with: Array("<0x".utf8)), token[5] == 0x3E else {
            return nil
        }
        return UInt8(String(decoding: token[3..<5], as: UTF8.self), radix: 16)
    }

    /// An added token takes white space to its sides where it says so.
    private static func end(of token: AddedToken, in text: [UInt8], from start: Int) -> Int? {
        var begin = start
        while token.stripsLeft, !stands(token.content[...], in: text, at: begin),
            let next = endOfSpace(in: text, at: begin)
        {
            begin = next
        }
        guard stands(token.content[...], in: text, at: begin) else { return nil }
        var end = begin + token.content.count
        while token.stripsRight, let next = endOfSpace(in: text, at: end) { end = next }
        return end
    }

    /// Where the white space that begins at a place ends; nil when there is none.
    private static func endOfSpace(in text: [UInt8], at start: Int) -> Int? {
        text.withUnsafeBufferPointer { bytes in
            guard let next = bytes.firstScalar(at: start), next.scalar.isWhiteSpace else {
                return nil
            }
            return next.end
        }
    }

    private static func stands(_ part: ArraySlice<UInt8>, in text: [UInt8], at start: Int) -> Bool {
        start + part.count <= text.count
            && text[start..<start + part.count].elementsEqual(part)
    }
}
