// SPDX-License-Identifier: Apache-2.0
// Unigram tokenizers against tokenizers, sentencepiece and a plain search.
import EftConfig
import EftFormats
import EftTestSupport
import Testing

@testable import EftTokenizers

/// The files of scripts/fixtures/unigram.py.
private enum UnigramFixtures {
    static let kinds = ["xlmr", "t5", "albert", "llama", "letters"]
    static let models = ["bytes", "words", "no-prefix"]

    static func bytes(_ name: String) throws -> [UInt8] {
        try FileSystem.read(Fixtures.path("unigram/\(name)"))
    }

    static func tokenizer(_ kind: String) throws -> Tokenizer {
        try Tokenizer(json: bytes(kind + ".json"), file: kind + ".json")
    }

    /// A folder with a SentencePiece model.
    static func folder(
        _ model: String, as name: String = "tokenizer.model", config: String? = nil
    ) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try folder.write(name, bytes(model + ".model"))
        if let config { try folder.write("tokenizer_config.json", config) }
        return folder
    }

    /// What a library makes of a text.
    struct Case {
        let text: String
        let ids: [Int32]
        /// What the ids become without special tokens, where that is known.
        var decoded: String?
        /// Where tokens stand, in bytes.
        var offsets: [Range<Int>]?
    }

    static func read(_ list: ConfigCursor) throws -> [Case] {
        try list.elements().map { entry in
            let parts = try entry.elements()
            var found = Case(text: try parts[0].string(), ids: try parts[1].ids())
            if case .string(let text) = parts[2].node.value { found.decoded = text }
            if parts.count > 3 {
                found.offsets = try parts[3].elements().map { item in
                    let ends = try item.elements().map { try $0.int() }
                    return ends[0]..<ends[1]
                }
            }
            return found
        }
    }

    static func list(_ name: String) throws -> ConfigCursor {
        try ConfigCursor(JSONParser.parse(bytes(name), file: name))
    }
}

@Suite struct UnigramTests {
    @Test(arguments: UnigramFixtures.kinds)
    func `encodes and decodes as the library does`(_ kind: String) throws {
        let tokenizer = try UnigramFixtures.tokenizer(kind)
        let cases = try UnigramFixtures.read(UnigramFixtures.list(kind + ".cases.json"))
        #expect(cases.count > 90)
        for entry in cases {
            let ids = try tokenizer.encode(entry.text, addSpecialTokens: true)
            #expect(ids == entry.ids, "\(kind): \(entry.text.debugDescription)")
            let text = try tokenizer.decode(entry.ids, skipSpecialTokens: true)
            #expect(same(text, entry.decoded ?? entry.text), "\(entry.text.debugDescription)")
            var stream = try StreamingDetokenizer(tokenizer, skipSpecialTokens: true)
            var pieces = ""
            for id in entry.ids { pieces += try stream.append(id) }
            pieces += try stream.finish()
            #expect(same(pieces, text))
        }
    }

    @Test(arguments: ["t5", "llama", "letters"])
    func `tokens stand where the library says`(_ kind: String) throws {
        let tokenizer = try UnigramFixtures.tokenizer(kind)
        var compared = 0
        for entry in try UnigramFixtures.read(UnigramFixtures.list(kind + ".cases.json")) {
            guard let offsets = entry.offsets else { continue }
            let ids = try tokenizer.encode(entry.text, addSpecialTokens: false)
            guard let places = tokenizer.places(of: ids, in: Array(entry.text.utf8)) else {
                continue
            }
            #expect(ids.count == offsets.count)
            for (id, (place, offset)) in zip(ids, zip(places, offsets)) {
                // Of a token for a byte the library names the whole character.
                let isByte = tokenizer.token(for: id)?.hasPrefix("<0x") ?? false
                let isPart = kind == "letters" && offset != place
                // A space that was put in front has no place here, and that of the next token there.
                if isByte || isPart || place.isEmpty || offset.lowerBound == 0 {
                    #expect(offset.lowerBound <= place.lowerBound)
                    #expect(place.upperBound <= offset.upperBound)
                } else {
                    #expect(place == offset, "\(entry.text.debugDescription)")
                    compared += 1
                }
            }
        }
        #expect(compared > 15)
    }

    @Test(arguments: UnigramFixtures.models)
    func `SentencePiece's models give SentencePiece's ids`(_ model: String) throws {
        let folder = try UnigramFixtures.folder(model, config: #"{"add_bos_token":false}"#)
        let tokenizer = try Tokenizer.load(folder: folder.path)
        let golden = try UnigramFixtures.list("golden.json").required(model)
        let cases = try UnigramFixtures.read(golden)
        #expect(cases.count > 50)
        for entry in cases {
            let ids = try tokenizer.encode(entry.text, addSpecialTokens: true)
            #expect(ids == entry.ids, "\(model): \(entry.text.debugDescription)")
            guard let decoded = entry.decoded else { continue }
            #expect(same(try tokenizer.decode(ids, skipSpecialTokens: true), decoded))
        }
    }

    @Test func `T5's models end texts with a token, under their own name too`() throws {
        let folder = try UnigramFixtures.folder(
            "words", as: "spiece.model", config: #"{"tokenizer_class":"T5Tokenizer"}"#)
        #expect(TokenizerFiles.hasTokenizer(folder.path))
        let tokenizer = try Tokenizer.load(folder: folder.path)
        let plain = try tokenizer.encode("the river", addSpecialTokens: false)
        #expect(try tokenizer.encode("the river", addSpecialTokens: true) == plain + [2])
        let copy = try TemporaryFolder()
        try TokenizerFiles.copy(from: folder.path, to: copy.path)
        let copied = try Tokenizer.load(folder: copy.path)
        #expect(try copied.encode("the river", addSpecialTokens: false) == plain)
    }

    @Test func `a GGUF file of T5's kind gives SentencePiece's ids`() throws {
        let tokenizer = try Tokenizer.load(folder: Fixtures.path("unigram/t5.gguf"))
        #expect(tokenizer.bosID == 1 && tokenizer.eosID == 2)
        let golden = try UnigramFixtures.list("golden.json").required("words")
        var compared = 0
        for entry in try UnigramFixtures.read(golden) {
            // Of several characters that become one the rule of a document is another than SentencePiece's own.
            guard entry.text.unicodeScalars.count == entry.text.count,
                !entry.text.contains("..."), !entry.text.contains("``")
            else { continue }
            let ids = try tokenizer.encode(entry.text, addSpecialTokens: true)
            #expect(ids == [1] + entry.ids, "\(entry.text.debugDescription)")
            compared += 1
        }
        #expect(compared > 20)
    }

    @Test func `the best sum is found among all ways`() throws {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<60 {
            // Sums of powers of two have no ties that rounding could turn.
            var tokens: [String: Double] = ["?": 0]
            for _ in 0..<25 {
                let length = Int.random(in: 1...4, using: &generator)
                let text = String((0..<length).map { _ in "abc".randomElement() ?? "a" })
                tokens[text] = -Double(Int.random(in: 1...1 << 20, using: &generator)) / 1024
            }
            let list = tokens.sorted { $0.key < $1.key }
            let unknown = try #require(list.firstIndex { $0.key == "?" })
            let entries = list.map { #"["\#($0.key)",\#($0.value)]"# }.joined(separator: ",")
            let tokenizer = try Tokenizer(
                json: Array(
                    #"{"model":{"type":"Unigram","unk_id":\#(unknown),"vocab":[\#(entries)]}}"#
                        .utf8))
            let text = String((0..<14).map { _ in "abcd".randomElement() ?? "a" })
            let ids = try tokenizer.encode(text, addSpecialTokens: false)
            let worst = (list.map(\.value).min() ?? 0) - 10
            #expect(sum(text, tokens, worst) == total(ids, text, list, unknown, worst))
        }
    }

    /// The best sum of scores by trying all ways.
    private func sum(_ text: String, _ tokens: [String: Double], _ worst: Double) -> Double {
        let letters = Array(text)
        var best = [Double](repeating: -.infinity, count: letters.count + 1)
        best[0] = 0
        for end in 1...letters.count {
            for start in 0..<end {
                let part = String(letters[start..<end])
                if let score = tokens[part] { best[end] = max(best[end], best[start] + score) }
            }
            if tokens[String(letters[end - 1])] == nil {
                best[end] = max(best[end], best[end - 1] + worst)
            }
        }
        return best[letters.count]
    }

    /// The sum of the scores of ids; unknown characters side by side are one token.
    private func total(
        _ ids: [Int32], _ text: String, _ list: [(key: String, value: Double)], _ unknown: Int,
        _ worst: Double
    ) -> Double {
        var sum = 0.0
        var known = 0
        for id in ids where Int(id) != unknown {
            sum += list[Int(id)].value
            known += list[Int(id)].key.count
        }
        return sum + Double(text.count - known) * worst
    }

    @Test func `a long word takes no quadratic time`() throws {
        let tokenizer = try UnigramFixtures.tokenizer("llama")
        let text = String(repeating: "河流the", count: 40_000)
        let ids = try tokenizer.encode(text, addSpecialTokens: false)
        #expect(try tokenizer.decode(ids) == text)
    }

    // MARK: Normalizers

    @Test func `StripAccents takes the marks that the library takes`() throws {
        let ranges = try UnigramFixtures.list("marks.json").elements().map { try $0.ids() }
        let taken = ranges.map { UInt32($0[0])...UInt32($0[1]) }
        var wrong: [UInt32] = []
        for code in UInt32(0)..<0x110000 {
            guard let scalar = Unicode.Scalar(code) else { continue }
            if scalar.isOldMark != taken.contains(where: { $0.contains(code) }) {
                wrong.append(code)
            }
        }
        #expect(wrong.isEmpty, "\(wrong.map { String($0, radix: 16) })")
    }

    // MARK: Faults

    private static func document(_ model: String, normalizer: String = "null") -> [UInt8] {
        Array(#"{"normalizer":\#(normalizer),"model":{\#(model)}}"#.utf8)
    }

    private static let vocab = #""type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["a",-1.5]]"#
    private static let faults: [(json: [UInt8], code: TokenizerError.Code, place: String)] = [
        (document(#""type":"Unigram","unk_id":0,"vocab":{"a":0}"#), .malformed, "model.vocab"),
        (document(#""type":"Unigram","unk_id":0"#), .malformed, "model.vocab"),
        (document(#""type":"BPE","vocab":[["a",0]],"merges":[]"#), .malformed, "model.vocab"),
        (document(#""unk_id":0,"vocab":[]"#), .malformed, "model.vocab"),
        (document(#""unk_id":2,"vocab":[["<unk>",0],["a",-1]]"#), .malformed, "model.unk_id"),
        (document(#""unk_id":-1,"vocab":[["a",0]]"#), .malformed, "model.unk_id"),
        (document(#""unk_id":0,"vocab":[["a",NaN]]"#), .malformed, "model.vocab[0]"),
        (document(#""unk_id":0,"vocab":[["a",0],["b",1e999]]"#), .malformed, "model.vocab[1]"),
        (document(#""unk_id":0,"vocab":[["a",0],["b",-Infinity]]"#), .malformed, "model.vocab[1]"),
        (document(#""unk_id":0,"vocab":[["a",0],["b"]]"#), .malformed, "model.vocab[1]"),
        (document(#""unk_id":0,"vocab":[["a",0],["b",1,2]]"#), .malformed, "model.vocab[1]"),
        (document(#""unk_id":0,"vocab":[["a",0],["a",1]]"#), .malformed, "model.vocab[1]"),
        (document(#""unk_id":0,"vocab":[["a",0] ["b",1]]"#), .malformed, "model.vocab[1]"),
        (document(#""unk_id":0,"vocab":["a"]"#), .malformed, "model.vocab[0]"),
        (
            document(vocab, normalizer: #"{"type":"Precompiled","precompiled_charsmap":""}"#),
            .malformed, "normalizer.precompiled_charsmap"
        ),
        (
            document(vocab, normalizer: #"{"type":"Precompiled","precompiled_charsmap":"%"}"#),
            .malformed, "normalizer.precompiled_charsmap"
        ),
        (
            document(vocab, normalizer: #"{"type":"Precompiled","precompiled_charsmap":null}"#),
            .malformed, "normalizer"
        ),
    ]

    @Test(arguments: faults.indices)
    func `faulty documents are refused with their place`(_ index: Int) throws {
        let fault = Self.faults[index]
        let error = try #require(
            #expect(throws: TokenizerError.self) { try Tokenizer(json: fault.json, file: "t") })
        #expect(error.code == fault.code && error.keyPath == fault.place, "\(error)")
        #expect(error.file == "t")
    }

    @Test(arguments: ["t5", "letters"])
    func `bytes changed anywhere never stop the program`(_ kind: String) throws {
        let bytes = try UnigramFixtures.bytes(kind + ".json")
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<300 {
            var changed = bytes
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                let place = Int.random(in: 0..<changed.count, using: &generator)
                changed[place] = UInt8.random(in: 0x20..<0x7F, using: &generator)
            }
            guard let tokenizer = try? Tokenizer(json: changed) else { continue }
            let ids = try? tokenizer.encode(
                "The river, ｆ\r\n e\u{301} ﷺ müller", addSpecialTokens: true)
            _ = try? tokenizer.decode(ids ?? [])
        }
    }

    @Test func `a table of characters that was cut is refused wherever it was cut`() throws {
        let text = String(decoding: try UnigramFixtures.bytes("xlmr.json"), as: UTF8.self)
        let key = #""precompiled_charsmap":""#
        let start = try #require(text.firstRange(of: key)?.upperBound)
        let end = try #require(text[start...].firstIndex(of: "\""))
        let table = Array(text[start..<end])
        for kept in stride(from: 0, to: table.count - 4, by: 4 * (table.count / 160)) {
            let cut = text[..<start] + String(table[..<kept]) + text[end...]
            let error = try #require(
                #expect(throws: TokenizerError.self) { try Tokenizer(json: Array(cut.utf8)) })
            #expect(error.message.contains("table of characters"))
        }
    }

    @Test func `without an unknown token unknown characters are errors of the text`() throws {
        let tokenizer = try Tokenizer(json: Self.document(#""vocab":[["a",0],["",1]]"#))
        #expect(try tokenizer.encode("aa", addSpecialTokens: false) == [0, 0])
        #expect { try tokenizer.encode("ab", addSpecialTokens: false) } throws: {
            ($0 as? TokenizerError)?.code == .text
        }
    }

    @Test func `what GGUF writers have no words for is refused, and tokens can be added`() throws {
        let folder = try TemporaryFolder()
        try folder.write("tokenizer.json", UnigramFixtures.bytes("t5.json"))
        let error = try #require(
            #expect(throws: TokenizerError.self) { try TokenizerParts(folder: folder.path) })
        #expect(error.code == .unsupported && error.message.contains("Unigram"))
        let old = try Tokenizer.load(folder: folder.path)
        let change = TokenizerChange(
            added: [TokenizerChange.NewToken("<more>", isSpecial: true)], renamed: [0: "<fill>"])
        let patch = try TokenizerPatch(change, folder: folder.path)
        let copy = try TemporaryFolder()
        try patch.copy(to: copy.path)
        let tokenizer = try Tokenizer.load(folder: copy.path)
        #expect(tokenizer.id(for: "<more>").map(Int.init) == old.idBound)
        #expect(tokenizer.token(for: 0) == "<fill>" && tokenizer.id(for: "<pad>") == nil)
        #expect(
            try tokenizer.encode("the old mill", addSpecialTokens: true)
                == old.encode("the old mill", addSpecialTokens: true))
    }
}
