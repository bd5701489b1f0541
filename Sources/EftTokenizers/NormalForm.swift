// SPDX-License-Identifier: Apache-2.0
// The four normal forms of Unicode, as the library's tables have them.

import Foundation

/// A normal form of Unicode.
///
/// Foundation does the work, but for two things: code points that the library's older tables do not know are left alone,
/// and Hangul is composed here, because Foundation composes some jamo that it should not and misses others.
enum NormalForm: Sendable {
    case nfc, nfd, nfkc, nfkd

    /// Normalizes text (valid UTF-8).
    static func apply(_ form: NormalForm, to text: [UInt8]) -> [UInt8] {
        // Everything before U+0300 (0xCC 0x80) is composed already, and before U+0080 decomposed.
        let limit: UInt8 = form == .nfc ? 0xCC : 0x80
        guard text.contains(where: { $0 >= limit }) else { return text }
        let scalars = String(decoding: text, as: UTF8.self).unicodeScalars
        if form == .nfc && scalars.allSatisfy(isComposed) { return text }
        // The compatibility form may bring up jamo that compose.
        if form == .nfkc { return apply(.nfc, to: apply(.nfkd, to: text)) }
        var result: [UInt8] = []
        var stretch = String.UnicodeScalarView()
        var hangul: [UInt32] = []
        for scalar in scalars {
            if form.isHangul(scalar) {
                form.flush(&stretch, into: &result)
                hangul.append(scalar.value)
            } else {
                form.flush(&hangul, into: &result)
                if isInert(scalar) {
                    form.flush(&stretch, into: &result)
                    append(scalar.value, to: &result)
                } else {
                    stretch.append(scalar)
                }
            }
        }
        form.flush(&stretch, into: &result)
        form.flush(&hangul, into: &result)
        return result
    }

    private func flush(_ stretch: inout String.UnicodeScalarView, into result: inout [UInt8]) {
        if stretch.isEmpty { return }
        let text = String(stretch)
        stretch = .init()
        switch self {
        case .nfc: result += Array(text.precomposedStringWithCanonicalMapping.utf8)
        case .nfd: result += Array(text.decomposedStringWithCanonicalMapping.utf8)
        case .nfkc: result += Array(text.precomposedStringWithCompatibilityMapping.utf8)
        case .nfkd: result += Array(text.decomposedStringWithCompatibilityMapping.utf8)
        }
    }

    // MARK: Hangul (Unicode 16, section 3.12)

    private static let firstSyllable: UInt32 = 0xAC00
    private static let syllables: UInt32 = 11_172
    private static let (firstLead, leads): (UInt32, UInt32) = (0x1100, 19)
    private static let (firstVowel, vowels): (UInt32, UInt32) = (0x1161, 21)
    /// One before the first trailing consonant, and their number with none counted.
    private static let (baseTrail, trails): (UInt32, UInt32) = (0x11A7, 28)

    /// Hangul never composes with, nor is reordered against, anything else.
    private func isHangul(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value &- 0x1100 < 0x100 || scalar.value &- Self.firstSyllable < Self.syllables
    }

    private func flush(_ hangul: inout [UInt32], into result: inout [UInt8]) {
        if hangul.isEmpty { return }
        if self == .nfc || self == .nfkc {
            for code in Self.composed(hangul) { Self.append(code, to: &result) }
        } else {
            for code in hangul { Self.decompose(code, into: &result) }
        }
        hangul.removeAll(keepingCapacity: true)
    }

    private static func composed(_ codes: [UInt32]) -> [UInt32] {
        var result: [UInt32] = []
        for code in codes {
            if let last = result.last {
                if last &- firstLead < leads, code &- firstVowel < vowels {
                    let pair = (last &- firstLead) &* vowels &+ (code &- firstVowel)
                    result[result.count - 1] = firstSyllable &+ pair &* trails
                    continue
                }
                let isOpen =
                    last &- firstSyllable < syllables && (last &- firstSyllable) % trails == 0
                if isOpen, code > baseTrail, code &- baseTrail < trails {
                    result[result.count - 1] = last &+ (code &- baseTrail)
                    continue
                }
            }
            result.append(code)
        }
        return result
    }

    private static func decompose(_ code: UInt32, into result: inout [UInt8]) {
        let index = code &- firstSyllable
        guard index < syllables else { return append(code, to: &result) }
        append(firstLead &+ index / (vowels &* trails), to: &result)
        append(firstVowel &+ index % (vowels &* trails) / trails, to: &result)
        if index % trails != 0 { append(baseTrail &+ index % trails, to: &result) }
    }

    private static func append(_ code: UInt32, to result: inout [UInt8]) {
        if let scalar = Unicode.Scalar(code) {
            result.append(contentsOf: UTF8.encode(scalar) ?? .init())
        }
    }

    // MARK: Ranges

    /// Whether text of such characters alone is surely composed: none decomposes, combines or reorders.
    private static func isComposed(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x300, 0x388...0x482, 0x48A...0x52F, 0x2010...0x2027, 0x2030...0x205E,
            0x3000...0x3029, 0x3030...0x3098, 0x309B...0x30FF, 0x4E00...0x9FFF, 0xAC00...0xD7A3,
            0xFE0F, 0xFF00...0xFFEF, 0x1F300...0x1FAFF:
            true
        default: false
        }
    }

    private static func isInert(_ scalar: Unicode.Scalar) -> Bool {
        let spans = UnicodeTables.unknownToNormalization
        var (low, high) = (0, spans.count)
        while low < high {
            let middle = (low + high) / 2
            if spans[middle].last < scalar.value { low = middle + 1 } else { high = middle }
        }
        return low < spans.count && spans[low].first <= scalar.value
    }
}
