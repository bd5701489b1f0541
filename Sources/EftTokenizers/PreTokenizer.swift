// SPDX-License-Identifier: Apache-2.0
// How normalized text is cut into words: the steps of a tokenizer.json's pre_tokenizer.

/// One step of pre-tokenization; each step cuts the pieces that the step before it made.
enum PreTokenizerStep: Sendable {
    /// What becomes of the delimiters.
    enum Behavior: String, Sendable {
        case removed = "Removed"
        case isolated = "Isolated"
        case mergedWithPrevious = "MergedWithPrevious"
        case mergedWithNext = "MergedWithNext"
        case contiguous = "Contiguous"
    }

    /// When a piece gets the replaced space in front.
    enum PrependScheme: String, Sendable {
        case always, first, never
    }

    /// What is looked for in a piece.
    enum Delimiter: Sendable {
        case nothing
        case pattern(Pattern)
        case scalar(Unicode.Scalar)
        case numeric
        case punctuation
        case whiteSpace
        /// Runs of word characters, and runs of neither those nor white space.
        case words
    }

    case split(Delimiter, Behavior, invert: Bool)
    case byteLevel(addPrefixSpace: Bool, Pattern?)
    case metaspace(replacement: Unicode.Scalar, PrependScheme, split: Bool)

    /// GPT-2's pattern, which ByteLevel applies by itself.
    static let gpt2Pattern =
        #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

    /// Reads the `pre_tokenizer` of a tokenizer.json, with its sequences laid flat.
    /// - Throws: `TokenizerError` (`unsupported`) for any type that is not known.
    static func steps(_ node: TokenizerNode) throws(TokenizerError) -> [PreTokenizerStep] {
        let type = try node.string("type")
        switch type {
        case "Sequence":
            var steps: [PreTokenizerStep] = []
            for item in try node.required("pretokenizers").elements() {
                steps += try self.steps(item)
                try node.requireFew(steps.count, "steps of pre-tokenization")
            }
            return steps
        case "Split":
            let pattern = try Pattern.read(node.required("pattern"))
            return [
                .split(
                    pattern.map { .pattern($0) } ?? .nothing, try behavior(node),
                    invert: try node.bool("invert", default: false))
            ]
        case "ByteLevel":
            let useRegex = try node.bool("use_regex", default: true)
            return [
                .byteLevel(
                    addPrefixSpace: try node.bool("add_prefix_space", default: true),
                    useRegex ? try Pattern(gpt2Pattern) : nil)
            ]
        case "Digits":
            let individual = try node.bool("individual_digits", default: false)
            return [.split(.numeric, individual ? .isolated : .contiguous, invert: false)]
        case "Punctuation":
            let behavior =
                try node.optional("behavior") == nil ? .isolated : try behavior(node)
            return [.split(.punctuation, behavior, invert: false)]
        case "Whitespace": return [.split(.words, .removed, invert: true)]
        case "WhitespaceSplit": return [.split(.whiteSpace, .removed, invert: false)]
        case "CharDelimiterSplit":
            return [.split(.scalar(try node.scalar("delimiter")), .removed, invert: false)]
        case "Metaspace": return [try metaspace(node)]
        default:
            throw node.error(.unsupported, "the pre-tokenizer '\(type)' is not supported")
        }
    }

    private static func behavior(_ node: TokenizerNode) throws(TokenizerError) -> Behavior {
        let place = try node.required("behavior")
        guard let behavior = Behavior(rawValue: try place.string()) else {
            throw place.error(.unsupported, "the behavior '\(try place.string())' is not supported")
        }
        return behavior
    }

    private static func metaspace(_ node: TokenizerNode) throws(TokenizerError) -> PreTokenizerStep
    {
        .metaspace(
            replacement: try node.scalar("replacement"), try PrependScheme(node),
            split: try node.bool("split", default: true))
    }
}

extension PreTokenizerStep.PrependScheme {
    /// Reads `prepend_scheme`, or the older `add_prefix_space`.
    init(_ node: TokenizerNode) throws(TokenizerError) {
        if let place = try node.optional("prepend_scheme") {
            guard let scheme = Self(rawValue: try place.string()) else {
                throw place.error(.malformed, "expected 'always', 'first' or 'never'")
            }
            self = scheme
        } else {
            self = try node.bool("add_prefix_space", default: true) ? .always : .never
        }
    }
}

/// A stretch of a piece, and whether the delimiter matched it.
struct PieceSpan {
    var start: Int
    var end: Int
    var isMatch: Bool
}

extension PreTokenizerStep.Delimiter {
    /// Cuts `text` (valid UTF-8, not empty) into matches and what lies between.
    /// - Throws: `TokenizerError` (`matching`).
    func spans(
        in text: UnsafeBufferPointer<UInt8>, state: MatchState
    ) throws(TokenizerError) -> [PieceSpan] {
        var spans: [PieceSpan] = []
        switch self {
        case .nothing: spans.append(PieceSpan(start: 0, end: text.count, isMatch: false))
        case .pattern(let pattern):
            var matches = PatternMatches(pattern, in: text, state: state)
            var previous = 0
            while let match = try matches.next() {
                if previous != match.start {
                    spans.append(PieceSpan(start: previous, end: match.start, isMatch: false))
                }
                spans.append(PieceSpan(start: match.start, end: match.end, isMatch: true))
                previous = match.end
            }
            if previous != text.count {
                spans.append(PieceSpan(start: previous, end: text.count, isMatch: false))
            }
        case .words: wordSpans(in: text, &spans)
        default: scalarSpans(in: text, &spans)
        }
        return spans
    }

    /// Each matching character is a match of its own.
    private func scalarSpans(in text: UnsafeBufferPointer<UInt8>, _ spans: inout [PieceSpan]) {
        var previous = 0
        text.forEachScalar { scalar, start, end in
            guard matches(scalar) else { return }
            if previous < start {
                spans.append(PieceSpan(start: previous, end: start, isMatch: false))
            }
            spans.append(PieceSpan(start: start, end: end, isMatch: true))
            previous = end
        }
        if previous < text.count {
            spans.append(PieceSpan(start: previous, end: text.count, isMatch: false))
        }
    }

    private func matches(_ scalar: Unicode.Scalar) -> Bool {
        switch self {
        case .scalar(let own): scalar == own
        case .numeric: scalar.isNumeric
        case .punctuation: scalar.isPunctuation
        case .whiteSpace: scalar.isWhiteSpace
        case .nothing, .pattern, .words: false
        }
    }

    /// Runs of word characters and runs of other visible ones are matches; white space lies between.
    private func wordSpans(in text: UnsafeBufferPointer<UInt8>, _ spans: inout [PieceSpan]) {
        var kind = -1
        text.forEachScalar { scalar, start, end in
            let next = scalar.isWordCharacter ? 1 : scalar.isWhiteSpace ? 0 : 2
            if next == kind {
                spans[spans.count - 1].end = end
            } else {
                spans.append(PieceSpan(start: start, end: end, isMatch: next != 0))
            }
            kind = next
        }
    }
}

extension PreTokenizerStep.Behavior {
    /// The pieces that remain of `spans`.
    func pieces(of spans: [PieceSpan], invert: Bool) -> [PieceSpan] {
        let spans =
            invert
            ? spans.map { PieceSpan(start: $0.start, end: $0.end, isMatch: !$0.isMatch) } : spans
        switch self {
        case .isolated: return spans
        case .removed: return spans.filter { !$0.isMatch }
        case .contiguous: return merging(spans) { $0 == $1 }
        case .mergedWithPrevious: return merging(spans) { !$0 && $1 }
        case .mergedWithNext:
            let merged = merging(spans.reversed()) { !$0 && $1 }
            return merged.reversed()
        }
    }

    /// Joins each span to the one before it where `joins(previous, this)` holds for their being matches.
    private func merging(
        _ spans: [PieceSpan], _ joins: (Bool, Bool) -> Bool
    ) -> [PieceSpan] {
        var result: [PieceSpan] = []
        var previous = false
        for span in spans {
            if joins(previous, span.isMatch), let last = result.indices.last {
                result[last].start = min(result[last].start, span.start)
                result[last].end = max(result[last].end, span.end)
            } else {
                result.append(span)
            }
            previous = span.isMatch
        }
        return result
    }
}

extension UnsafeBufferPointer<UInt8> {
    /// Calls `body` with each scalar of valid UTF-8 and where it begins and ends.
    func forEachScalar(_ body: (Unicode.Scalar, Int, Int) -> Void) {
        var position = 0
        while position < count {
            let length = Swift.min(utf8Length(self[position]), count &- position)
            body(scalar(at: position, length: length), position, position &+ length)
            position &+= length
        }
    }

    /// The last scalar before `end`, or nil at the start.
    func lastScalar(before end: Int) -> (scalar: Unicode.Scalar, start: Int)? {
        guard end > 0 else { return nil }
        var start = end &- 1
        while start > 0 && self[start] & 0xC0 == 0x80 { start &-= 1 }
        return (scalar(at: start, length: end &- start), start)
    }

    /// The scalar at `start`, or nil at the end.
    func firstScalar(at start: Int) -> (scalar: Unicode.Scalar, end: Int)? {
        guard start < count else { return nil }
        let length = Swift.min(utf8Length(self[start]), count &- start)
        return (scalar(at: start, length: length), start &+ length)
    }

    private func scalar(at start: Int, length: Int) -> Unicode.Scalar {
        var code = UInt32(self[start])
        if length > 1 { code &= UInt32(0x7F) >> UInt32(length) }
        for offset in 1..<Swift.max(length, 1) {
            code = code << 6 | UInt32(self[start &+ offset] & 0x3F)
        }
        return Unicode.Scalar(code) ?? "\u{FFFD}"
    }
}

/// The number of bytes of the character that begins with `lead` in valid UTF-8.
@inline(__always)
func utf8Length(_ lead: UInt8) -> Int {
    lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
}
