// SPDX-License-Identifier: Apache-2.0
// Thoughts split from answers, whole and in pieces.
import EftGeneration
import EftTensor
import EftTestSupport
import Testing

struct ReasoningTests {
    private struct Parts: Equatable {
        var reasoning = ""
        var content = ""

        mutating func add(_ parts: [ReasoningPart]) {
            for part in parts {
                switch part {
                case .reasoning(let text): reasoning += text
                case .content(let text): content += text
                }
            }
        }
    }

    private func split(_ name: String, _ pieces: [String], after prompt: String = "") throws
        -> Parts
    {
        var splitter = try #require(ReasoningFormat.format(named: name)).splitter(after: prompt)
        var parts = Parts()
        for piece in pieces { parts.add(splitter.add(piece)) }
        parts.add(splitter.finish())
        return parts
    }

    @Test func `thoughts are split from what is said, in any pieces`() throws {
        let open = "<|im_start|>assistant\n<think>\n"
        let cases: [(String, String, String, String, String)] = [
            ("qwen3", "", "<think>\nhm\n</think>\n\nHello", "\nhm\n", "\n\nHello"),
            ("qwen3", "", "\n<think>a</think>b", "a", "b"),
            ("qwen3", "", "Hello <think>x</think>", "", "Hello <think>x</think>"),
            ("qwen3", open, "hm\n</think>\n\nHello", "hm\n", "\n\nHello"),
            ("qwen3", open, "never ends", "never ends", ""),
            ("qwen3", "<think>\n\n</think>\n\n", "Hello", "", "Hello"),
            ("qwen3", "", "<thin", "", "<thin"), ("qwen3", "", "", "", ""),
            ("qwen3", "", " \n", "", " \n"), ("qwen3", open, "a</thin", "a</thin", ""),
            ("qwen3", open, "a </ b </think>c", "a </ b ", "c"),
            ("deepseek_r1", "", "hm</think>Hello", "hm", "Hello"),
            ("deepseek_r1", "", "<think>hm</think>Hello", "hm", "Hello"),
            ("deepseek_r1", "", "\n<think>\nhm</think>", "\nhm", ""),
            ("deepseek_r1", "", "hm <think> hm</think>x", "hm <think> hm", "x"),
            ("deepseek_r1", "", "</think>Hello", "", "Hello"),
            ("deepseek_r1", "", "<<think>a</think>b", "<<think>a", "b"),
            ("deepseek_r1", "", "<th</think>b", "<th", "b"),
            ("mistral", "", "[THINK]é😀[/THINK]b[/THINK]", "é😀", "b[/THINK]"),
            ("granite", "", "Here is my thought process: a. Here is my response: b", " a. ", " b"),
        ]
        var random = SplitMix64(seed: 81)
        for (name, prompt, text, reasoning, content) in cases {
            let expected = Parts(reasoning: reasoning, content: content)
            #expect(try split(name, [text], after: prompt) == expected, "\(name) \(text)")
            for pieces in TextPieces.pieces(of: text, &random) {
                #expect(try split(name, pieces, after: prompt) == expected, "\(name) \(pieces)")
            }
        }
    }

    @Test func `parts come as soon as they are certain`() throws {
        var splitter = try #require(ReasoningFormat.format(named: "qwen3")).splitter(after: "")
        #expect(splitter.add("<thi") == [])
        #expect(splitter.add("nk>a b") == [.reasoning("a b")])
        #expect(splitter.isInside)
        #expect(splitter.add(" c</th") == [.reasoning(" c")])
        #expect(splitter.add("ink> d") == [.content(" d")])
        #expect(!splitter.isInside)
        #expect(splitter.finish() == [])
    }

    @Test func `random texts are split alike in any pieces, and nothing is lost`() throws {
        let words = ["<think>", "</think>", "<thi", "</", "<", ">", "a", "\n", " ", "é"]
        var random = SplitMix64(seed: 82)
        for _ in 0..<5000 {
            let count = Int.random(in: 0...10, using: &random)
            let text = (0..<count).map { _ in words.randomElement(using: &random) ?? "" }.joined()
            for (name, prompt) in [("qwen3", ""), ("qwen3", "<think>\n"), ("deepseek_r1", "")] {
                let whole = try split(name, [text], after: prompt)
                let pieces = text.unicodeScalars.map { String($0) }
                #expect(try split(name, pieces, after: prompt) == whole, "\(text.debugDescription)")
                let lost = text.utf8.count - whole.reasoning.utf8.count - whole.content.utf8.count
                #expect(lost >= 0 && lost <= "<think></think>".utf8.count + 10)
            }
        }
    }

    @Test func `a prompt that ends with the first mark is open`() throws {
        let format = try #require(ReasoningFormat.format(named: "qwen3"))
        #expect(format.isOpen(atEndOf: "x<think>"))
        #expect(format.isOpen(atEndOf: "x<think>\n"))
        #expect(!format.isOpen(atEndOf: "x<think>\n\n</think>\n\n"))
        #expect(!format.isOpen(atEndOf: ""))
        #expect(ReasoningFormat.format(named: "nothing") == nil)
    }
}
