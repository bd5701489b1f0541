// SPDX-License-Identifier: Apache-2.0
// One text on its way through the steps of a tokenizer.

/// What encoding keeps from one text to the next: room, and the ids of words seen before.
struct EncoderScratch: Sendable {
    var words = WordCache()
    var word = WordScratch()
    let matcher: MatchState

    /// Makes an empty scratch.
    /// - Throws: `TokenizerError` (`matching`) when memory is short.
    init() throws(TokenizerError) { matcher = try MatchState() }
}

/// The ids of short words, forgotten all at once when there are too many.
struct WordCache: Sendable {
    /// Longer words are not kept, in bytes.
    static let maximumLength = 96
    private static let maximumWords = 1 << 15
    private var words = ByteStringTable(capacity: 1 << 12)
    private var ends: [Int] = []
    private var ids: [Int32] = []

    /// Appends the ids of a word to `output`; false when the word is not known.
    func append(_ word: UnsafeBufferPointer<UInt8>, to output: inout [Int32]) -> Bool {
        guard let index = words.index(of: word) else { return false }
        let start = index == 0 ? 0 : ends[index &- 1]
        for place in start..<ends[index] { output.append(ids[place]) }
        return true
    }

    /// Keeps the ids of a word that is not known.
    mutating func insert(_ word: UnsafeBufferPointer<UInt8>, _ wordIDs: ArraySlice<Int32>) {
        if words.count >= Self.maximumWords {
            words.removeAll()
            ends.removeAll(keepingCapacity: true)
            ids.removeAll(keepingCapacity: true)
        }
        guard words.insert(word).isNew else { return }
        ids.append(contentsOf: wordIDs)
        ends.append(ids.count)
    }
}

/// The encoding of one text.
struct EncoderRun {
    private let tokenizer: Tokenizer
    private let steps: [PreTokenizerStep]
    private let matcher: MatchState
    private var scratch: EncoderScratch
    /// The ids so far.
    private(set) var ids: [Int32] = []
    private var growth = GrowthLimit(0)

    /// Begins a text with a scratch that nobody else uses meanwhile.
    init(_ tokenizer: Tokenizer, scratch: consuming EncoderScratch) {
        self.tokenizer = tokenizer
        steps = tokenizer.preTokenizer
        matcher = scratch.matcher
        self.scratch = scratch
    }

    /// Gives the scratch back.
    consuming func takeScratch() -> EncoderScratch { scratch }

    /// Encodes a text (valid UTF-8): added tokens, normalization, added tokens once more, then word by word.
    /// - Throws: `TokenizerError`.
    mutating func encode(_ text: UnsafeBufferPointer<UInt8>) throws(TokenizerError) {
        ids.reserveCapacity(text.count / 4 + 8)
        growth = GrowthLimit(text.count)
        let finder = tokenizer.added.rawFinder
        if finder.isEmpty { return try normalize(text, atStart: true) }
        for span in finder.spans(in: text) {
            if let id = span.id {
                ids.append(id)
            } else {
                try normalize(piece(text, span.start, span.end), atStart: span.start == 0)
            }
        }
    }

    private mutating func normalize(
        _ text: UnsafeBufferPointer<UInt8>, atStart: Bool
    ) throws(TokenizerError) {
        if text.isEmpty { return }
        guard let normalizer = tokenizer.normalizer else {
            return try findNormalized(text, atStart: atStart)
        }
        var normalized = Array(text)
        try normalizer.normalize(&normalized, state: matcher)
        try growth.take(max(0, normalized.count - text.count), "Normalizer")
        try normalized.withUnsafeBufferPointer { (bytes) throws(TokenizerError) in
            try findNormalized(bytes, atStart: atStart)
        }
    }

    private mutating func findNormalized(
        _ text: UnsafeBufferPointer<UInt8>, atStart: Bool
    ) throws(TokenizerError) {
        let finder = tokenizer.added.normalizedFinder
        if finder.isEmpty { return try run(0, text, atStart: atStart) }
        for span in finder.spans(in: text) {
            if let id = span.id {
                ids.append(id)
            } else {
                try run(
                    0, piece(text, span.start, span.end), atStart: atStart && span.start == 0)
            }
        }
    }

    // MARK: Pre-tokenization

    /// Sends a piece through the steps from `step` on; each piece goes all the way before the next is cut.
    private mutating func run(
        _ step: Int, _ text: UnsafeBufferPointer<UInt8>, atStart: Bool
    ) throws(TokenizerError) {
        if text.isEmpty { return }
        guard step < steps.count else { return try word(text) }
        switch steps[step] {
        case .byteLevel(false, nil) where step &+ 1 == steps.count: try word(text)
        case .split(.pattern(let pattern), .isolated, _):
            try isolate(pattern, step, text, atStart: atStart)
        case .split(let delimiter, let behavior, let invert):
            let spans = try delimiter.spans(in: text, state: matcher)
            for span in behavior.pieces(of: spans, invert: invert) {
                try run(
                    step &+ 1, piece(text, span.start, span.end),
                    atStart: atStart && span.start == 0)
            }
        case .byteLevel(let addPrefixSpace, let pattern):
            if addPrefixSpace && text[0] != 0x20 {
                try growth.take(step == 0 ? 0 : text.count + 1, "ByteLevel")
                try ([0x20] + Array(text)).withUnsafeBufferPointer {
                    (bytes) throws(TokenizerError) in
                    try byteLevel(pattern, step, bytes, atStart: atStart)
                }
            } else {
                try byteLevel(pattern, step, text, atStart: atStart)
            }
        case .metaspace(let replacement, let scheme, let split):
            try metaspace(replacement, scheme, split, step, text, atStart: atStart)
        }
    }

    /// Sends each match and each stretch between two on as a piece.
    private mutating func isolate(
        _ pattern: Pattern, _ step: Int, _ text: UnsafeBufferPointer<UInt8>, atStart: Bool
    ) throws(TokenizerError) {
        var matches = PatternMatches(pattern, in: text, state: matcher)
        var previous = 0
        while let match = try matches.next() {
            if previous != match.start {
                try run(
                    step &+ 1, piece(text, previous, match.start),
                    atStart: atStart && previous == 0)
            }
            try run(
                step &+ 1, piece(text, match.start, match.end),
                atStart: atStart && match.start == 0)
            previous = match.end
        }
        try run(
            step &+ 1, piece(text, previous, text.count), atStart: atStart && previous == 0)
    }

    private mutating func byteLevel(
        _ pattern: Pattern?, _ step: Int, _ text: UnsafeBufferPointer<UInt8>, atStart: Bool
    ) throws(TokenizerError) {
        guard step &+ 1 < steps.count else {
            guard let pattern else { return try word(text) }
            return try isolate(pattern, step, text, atStart: atStart)
        }
        // Later steps see the characters that stand for the bytes.
        var spans = [PieceSpan(start: 0, end: text.count, isMatch: false)]
        if let pattern {
            spans = try PreTokenizerStep.Delimiter.pattern(pattern)
                .spans(in: text, state: matcher)
        }
        for span in spans {
            var characters: [UInt8] = []
            ByteLevelAlphabet.encode(piece(text, span.start, span.end), into: &characters)
            try growth.take(characters.count, "ByteLevel")
            try characters.withUnsafeBufferPointer { (bytes) throws(TokenizerError) in
                try run(step &+ 1, bytes, atStart: atStart && span.start == 0)
            }
        }
    }

    private mutating func metaspace(
        _ replacement: Unicode.Scalar, _ scheme: PreTokenizerStep.PrependScheme, _ split: Bool,
        _ step: Int, _ text: UnsafeBufferPointer<UInt8>, atStart: Bool
    ) throws(TokenizerError) {
        let unit = Array(String(Character(replacement)).utf8)
        var bytes: [UInt8] = []
        for byte in text {
            if byte == 0x20 { bytes += unit } else { bytes.append(byte) }
        }
        if !bytes.starts(with: unit), scheme == .always || (scheme == .first && atStart) {
            bytes = unit + bytes
        }
        try growth.take(bytes.count, "Metaspace")
        try bytes.withUnsafeBufferPointer { (bytes) throws(TokenizerError) in
            guard split else { return try run(step &+ 1, bytes, atStart: atStart) }
            let spans = try PreTokenizerStep.Delimiter.scalar(replacement)
                .spans(in: bytes, state: matcher)
            for span in PreTokenizerStep.Behavior.mergedWithNext.pieces(of: spans, invert: false) {
                try run(
                    step &+ 1, piece(bytes, span.start, span.end),
                    atStart: atStart && span.start == 0)
            }
        }
    }

    // MARK: Words

    private mutating func word(_ word: UnsafeBufferPointer<UInt8>) throws(TokenizerError) {
        guard word.count <= WordCache.maximumLength else {
            return try tokenizer.model.encode(word, scratch: &scratch.word, into: &ids)
        }
        if scratch.words.append(word, to: &ids) { return }
        let start = ids.count
        try tokenizer.model.encode(word, scratch: &scratch.word, into: &ids)
        scratch.words.insert(word, ids[start...])
    }

    @inline(__always)
    private func piece(
        _ text: UnsafeBufferPointer<UInt8>, _ start: Int, _ end: Int
    ) -> UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(rebasing: text[start..<max(start, end)])
    }
}
