// SPDX-License-Identifier: Apache-2.0
// What is done to text before it is split: Unicode normal forms, replacing, stripping.

/// A step of normalization.
indirect enum Normalizer: Sendable {
    case form(NormalForm)
    case lowercase
    case prepend([UInt8])
    case replace(Pattern?, with: [UInt8])
    case strip(left: Bool, right: Bool)
    case stripAccents
    case nmt
    /// SentencePiece's table of characters as SentencePiece applies it, and as the library does.
    case characters(CharacterMap)
    case precompiled(CharacterMap)
    case sequence([Normalizer])

    /// Reads the `normalizer` of a tokenizer.json.
    /// - Throws: `TokenizerError` (`unsupported`) for any type that is not known.
    init(_ node: TokenizerNode) throws(TokenizerError) {
        let type = try node.string("type")
        switch type {
        case "NFC": self = .form(.nfc)
        case "NFD": self = .form(.nfd)
        case "NFKC": self = .form(.nfkc)
        case "NFKD": self = .form(.nfkd)
        case "Lowercase": self = .lowercase
        case "StripAccents": self = .stripAccents
        case "Nmt": self = .nmt
        case "Precompiled": self = .precompiled(try CharacterMap(node))
        case "Prepend": self = .prepend(Array(try node.string("prepend").utf8))
        case "Replace":
            self = .replace(
                try Pattern.read(node.required("pattern")),
                with: Array(try node.string("content").utf8))
        case "Strip":
            self = .strip(
                left: try node.bool("strip_left", default: true),
                right: try node.bool("strip_right", default: true))
        case "Sequence":
            var steps: [Normalizer] = []
            for item in try node.required("normalizers").elements() {
                steps.append(try Normalizer(item))
            }
            self = .sequence(steps)
            try node.requireFew(stepCount, "steps of normalization")
        default:
            throw node.error(.unsupported, "the normalizer '\(type)' is not supported")
        }
    }

    /// Steps, those of sequences within sequences included.
    private var stepCount: Int {
        guard case .sequence(let steps) = self else { return 1 }
        return steps.reduce(1) { $0 + $1.stepCount }
    }

    /// Normalizes a piece of text (valid UTF-8).
    /// - Throws: `TokenizerError` (`matching`, `text` when a rule makes too much of it).
    func normalize(_ text: inout [UInt8], state: MatchState) throws(TokenizerError) {
        try normalize(&text, original: text.count, state)
    }

    private func normalize(
        _ text: inout [UInt8], original: Int, _ state: MatchState
    ) throws(TokenizerError) {
        switch self {
        case .form(let form): text = NormalForm.apply(form, to: text)
        case .lowercase:
            text = String(decoding: text, as: UTF8.self).unicodeScalars
                .flatMap { Array($0.properties.lowercaseMapping.utf8) }
        case .prepend(let prefix):
            if !text.isEmpty { text = prefix + text }
        case .replace(let pattern, let content):
            try pattern?.replaceAll(in: &text, with: content, original: original, state: state)
        case .strip(let left, let right):
            let scalars = String(decoding: text, as: UTF8.self).unicodeScalars
            var rest = scalars[...]
            if left { rest = rest.drop(while: \.isWhiteSpace) }
            while right, let last = rest.last, last.isWhiteSpace { rest.removeLast() }
            text = Array(String(rest).utf8)
        case .stripAccents: Self.keep(&text) { !$0.isOldMark }
        case .nmt: Self.replaceControls(&text)
        case .precompiled(let map):
            guard let result = map.applyToClusters(of: text, most: GrowthLimit.most(original))
            else { throw GrowthLimit.error(name, original) }
            text = result
        case .characters(let map):
            guard let result = map.apply(to: text, most: GrowthLimit.most(original)) else {
                throw GrowthLimit.error(name, original)
            }
            text = result
        case .sequence(let steps):
            for step in steps { try step.normalize(&text, original: original, state) }
        }
        guard text.count <= GrowthLimit.most(original) else {
            throw GrowthLimit.error(name, original)
        }
    }

    /// The rule in messages.
    private var name: String {
        switch self {
        case .form(let form): "\(form)".uppercased()
        case .lowercase: "Lowercase"
        case .prepend: "Prepend"
        case .replace: "Replace"
        case .strip: "Strip"
        case .stripAccents: "StripAccents"
        case .nmt: "Nmt"
        case .precompiled: "Precompiled"
        case .characters: "SentencePiece's table of characters"
        case .sequence: "Sequence"
        }
    }
}

extension Pattern {
    /// Reads `{"String": ..}` or `{"Regex": ..}`; nil for an empty string, which matches nowhere.
    /// - Throws: `TokenizerError` with the place in the file.
    static func read(_ node: TokenizerNode) throws(TokenizerError) -> Pattern? {
        do {
            if let text = try node.optional("String")?.string() {
                return text.utf8.isEmpty ? nil : try Pattern(literal: text)
            }
            if let text = try node.optional("Regex")?.string() { return try Pattern(text) }
        } catch {
            throw error.file == nil ? node.error(error.code, error.message) : error
        }
        throw node.error(.malformed, "expected a pattern with the key 'String' or 'Regex'")
    }

    /// Replaces every match in `text` (valid UTF-8).
    /// - Parameter original: bytes of the text before any rule, which bound what it may become.
    /// - Throws: `TokenizerError` (`matching`, `text`).
    func replaceAll(
        in text: inout [UInt8], with content: [UInt8], original: Int, state: MatchState
    ) throws(TokenizerError) {
        var result: [UInt8] = []
        var previous = 0
        let most = GrowthLimit.most(original)
        try text.withUnsafeBufferPointer { (bytes) throws(TokenizerError) in
            var matches = PatternMatches(self, in: bytes, state: state)
            while let match = try matches.next() {
                guard content.count + match.start - previous <= most - result.count else {
                    throw GrowthLimit.error(
                        "Replace of '\(source.prefix(60))' by \(content.count) bytes", original)
                }
                result.append(contentsOf: bytes[previous..<match.start])
                result.append(contentsOf: content)
                previous = match.end
            }
            result.append(contentsOf: bytes[previous...])
        }
        text = result
    }
}

/// The matches of a pattern in a text, one after the other; an empty match right behind another does not count.
struct PatternMatches {
    private let pattern: Pattern
    private let text: UnsafeBufferPointer<UInt8>
    private let state: MatchState
    private var position = 0
    private var lastEnd = -1

    /// Begins at the start of `text` (valid UTF-8, which must outlive this value).
    init(_ pattern: Pattern, in text: UnsafeBufferPointer<UInt8>, state: MatchState) {
        self.pattern = pattern
        self.text = text
        self.state = state
    }

    /// The next match, or nil after the last.
    /// - Throws: `TokenizerError` (`matching`).
    @inline(__always)
    mutating func next() throws(TokenizerError) -> (start: Int, end: Int)? {
        while position <= text.count {
            guard let match = try pattern.firstMatch(in: text, from: position, state: state),
                match.start <= match.end
            else { break }
            if match.start == match.end && match.end == lastEnd {
                position &+= 1
                while position < text.count && text[position] & 0xC0 == 0x80 { position &+= 1 }
                continue
            }
            position = match.end
            lastEnd = match.end
            return match
        }
        position = text.count &+ 1
        return nil
    }
}
