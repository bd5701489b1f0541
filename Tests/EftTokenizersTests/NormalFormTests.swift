// SPDX-License-Identifier: Apache-2.0
// Normal forms where utf8proc alone would be wrong or slow; the fixtures of the tokenizers library have the rest.
import Testing

@testable import EftTokenizers

struct NormalFormTests {
    private func apply(_ form: NormalForm, _ scalars: [UInt32]) -> [UInt32] {
        let text = String(String.UnicodeScalarView(scalars.compactMap(Unicode.Scalar.init)))
        return String(decoding: NormalForm.apply(form, to: Array(text.utf8)), as: UTF8.self)
            .unicodeScalars.map(\.value)
    }

    @Test func `marks are ordered by class, those of one class as they stand`() {
        // Classes 230, 220, 202, 230, 220.
        let marks: [UInt32] = [0x301, 0x323, 0x327, 0x300, 0x324]
        let ordered: [UInt32] = [0x327, 0x323, 0x324, 0x301, 0x300]
        #expect(apply(.nfd, [0x78] + marks) == [0x78] + ordered)
        // A square of this number would take minutes.
        let many = apply(.nfd, [0x78] + (0..<400_000).map { marks[$0 % 5] })
        #expect(many.count == 400_001 && many[1..<80_001].allSatisfy { $0 == 0x327 })
        #expect(Array(many.suffix(2)) == [0x301, 0x300])
    }

    @Test func `hangul composes, and the place before its trailing consonants stays`() {
        #expect(apply(.nfc, [0x1112, 0x1161, 0x11AB]) == [0xD55C])
        #expect(apply(.nfc, [0xAC00, 0x11A7, 0x11A8]) == [0xAC00, 0x11A7, 0x11A8])
        #expect(apply(.nfd, [0xD55C]) == [0x1112, 0x1161, 0x11AB])
        // Half-width jamo first become jamo.
        #expect(apply(.nfkc, [0xFFBE, 0xFFC2, 0xFFA4]) == [0xD558, 0x1102])
    }

    @Test func `a stretch that ends before a letter leaves the same text`() {
        let word: [UInt32] = [0x61, 0x30A, 0x327, 0xE9, 0x4E2D]
        let words = Array(repeatElement(word, count: 3000).joined())
        let one = apply(.nfc, word)
        #expect(apply(.nfc, words) == Array(repeatElement(one, count: 3000).joined()))
    }
}
