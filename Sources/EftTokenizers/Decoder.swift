// SPDX-License-Identifier: Apache-2.0
// From tokens back to text, a token at a time.

/// One step of decoding, as in a tokenizer.json's decoder.
enum DecoderStep: Sendable {
    /// Characters of the byte-level alphabet to bytes, all tokens in one.
    case byteLevel
    /// `<0xNN>` to bytes.
    case byteFallback
    /// All tokens in one.
    case fuse
    /// Drops up to `start` times `content` in front and `stop` times behind.
    case strip(content: Unicode.Scalar, start: Int, stop: Int)
    /// Replaces every match; `isCharacter` says that the pattern is one literal character.
    case replace(Pattern?, with: [UInt8], isCharacter: Bool)
    /// The replacement to spaces; `dropsFirst` leaves it out in the first token.
    case metaspace(replacement: Unicode.Scalar, dropsFirst: Bool)
    /// A space between two tokens, which is what happens without a decoder.
    case join

    /// Reads a `decoder`, with its sequences laid flat.
    /// - Throws: `TokenizerError` (`unsupported`) for what is not known or cannot be done a token at a time.
    static func steps(_ node: TokenizerNode?) throws(TokenizerError) -> [DecoderStep] {
        guard let node else { return [.join] }
        var steps: [DecoderStep] = []
        var isFused = false
        try read(node, into: &steps, &isFused)
        try node.requireFew(steps.count, "steps of decoding")
        return steps
    }

    private static func read(
        _ node: TokenizerNode, into steps: inout [DecoderStep], _ isFused: inout Bool
    ) throws(TokenizerError) {
        let type = try node.string("type")
        let step: DecoderStep
        switch type {
        case "Sequence":
            for item in try node.required("decoders").elements() {
                try read(item, into: &steps, &isFused)
            }
            return
        case "ByteLevel": step = .byteLevel
        case "ByteFallback": step = .byteFallback
        case "Fuse": step = .fuse
        case "Strip":
            step = .strip(
                content: try node.scalar("content"), start: try stripCount(node, "start"),
                stop: try stripCount(node, "stop"))
        case "Replace":
            let pattern = try node.required("pattern")
            let text = try pattern.optional("String")?.string()
            step = .replace(
                try Pattern.read(pattern), with: Array(try node.string("content").utf8),
                isCharacter: text?.unicodeScalars.count == 1)
        case "Metaspace":
            let scheme = try PreTokenizerStep.PrependScheme(node)
            step = .metaspace(
                replacement: try node.scalar("replacement"), dropsFirst: scheme != .never)
        default: throw node.error(.unsupported, "the decoder '\(type)' is not supported")
        }
        if isFused && !step.worksOnParts {
            throw node.error(
                .unsupported, "the decoder '\(type)' is not supported behind one that joins tokens")
        }
        switch step {
        case .byteLevel, .fuse: isFused = true
        default: break
        }
        steps.append(step)
    }

    /// Characters to drop; so many may have to be held back while a text is made.
    private static func stripCount(
        _ node: TokenizerNode, _ key: String
    ) throws(TokenizerError) -> Int {
        let count = try node.count(key)
        guard count <= GrowthLimit.allowance else {
            throw try node.required(key).error(
                .unsupported, "at most \(GrowthLimit.allowance) characters are stripped")
        }
        return count
    }

    /// Whether the step can work on the joined text as it comes in, part by part.
    private var worksOnParts: Bool {
        switch self {
        case .fuse, .strip: true
        case .replace(_, _, let isCharacter): isCharacter
        case .byteLevel, .byteFallback, .metaspace, .join: false
        }
    }
}

/// The state of decoding a run of tokens; what it gives out is whole characters.
struct DecoderRun: Sendable {
    private struct State: Sendable {
        var bytes: [UInt8] = []
        var isFirst = true
        /// How many characters may still be dropped in front.
        var dropsLeft = 0
        var isFused = false
    }

    private let steps: [DecoderStep]
    private let matcher: MatchState
    private var states: [State] = []

    /// Begins decoding.
    /// - Throws: `TokenizerError` (`matching`) when memory is short.
    init(_ steps: [DecoderStep]) throws(TokenizerError) {
        self.steps = steps
        matcher = try MatchState()
        var isFused = false
        for step in steps {
            var state = State()
            state.isFused = isFused
            switch step {
            case .strip(_, let start, _): state.dropsLeft = start
            case .byteLevel, .fuse: isFused = true
            default: break
            }
            states.append(state)
        }
    }

    /// Takes the next token's text and appends the text that is sure by now.
    /// - Throws: `TokenizerError` (`matching`).
    mutating func append(
        _ token: [UInt8], into text: inout [UInt8]
    ) throws(TokenizerError) {
        try pass(token, from: 0, original: token.count, into: &text)
    }

    /// Appends what was held back.
    /// - Throws: `TokenizerError` (`matching`).
    mutating func finish(into text: inout [UInt8]) throws(TokenizerError) {
        for index in steps.indices {
            switch steps[index] {
            case .byteLevel:
                let rest = UTF8Repair.takeWhole(&states[index].bytes, isEnd: true)
                try pass(rest, from: index + 1, original: rest.count, into: &text)
            case .byteFallback: try flushBytes(index, into: &text)
            default: states[index].bytes.removeAll()
            }
            states[index].isFirst = true
        }
    }

    /// Sends a token through the steps from `index` on.
    /// - Parameter original: bytes of the token before any step, which bound what it may become.
    private mutating func pass(
        _ token: [UInt8], from index: Int, original: Int, into text: inout [UInt8]
    ) throws(TokenizerError) {
        guard index < steps.count else {
            text += token
            return
        }
        let isFirst = states[index].isFirst
        states[index].isFirst = false
        var token = token
        switch steps[index] {
        case .byteLevel:
            states[index].bytes += ByteLevelAlphabet.decode(token) ?? token
            token = UTF8Repair.takeWhole(&states[index].bytes, isEnd: false)
        case .byteFallback:
            if let byte = Self.fallbackByte(token) {
                states[index].bytes.append(byte)
                return
            }
            try flushBytes(index, into: &text)
        case .fuse: break
        case .join: if !isFirst { token.insert(0x20, at: 0) }
        case .strip(let content, let start, let stop):
            token =
                states[index].isFused
                ? stripPart(token, index, content, stop)
                : Self.strip(token, content, start: start, stop: stop)
        case .replace(let pattern, let content, _):
            try pattern?.replaceAll(
                in: &token, with: content, original: original, state: matcher)
        case .metaspace(let replacement, let dropsFirst):
            var scalars = String.UnicodeScalarView()
            for scalar in String(decoding: token, as: UTF8.self).unicodeScalars {
                if scalar != replacement {
                    scalars.append(scalar)
                } else if !(isFirst && dropsFirst) {
                    scalars.append(" ")
                }
            }
            token = Array(String(scalars).utf8)
        }
        try pass(token, from: index + 1, original: original, into: &text)
    }

    // MARK: Bytes

    static func fallbackByte(_ token: [UInt8]) -> UInt8? {
        guard token.count == 6, token.starts(with: "<0x".utf8), token[5] == UInt8(ascii: ">") else {
            return nil
        }
        return UInt8(String(decoding: token[3..<5], as: UTF8.self), radix: 16)
    }

    /// Passes a run of bytes on: as text when it is valid, else one replacement character for each byte.
    private mutating func flushBytes(
        _ index: Int, into text: inout [UInt8]
    ) throws(TokenizerError) {
        let bytes = states[index].bytes
        if bytes.isEmpty { return }
        states[index].bytes.removeAll(keepingCapacity: true)
        if String(validating: bytes, as: UTF8.self) != nil {
            return try pass(bytes, from: index + 1, original: bytes.count, into: &text)
        }
        let replacement = UTF8Repair.replacement
        for _ in bytes {
            try pass(replacement, from: index + 1, original: replacement.count, into: &text)
        }
    }

    // MARK: Stripping

    static func strip(
        _ token: [UInt8], _ content: Unicode.Scalar, start: Int, stop: Int
    ) -> [UInt8] {
        var rest = String(decoding: token, as: UTF8.self).unicodeScalars[...]
        var (front, back) = (start, stop)
        while front > 0, rest.first == content {
            rest.removeFirst()
            front -= 1
        }
        while back > 0, rest.last == content {
            rest.removeLast()
            back -= 1
        }
        return Array(String(rest).utf8)
    }

    /// Strips the joined text part by part: what may be its end is held back.
    private mutating func stripPart(
        _ part: [UInt8], _ index: Int, _ content: Unicode.Scalar, _ stop: Int
    ) -> [UInt8] {
        var rest = String(decoding: part, as: UTF8.self).unicodeScalars[...]
        while states[index].dropsLeft > 0, let first = rest.first {
            if first != content {
                states[index].dropsLeft = 0
                break
            }
            rest.removeFirst()
            states[index].dropsLeft -= 1
        }
        guard stop > 0 else { return Array(String(rest).utf8) }
        let unit = Array(String(Character(content)).utf8)
        var text = states[index].bytes + Array(String(rest).utf8)
        var held: [UInt8] = []
        var count = 0
        while count < stop, text.count >= unit.count, text.suffix(unit.count).elementsEqual(unit) {
            text.removeLast(unit.count)
            held += unit
            count += 1
        }
        states[index].bytes = held
        return text
    }
}
