// SPDX-License-Identifier: Apache-2.0
// A tokenizer.model of SentencePiece, as transformers' LlamaTokenizerFast takes it.
import EftConfig
import EftGGUF

/// The content of a SentencePiece model.
struct SentencePieceModel {
    private struct Piece {
        var text: ArraySlice<UInt8> = []
        var score: Float = 0
        var kind = TokenKind.normal
    }

    /// The longest piece, in bytes.
    private static let longest = 1024
    /// Classes of transformers that give the pieces other ids, or change the text in their own ways.
    private static let otherRules = [
        "Albert", "Barthez", "BigBird", "Camembert", "DebertaV2", "ErnieM", "FNet", "GPTSw3",
        "LayoutXLM", "M2M100", "MBart", "Marian", "Nllb", "PLBart", "Pegasus", "Reformer",
        "RemBert",
        "SeamlessM4T", "Speech2Text", "Udop", "XGLM", "XLMRoberta", "XLNet",
    ]
    /// The numbers of the kinds of models.
    private enum Kind {
        static let unigram: UInt64 = 1
        static let bytePairs: UInt64 = 2
    }

    private var pieces: [Piece] = []
    private var type: UInt64 = 1
    private var suffixesSpace = false
    private var unknown = 0
    private var bos = 1
    private var eos = 2
    private var pad = -1
    private var characterMap: ArraySlice<UInt8> = []
    private var prefixesSpace = true
    private var removesSpaces = true
    private var marksSpaces = true
    private let file: String

    /// Reads a model.
    /// - Throws: `TokenizerError`; `unsupported` for models of words and characters.
    init(_ bytes: [UInt8], file: String) throws(TokenizerError) {
        self.file = file
        var reader = ProtobufReader(bytes[...], file: file)
        while let field = try reader.next() {
            guard case .bytes(let message) = field.value else { continue }
            switch field.number {
            case 1: try readPiece(message)
            case 2: try readTrainer(message)
            case 3: try readNormalizer(message)
            default: break
            }
        }
        try check()
    }

    private func fault(_ code: TokenizerError.Code, _ message: String) -> TokenizerError {
        TokenizerError(code, message, file: file)
    }

    private func check() throws(TokenizerError) {
        guard !pieces.isEmpty else { throw fault(.malformed, "the model has no pieces") }
        let names: [UInt64: String] = [3: "words", 4: "characters"]
        guard type == Kind.unigram || type == Kind.bytePairs else {
            throw fault(
                .unsupported,
                "this is a SentencePiece model of \(names[type] ?? "the unknown type \(type)"); models of byte-pair encoding (BPE) and Unigram are read; save the tokenizer in the fast format"
            )
        }
        if type == Kind.unigram, !pieces.indices.contains(unknown) {
            throw fault(
                .malformed, "there is no piece \(unknown), which should be the unknown one")
        }
        if suffixesSpace {
            throw fault(.unsupported, "spaces at the end of words are not supported")
        }
        guard marksSpaces else {
            throw fault(.unsupported, "spaces that are not written as U+2581 are not supported")
        }
    }

    // MARK: Reading

    private mutating func readPiece(_ message: ArraySlice<UInt8>) throws(TokenizerError) {
        let place = pieces.count
        guard place <= Int(Vocabulary.maximumID) else {
            throw fault(.malformed, "the model has more than \(Vocabulary.maximumID) pieces")
        }
        var piece = Piece()
        var reader = ProtobufReader(message, file: file)
        while let field = try reader.next() {
            switch (field.number, field.value) {
            case (1, .bytes(let text)): piece.text = text
            case (2, .fixed(let bits)): piece.score = Float(bitPattern: bits)
            case (3, .integer(let number)):
                guard let kind = UInt8(exactly: number).flatMap({ TokenKind(rawValue: $0) }) else {
                    throw fault(.malformed, "piece \(place) is of the unknown type \(number)")
                }
                piece.kind = kind
            default: break
            }
        }
        guard !piece.text.isEmpty, piece.text.count <= Self.longest,
            String(validating: piece.text, as: UTF8.self) != nil
        else {
            throw fault(
                .malformed,
                "piece \(place) of \(piece.text.count) bytes is no text of 1 to \(Self.longest) bytes"
            )
        }
        guard piece.score.isFinite else {
            throw fault(.malformed, "the score of piece \(place) is \(piece.score)")
        }
        pieces.append(piece)
    }

    private mutating func readTrainer(_ message: ArraySlice<UInt8>) throws(TokenizerError) {
        var reader = ProtobufReader(message, file: file)
        while let field = try reader.next() {
            guard case .integer(let number) = field.value else { continue }
            // Numbers of 32 bits; -1 stands for none.
            let id = Int(Int32(truncatingIfNeeded: number))
            switch field.number {
            case 3: type = number
            case 24: suffixesSpace = number != 0
            case 40: unknown = id
            case 41: bos = id
            case 42: eos = id
            case 43: pad = id
            default: break
            }
        }
    }

    private mutating func readNormalizer(_ message: ArraySlice<UInt8>) throws(TokenizerError) {
        var reader = ProtobufReader(message, file: file)
        while let field = try reader.next() {
            switch (field.number, field.value) {
            case (2, .bytes(let map)): characterMap = map
            case (3, .integer(let number)): prefixesSpace = number != 0
            case (4, .integer(let number)): removesSpaces = number != 0
            case (5, .integer(let number)): marksSpaces = number != 0
            default: break
            }
        }
    }

    // MARK: Writing

    /// The tokenizer, with the settings of the files beside it.
    /// - Throws: `TokenizerError`.
    func source(folder: String) throws(TokenizerError) -> TokenizerSource {
        let settings = try FolderTokens(folder: folder)
        if let name = settings.className,
            let other = Self.otherRules.first(where: { name.hasPrefix($0 + "Tokenizer") })
        {
            throw fault(
                .unsupported,
                "the rules of \(other)Tokenizer are not known; save it in the fast format")
        }
        let tokens = try tokens(settings)
        var sketch = TokenizerSketch(tokens)
        for id in 0..<tokens.count {
            switch tokens.kinds[id] {
            case .control, .unknown, .userDefined: break
            case .normal, .unused, .byte: continue
            }
            sketch.added.append(
                TokenizerSketch.Added(
                    id: id, content: tokens[id], isSpecial: tokens.kinds[id] != .userDefined))
        }
        try settings.apply(to: &sketch)
        try setRules(&sketch, settings)
        func text(_ id: Int) -> String? {
            id >= 0 && id < tokens.count ? tokens.text(id) : nil
        }
        if unknown >= 0, unknown < tokens.count { sketch.unknown = tokens[unknown] }
        let usual = TokenizerSource.Special(bos: text(bos), eos: text(eos), pad: text(pad))
        // T5's texts end with a token, and have none in front.
        let isT5 = settings.className?.hasPrefix("T5Tokenizer") == true
        let special = settings.frame(&sketch, usual: usual, addsBOS: !isT5, addsEOS: isT5)
        var characters: CharacterMap?
        if !characterMap.isEmpty {
            guard let map = CharacterMap(characterMap), map.isWhole else {
                throw fault(.malformed, "the table of characters (precompiled_charsmap) is faulty")
            }
            characters = map
        }
        return TokenizerSource(
            bytes: try document(&sketch), file: file, isDocument: false, special: special,
            characters: characters)
    }

    private func document(_ sketch: inout TokenizerSketch) throws(TokenizerError) -> [UInt8] {
        let tokens = sketch.tokens
        guard type == Kind.unigram else {
            let merges = tokens.merges(ofScores: pieces.map { Double($0.score) })
            return sketch.document { $0.merges(merges, of: tokens) }
        }
        // Tokens behind the last piece get the next ids, as a list of scores has no gaps.
        for (place, token) in sketch.further.enumerated() where token.id != tokens.count + place {
            throw fault(
                .unsupported,
                "the added token '\(excerpt(String(decoding: token.content, as: UTF8.self)))' has the id \(token.id), where \(tokens.count + place) is next"
            )
        }
        sketch.scores = scores
        return sketch.document { _ in }
    }

    /// The scores of a Unigram model; pieces that a user defined have one that ordinary pieces hardly reach.
    private var scores: [Double] {
        let best = pieces.lazy.filter { $0.kind == .normal }.map(\.score)
            .reduce(Float.leastNormalMagnitude, max)
        return pieces.map { piece in
            piece.kind == .userDefined
                ? Double(Float(piece.text.count) * best) - 0.1 : Double(piece.score)
        }
    }

    /// The pieces as tokens; control pieces whose id tokenizer_config.json gives to another text have that text.
    private func tokens(_ settings: FolderTokens) throws(TokenizerError) -> TokenList {
        func list(_ renamed: [Int: ArraySlice<UInt8>]) -> TokenList {
            var tokens = TokenList()
            for (id, piece) in pieces.enumerated() {
                tokens.append(renamed[id] ?? piece.text, kind: piece.kind, isPlain: true)
            }
            tokens.index()
            return tokens
        }
        var tokens = list([:])
        var renamed: [Int: ArraySlice<UInt8>] = [:]
        for token in settings.listed {
            guard token.id < tokens.count, !token.content.isEmpty,
                tokens.kinds[token.id] != .normal,
                tokens.kinds[token.id] != .byte, tokens.id(of: Array(token.content)) == nil
            else { continue }
            renamed[token.id] = token.content
        }
        if !renamed.isEmpty { tokens = list(renamed) }
        if let twice = tokens.isRepeated.firstIndex(of: true) {
            throw fault(
                .malformed, "the piece '\(excerpt(tokens.text(twice)))' (\(twice)) appears twice")
        }
        return tokens
    }

    private func setRules(
        _ sketch: inout TokenizerSketch, _ settings: FolderTokens
    ) throws(TokenizerError) {
        let prefixes = settings.addsPrefixSpace ?? prefixesSpace
        if removesSpaces {
            sketch.normalizers = TokenizerSketch.removesSpaces
        }
        if settings.isLegacy {
            sketch.normalizers += TokenizerSketch.marksSpaces(prefix: prefixes)
        } else {
            sketch.preTokenizer = TokenizerSketch.object(
                "Metaspace",
                [
                    ("replacement", ConfigNode(.string("\u{2581}"))),
                    ("prepend_scheme", ConfigNode(.string(prefixes ? "first" : "never"))),
                    ("split", ConfigNode(.bool(false))),
                ])
        }
        sketch.decoder = TokenizerSketch.plainDecoder(prefixesSpace: prefixes)
        sketch.fallsBackOnBytes = true
    }
}
