// SPDX-License-Identifier: Apache-2.0
// Patterns and character sets against the `tokenizers` library.

import EftConfig
import Testing

@testable import EftTokenizers

struct PatternTests {
    @Test func `splits as the library does, with every behavior`() throws {
        let document = try ConfigCursor(JSONParser.parse(TokenizerFixtures.bytes("splits.json")))
        let texts = try document.required("texts").elements().map { try $0.string() }
        let state = try MatchState()
        for item in try document.required("splits").elements().map({ try $0.elements() }) {
            let source = try item[0].string()
            let pattern: Pattern
            do { pattern = try Pattern(source) } catch {
                Issue.record("\(error)")
                continue
            }
            let behavior = try #require(PreTokenizerStep.Behavior(rawValue: item[1].string()))
            let invert = try item[2].bool()
            for (index, expected) in zip(try item[3].elements(), try item[4].elements()) {
                var text = texts[try index.int()]
                let pieces = try text.withUTF8 { bytes in
                    let spans = try PreTokenizerStep.Delimiter.pattern(pattern)
                        .spans(in: bytes, state: state)
                    return behavior.pieces(of: spans, invert: invert)
                        .filter { $0.start < $0.end }
                        .map { String(decoding: bytes[$0.start..<$0.end], as: UTF8.self) }
                }
                let wanted = try expected.elements().map { try $0.string() }
                #expect(
                    pieces.count == wanted.count && zip(pieces, wanted).allSatisfy(same),
                    "\(source) \(behavior) \(invert): \(pieces), not \(wanted)")
            }
        }
    }

    @Test func `character sets hold the same code points as the library's`() throws {
        var texts: [[UInt8]] = []
        for code in UInt32(0)..<0x110000 {
            guard let scalar = Unicode.Scalar(code) else { continue }
            if code % 0x2000 == 0 { texts.append([]) }
            texts[texts.count - 1] += UTF8.encode(scalar) ?? .init()
        }
        let state = try MatchState()
        for item in try TokenizerFixtures.list("sets.json").map({ try $0.elements() }) {
            let source = try item[0].string()
            let pattern = try Pattern("(?:\(source))+")
            var count = 0
            var hash: UInt64 = 0xCBF2_9CE4_8422_2325
            for text in texts {
                try text.withUnsafeBufferPointer { bytes in
                    var matches = PatternMatches(pattern, in: bytes, state: state)
                    while let match = try matches.next() {
                        UnsafeBufferPointer(rebasing: bytes[match.start..<match.end])
                            .forEachScalar { scalar, _, _ in
                                count += 1
                                hash = (hash ^ UInt64(scalar.value)) &* 0x100_0000_01B3
                            }
                    }
                }
            }
            let digits = String(hash, radix: 16)
            let padded = String(repeating: "0", count: 16 - digits.count) + digits
            let (wanted, digest) = (try item[1].int(), try item[2].string())
            #expect(count == wanted && padded == digest, "\(source): \(count) of \(wanted)")
        }
    }

    @Test(arguments: [
        "(", ")", "a)", "[a", "[a&&b]", "[[:alpha:]]", #"\1"#, #"\k<n>"#, #"\X"#, #"\G"#, #"\K"#,
        "*a", "+", "a|*", "(?s:.)", "(?x: a)", "(*VERB)", #"\p{Nothing}"#, #"\pL"#, #"\x80"#,
        #"\x{110000}"#, #"\x{d800}"#, #"\u00"#, "[z-a]", #"[a-\d]"#, #"\"#, "(?", "(?i", "(?#",
        #"\x{"#, #"\p{"#, "[^[^a]\\S]x[\\S[^\\Sa]]",
    ])
    func `refuses a pattern it cannot match as the library would`(pattern: String) {
        #expect { try Pattern(pattern) } throws: { ($0 as? TokenizerError)?.code == .pattern }
    }

    @Test func `a match too deep for the JIT's stack is found without it`() throws {
        let pattern = try Pattern("(?:a|b)+")
        let state = try MatchState()
        let text = [UInt8](repeating: UInt8(ascii: "b"), count: 600_000)
        let match = try text.withUnsafeBufferPointer {
            try pattern.firstMatch(in: $0, from: 0, state: state)
        }
        #expect(match?.end == text.count)
    }

    @Test func `a match that exceeds the limits is an error`() throws {
        let pattern = try Pattern("(?:a+)+[bc]")
        let state = try MatchState()
        let text = [UInt8](repeating: UInt8(ascii: "a"), count: 4000)
        #expect {
            try text.withUnsafeBufferPointer {
                try pattern.firstMatch(in: $0, from: 0, state: state)
            }
        } throws: {
            ($0 as? TokenizerError)?.code == .matching
        }
    }
}
