// SPDX-License-Identifier: Apache-2.0
// Tokenizer files whose rules would turn a page of text into gigabytes, or take minutes for it.
import Testing

@testable import EftTokenizers

struct HostileRuleTests {
    private static let page = String(repeating: "a b é. ", count: 600)

    private static func document(
        added: String = "[]", normalizer: String = "null", pre: String = "null",
        post: String = "null", decoder: String = "null"
    ) -> [UInt8] {
        TokenizerLoadingTests.document(
            added: added, normalizer: normalizer, pre: pre, post: post, decoder: decoder,
            vocab: #"{"a":0,"b":1," ":2,"é":3,".":4,"▁":5,"aa":6}"#, merges: "[]")
    }

    private static func list(_ kind: String, _ key: String, _ items: [String]) -> String {
        #"{"type":"\#(kind)","\#(key)":[\#(items.joined(separator: ","))]}"#
    }

    private static func replace(_ text: String, _ content: String) -> String {
        #"{"type":"Replace","pattern":{"String":"\#(text)"},"content":"\#(content)"}"#
    }

    /// The refusal of the page by a tokenizer of these rules.
    private func refusal(_ json: [UInt8]) -> TokenizerError? {
        #expect(throws: TokenizerError.self) {
            try Tokenizer(json: json).encode(Self.page, addSpecialTokens: true)
        }
    }

    @Test func `a normalizer that multiplies a letter again and again`() throws {
        let rules = Array(repeating: Self.replace("a", "aaaaaaaaaa"), count: 12)
        let error = refusal(
            Self.document(normalizer: Self.list("Sequence", "normalizers", rules)))
        #expect(error?.code == .text)
        #expect(error?.message.contains("Replace of 'a' by 10 bytes") == true)
    }

    @Test func `a normalizer whose one replacement is long`() throws {
        let error = refusal(
            Self.document(normalizer: Self.replace("a", String(repeating: "b", count: 4000))))
        #expect(error?.code == .text)
    }

    @Test func `a normalizer that grows each of many small pieces`() throws {
        let json = Self.document(
            added: #"[{"id":7,"content":"b","normalized":false}]"#,
            normalizer: Self.replace("a", String(repeating: "é", count: 250)))
        let text = String(repeating: "ab", count: 5000)
        let error = #expect(throws: TokenizerError.self) {
            try Tokenizer(json: json).encode(text, addSpecialTokens: false)
        }
        #expect(error?.code == .text)
    }

    @Test func `prefixes that are put before each other`() throws {
        let prefix = #"{"type":"Prepend","prepend":"\#(String(repeating: "a", count: 3000))"}"#
        let rules = Array(repeating: prefix, count: 100)
        let error = refusal(
            Self.document(normalizer: Self.list("Sequence", "normalizers", rules)))
        #expect(error?.message.contains("the rule Prepend") == true)
    }

    @Test func `the growth that Unicode brings is not refused`() throws {
        let json = Self.document(
            normalizer: Self.list(
                "Sequence", "normalizers",
                [#"{"type":"NFKC"}"#, #"{"type":"Lowercase"}"#, Self.replace(" ", "▁")]))
        let ids = try Tokenizer(json: json)
            .encode(String(repeating: "\u{FDFA}", count: 2000), addSpecialTokens: false)
        #expect(ids.filter { $0 == 5 }.count == 6000)
    }

    @Test func `byte-level steps that encode each other's characters`() throws {
        let step = #"{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}"#
        let error = refusal(
            Self.document(
                pre: Self.list("Sequence", "pretokenizers", Array(repeating: step, count: 40))))
        #expect(error?.code == .text)
        #expect(error?.message.contains("ByteLevel") == true)
    }

    @Test func `prefixes before pieces that are cut and cut again`() throws {
        let steps = (0..<60).map { index in
            #"{"type":"Metaspace","replacement":"\#(["é", "▁"][index % 2])","prepend_scheme":"always"}"#
        }
        let cut = #"{"type":"Split","pattern":{"Regex":"."},"behavior":"Isolated"}"#
        let error = refusal(
            Self.document(
                pre: Self.list("Sequence", "pretokenizers", steps.flatMap { [$0, cut] })))
        #expect(error?.message.contains("Metaspace") == true)
    }

    @Test(arguments: [
        ("pre_tokenizer", "pretokenizers", #"{"type":"WhitespaceSplit"}"#),
        ("normalizer", "normalizers", #"{"type":"NFC"}"#),
        ("decoder", "decoders", #"{"type":"Fuse"}"#),
        (
            "post_processor", "processors",
            #"{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A"}}]}"#
        ),
    ])
    func `lists of steps that are longer than any known one`(
        part: String, key: String, step: String
    ) throws {
        func json(_ count: Int) -> [UInt8] {
            let list = Self.list("Sequence", key, Array(repeating: step, count: count))
            switch part {
            case "pre_tokenizer": return Self.document(pre: list)
            case "normalizer": return Self.document(normalizer: list)
            case "decoder": return Self.document(decoder: list)
            default: return Self.document(post: list)
            }
        }
        _ = try Tokenizer(json: json(200))
        let error = #expect(throws: TokenizerError.self) { try Tokenizer(json: json(20_000)) }
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("more than 256") == true)
    }

    private static func template(_ texts: Int, tokens: Int = 0) -> String {
        let pieces =
            Array(repeating: #"{"Sequence":{"id":"A"}}"#, count: texts)
            + Array(repeating: #"{"SpecialToken":{"id":"a"}}"#, count: tokens)
        return #"{"type":"TemplateProcessing","single":[\#(pieces.joined(separator: ","))],"#
            + #""special_tokens":{"a":{"ids":[0]}}}"#
    }

    @Test func `templates that repeat the text are refused when they are loaded`() throws {
        let several = [
            Self.template(5000), Self.template(1, tokens: 5000),
            Self.list("Sequence", "processors", Array(repeating: Self.template(2), count: 30)),
            Self.list(
                "Sequence", "processors", Array(repeating: Self.template(1, tokens: 100), count: 50)
            ),
        ]
        for post in several {
            let error = #expect(throws: TokenizerError.self) {
                try Tokenizer(json: Self.document(post: post))
            }
            #expect(error?.code == .unsupported)
            #expect(error?.message.contains("repeats the text") == true)
        }
        let fair = try Tokenizer(json: Self.document(post: Self.template(2, tokens: 1)))
        #expect(try fair.encode("ab", addSpecialTokens: true) == [0, 1, 0, 1, 0])
    }

    @Test func `a decoder that multiplies what it gives out`() throws {
        let rules = Array(repeating: Self.replace("a", "aaaaaaaaaa"), count: 12)
        let tokenizer = try Tokenizer(
            json: Self.document(decoder: Self.list("Sequence", "decoders", rules)))
        let error = #expect(throws: TokenizerError.self) { try tokenizer.decode([0, 0, 1]) }
        #expect(error?.code == .text)
        let strip = #"{"type":"Strip","content":"a","start":0,"stop":1000000000}"#
        #expect(throws: TokenizerError.self) {
            try Tokenizer(json: Self.document(decoder: strip))
        }
    }

    @Test func `an added token that is compared at every place`() throws {
        let long = String(repeating: "a", count: 100_000)
        let error = #expect(throws: TokenizerError.self) {
            try Tokenizer(json: Self.document(added: #"[{"id":7,"content":"\#(long)"}]"#))
        }
        #expect(error?.code == .unsupported)
    }

    /// Quadratic time would take hours here.
    @Test(arguments: [#""lstrip":true"#, #""rstrip":true"#, #""lstrip":true,"rstrip":true"#])
    func `white space around tokens is looked through once`(flags: String) throws {
        let json = Self.document(added: #"[{"id":2,"content":" ",\#(flags)}]"#)
        let count = 300_000
        let ids = try Tokenizer(json: json)
            .encode(String(repeating: " ", count: count), addSpecialTokens: false)
        #expect(ids == Array(repeating: 2, count: count))
    }

    @Test func `stripped white space ends as before`() throws {
        let tokenizer = try Tokenizer(
            json: Self.document(
                added: #"[{"id":7,"content":"<x>","lstrip":true,"rstrip":true}]"#))
        #expect(try tokenizer.encode("a  <x> \t<x>  b", addSpecialTokens: false) == [0, 7, 7, 1])
    }
}
