// SPDX-License-Identifier: Apache-2.0
// A text ends at its first stop string however it is cut.
import EftGeneration
import EftTensor
import Testing

@Suite struct StopMatcherTests {
    private func pieces(
        _ pieces: [String], _ stops: [String], includesStop: Bool = false
    ) -> (given: [String], match: String?) {
        var matcher = StopMatcher(stops, includesStop: includesStop)
        var given = pieces.map { matcher.append($0) }
        given.append(matcher.finish())
        return (given, matcher.match)
    }

    @Test func `what may begin a stop string is held back`() {
        let found = pieces(["a#", "#b", "##", "#c"], ["###"])
        #expect(found.given == ["a", "##b", "", "", ""] && found.match == "###")
        let kept = pieces(["a#", "#b", "##", "#c"], ["###"], includesStop: true)
        #expect(kept.given == ["a#", "#b", "##", "#", ""] && kept.match == "###")
        let unfinished = pieces(["a#", "#"], ["###"])
        #expect(unfinished.given == ["a", "", "##"] && unfinished.match == nil)
    }

    @Test func `the stop string that is complete first counts, then the longest`() {
        #expect(pieces(["xabcd"], ["abcd", "bc"]).given == ["xa", ""])
        #expect(pieces(["xabc"], ["bc", "abc", "c"]).given == ["x", ""])
        #expect(pieces(["xabc"], ["bc", "abc", "c"]).match == "abc")
        #expect(pieces(["abab", "ac"], ["abac"]).given == ["ab", "", ""])
    }

    @Test func `characters stay whole`() {
        let found = pieces(["ß", "é", "é", "🙂", "x"], ["ééé", "é🙂y"])
        #expect(found.given == ["ß", "", "", "é", "é🙂x", ""] && found.match == nil)
        #expect(pieces(["日本", "語の"], ["語"]).given == ["日本", "", ""])
    }

    @Test func `without stop strings text goes through`() {
        #expect(pieces(["a", "b"], []).given == ["a", "b", ""])
        #expect(pieces(["a", "b"], [""]).given == ["a", "b", ""])
    }

    /// The definition: the least end, then the longest stop string.
    private func cut(
        _ text: [UInt8], _ stops: [[UInt8]], after least: Int, includesStop: Bool
    ) -> ArraySlice<UInt8> {
        for end in 0...text.count where end > least {
            let found = stops.filter { !$0.isEmpty && text[..<end].suffix($0.count) == $0[...] }
            if let longest = found.map(\.count).max() {
                return text[..<(includesStop ? end : end - longest)]
            }
        }
        return text[...]
    }

    @Test func `any cut gives the text that the whole gives`() {
        var random = SplitMix64(seed: 3)
        let alphabets: [[Character]] = [["a", "b"], ["a", "é", "🙂"], ["é", "è"]]
        for round in 0..<20_000 {
            let alphabet = alphabets[round % alphabets.count]
            func text(_ most: Int) -> [Character] {
                (0..<Int.random(in: 0...most, using: &random)).map { _ in
                    alphabet.randomElement(using: &random) ?? "a"
                }
            }
            let stops = (0..<Int.random(in: 0...3, using: &random)).map { _ in String(text(5)) }
            let includesStop = round % 2 == 0
            var matcher = StopMatcher(stops, includesStop: includesStop)
            var (whole, found, silent) = ("", "", 0)
            let silentPieces = Int.random(in: 0...2, using: &random)
            let longest = stops.map(\.utf8.count).max() ?? 0
            for place in 0..<Int.random(in: 0...6, using: &random) {
                let piece = String(text(6))
                whole += piece
                found += matcher.append(piece, canStop: place >= silentPieces)
                if place < silentPieces { silent = whole.utf8.count }
                if matcher.match == nil {
                    #expect(found.utf8.count >= whole.utf8.count - max(longest - 1, 0))
                }
            }
            found += matcher.finish()
            let wanted = cut(
                Array(whole.utf8), stops.map { Array($0.utf8) }, after: silent,
                includesStop: includesStop)
            #expect(Array(found.utf8) == Array(wanted))
        }
    }
}
