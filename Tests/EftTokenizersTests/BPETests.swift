// SPDX-License-Identifier: Apache-2.0
// Merging, tables and repair of bytes, each against a plain definition.

import Testing

@testable import EftTokenizers

struct BPETests {
    @Test func `merges the pair of lowest rank first, leftmost first`() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            var table = MergeTable(capacity: 0)
            var plain: [[Int32]: (rank: UInt32, id: Int32)] = [:]
            var next: Int32 = 4
            for rank in 0..<UInt32(30) {
                let pair = [
                    Int32.random(in: 0..<next, using: &generator),
                    Int32.random(in: 0..<next, using: &generator),
                ]
                guard plain[pair] == nil else { continue }
                plain[pair] = (rank, next)
                table.set(pair[0], pair[1], rank: rank, id: next)
                next += 1
            }
            var word = (0..<Int.random(in: 0..<60)).map { _ in Int32.random(in: 0..<4) }
            var scratch = MergeScratch()
            for id in word { scratch.append(id) }
            scratch.merge(with: table)
            var ids: [Int32] = []
            scratch.appendSymbols(to: &ids)
            while true {
                let best = word.indices.dropLast()
                    .compactMap { i in plain[[word[i], word[i + 1]]].map { ($0.rank, i, $0.id) } }
                    .min { ($0.0, $0.1) < ($1.0, $1.1) }
                guard let best else { break }
                word.replaceSubrange(best.1...(best.1 + 1), with: [best.2])
            }
            #expect(ids == word)
        }
    }

    @Test func `a long word takes no quadratic time`() throws {
        let tokenizer = try TokenizerFixtures.tokenizer("gpt2")
        let text = String(repeating: "aerodynamically", count: 20_000)
        let ids = try tokenizer.encode(text, addSpecialTokens: false)
        #expect(try tokenizer.decode(ids) == text)
    }

    @Test func `a table of byte strings finds what was put in, and nothing else`() {
        var table = ByteStringTable(capacity: 0)
        let words = (0..<3000).map { Array(String($0, radix: 3).utf8) + [0] } + [[]]
        for (index, word) in words.enumerated() {
            let entry = word.withUnsafeBufferPointer { table.insert($0) }
            #expect(entry.index == index && entry.isNew)
        }
        for (index, word) in words.enumerated() {
            #expect(table.index(of: word) == index)
            #expect(Array(table[index]) == word)
        }
        #expect(table.index(of: Array("9".utf8)) == nil)
        table.removeAll()
        #expect(table.index(of: words[0]) == nil)
    }

    @Test func `a word cache that overflows forgets and goes on`() {
        var cache = WordCache()
        var failures = 0
        for number in 0..<70_000 {
            let word = Array("w\(number)".utf8)
            word.withUnsafeBufferPointer {
                cache.insert($0, [Int32(number), 7])
                var ids: [Int32] = []
                if !cache.append($0, to: &ids) || ids != [Int32(number), 7] { failures += 1 }
            }
        }
        #expect(failures == 0)
    }

    @Test func `repairs bytes as the standard library does, whatever the cuts`() {
        var generator = SystemRandomNumberGenerator()
        let pool: [UInt8] = [
            0x41, 0x80, 0xBF, 0x9F, 0xA0, 0xC0, 0xC3, 0xE0, 0xE4, 0xED, 0xEF, 0xF0, 0xF1, 0xF4,
            0xF5, 0xFF,
        ]
        for _ in 0..<1000 {
            let bytes = (0..<Int.random(in: 0..<12)).compactMap { _ in
                pool.randomElement(using: &generator)
            }
            var pending: [UInt8] = []
            var text: [UInt8] = []
            for byte in bytes {
                pending.append(byte)
                let part = UTF8Repair.takeWhole(&pending, isEnd: false)
                #expect(String(validating: part, as: UTF8.self) != nil)
                text += part
            }
            text += UTF8Repair.takeWhole(&pending, isEnd: true)
            #expect(text == Array(String(decoding: bytes, as: UTF8.self).utf8), "\(bytes)")
        }
    }
}
