// SPDX-License-Identifier: Apache-2.0
// Text broken into lines in whatever pieces it comes.
import EftCommandLine
import Testing

@Suite struct StreamedWrapTests {
    private func wrap(_ pieces: [String], _ width: Int) -> String {
        var wrap = StreamedWrap(width: width)
        let parts = pieces.map { wrap.add($0) }
        return parts.joined() + wrap.finish()
    }

    @Test(arguments: [
        ("one two three", 7, "one two\nthree"), ("one two three", 8, "one two\nthree"),
        ("one two three", 6, "one\ntwo\nthree"), ("one\n  two three", 7, "one\n  two\nthree"),
        ("", 5, ""), (" ", 5, " "), ("a\n\nb", 1, "a\n\nb"), ("abcdefgh ij", 3, "abc\ndef\ngh\nij"),
        ("日本語です", 4, "日本\n語で\nす"), ("ab日本", 4, "ab日\n本"), ("a  b", 3, "a\nb"), ("a  b", 4, "a  b"),
    ])
    func `lines fit, and words stay whole`(_ text: String, _ width: Int, _ wanted: String) {
        #expect(wrap([text], width) == wanted)
        #expect(wrap(text.map { String($0) }, width) == wanted)
        for line in wanted.split(separator: "\n") { #expect(displayWidth(String(line)) <= width) }
    }

    @Test func `a word is held back until it ends`() {
        var wrap = StreamedWrap(width: 10)
        #expect(wrap.add("hel") == "")
        #expect(wrap.add("lo wor") == "hello")
        #expect(wrap.add("ld") == "")
        #expect(wrap.add("\n") == "\nworld\n")
        #expect(wrap.finish() == "")
    }

    @Test func `nothing but spaces is lost`() {
        let words = ["a", "word", " ", "\n", "longer-than-a-line", "日", "é"]
        for seed in 0..<500 {
            let text = (0..<seed % 17).map { words[(seed * 31 + $0 * 7 + seed / 3) % words.count] }
                .joined()
            func bare(_ text: String) -> String { text.filter { !$0.isWhitespace } }
            #expect(bare(wrap([text], 6)) == bare(text))
            #expect(wrap(text.map { String($0) }, 6) == wrap([text], 6))
        }
    }
}
