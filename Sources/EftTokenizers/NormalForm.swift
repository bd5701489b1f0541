// SPDX-License-Identifier: Apache-2.0
// The four normal forms of Unicode, as the library's tables have them.

import CUTF8Proc

/// A normal form of Unicode (Unicode Standard Annex 15).
///
/// utf8proc has the tables of decompositions and combining classes, and composes. Marks are put in order here, because
/// utf8proc moves them one place at a time, which takes the square of their number. Code points that the library's older
/// tables do not know are left alone.
enum NormalForm: Sendable {
    case nfc, nfd, nfkc, nfkd

    /// Normalizes text (valid UTF-8).
    static func apply(_ form: NormalForm, to text: [UInt8]) -> [UInt8] {
        // Everything before U+0300 (0xCC 0x80) is composed already, and before U+0080 decomposed.
        let limit: UInt8 = form == .nfc ? 0xCC : 0x80
        guard text.contains(where: { $0 >= limit }) else { return text }
        let scalars = String(decoding: text, as: UTF8.self).unicodeScalars
        if form == .nfc && scalars.allSatisfy(isComposed) { return text }
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        var stretch: [Int32] = []
        for scalar in scalars {
            if isInert(scalar) {
                form.flush(&stretch, into: &result)
                append(scalar, to: &result)
                continue
            }
            // Nothing before an ASCII character composes or changes places with what follows it.
            if scalar.isASCII && stretch.count >= longStretch {
                form.flush(&stretch, into: &result)
            }
            form.decompose(scalar, into: &stretch)
        }
        form.flush(&stretch, into: &result)
        return result
    }

    /// Code points after which a stretch ends where it can.
    private static let longStretch = 4096

    /// The most code points that one decomposes into, by far: U+FDFA makes 18.
    private static let longestDecomposition = 32

    private func decompose(_ scalar: Unicode.Scalar, into stretch: inout [Int32]) {
        let code = Int32(bitPattern: scalar.value)
        if scalar.isASCII { return stretch.append(code) }
        let isCompatible = self == .nfkc || self == .nfkd
        let options = UTF8PROC_DECOMPOSE.rawValue | (isCompatible ? UTF8PROC_COMPAT.rawValue : 0)
        withUnsafeTemporaryAllocation(of: Int32.self, capacity: Self.longestDecomposition) {
            codes in
            var boundary: Int32 = 0
            let count = utf8proc_decompose_char(
                code, codes.baseAddress, codes.count, utf8proc_option_t(options), &boundary)
            guard count > 0 && count <= codes.count else { return stretch.append(code) }
            stretch.append(contentsOf: codes[..<count])
        }
    }

    /// Orders a stretch of decomposed code points, composes it where the form asks for that, and appends it.
    private func flush(_ stretch: inout [Int32], into result: inout [UInt8]) {
        if stretch.isEmpty { return }
        Self.order(&stretch)
        var count = stretch.count
        if self == .nfc || self == .nfkc {
            let options = UTF8PROC_COMPOSE.rawValue | UTF8PROC_STABLE.rawValue
            count = stretch.withUnsafeMutableBufferPointer {
                utf8proc_normalize_utf32($0.baseAddress, $0.count, utf8proc_option_t(options))
            }
        }
        for code in stretch.prefix(max(0, count)) {
            if let scalar = Unicode.Scalar(UInt32(bitPattern: code)) {
                Self.append(scalar, to: &result)
            }
        }
        stretch.removeAll(keepingCapacity: true)
    }

    /// Puts each run of marks into the order of their combining classes, those of one class as they stand.
    private static func order(_ codes: inout [Int32]) {
        var start = 0
        while start < codes.count {
            guard combiningClass(codes[start]) != 0 else {
                start += 1
                continue
            }
            var marks: [(kind: Int16, place: Int, code: Int32)] = []
            while start + marks.count < codes.count {
                let code = codes[start + marks.count]
                let kind = combiningClass(code)
                if kind == 0 { break }
                marks.append((kind, marks.count, code))
            }
            if marks.count > 1 {
                marks.sort { ($0.kind, $0.place) < ($1.kind, $1.place) }
                for (offset, mark) in marks.enumerated() { codes[start + offset] = mark.code }
            }
            start += marks.count
        }
    }

    private static func combiningClass(_ code: Int32) -> Int16 {
        // No mark comes before U+0300; the table always has an entry.
        code < 0x300 ? 0 : utf8proc_get_property(code)?.pointee.combining_class ?? 0
    }

    private static func append(_ scalar: Unicode.Scalar, to result: inout [UInt8]) {
        result.append(contentsOf: UTF8.encode(scalar) ?? .init())
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

    /// Whether a code point never changes, and nothing before it composes with anything behind it.
    private static func isInert(_ scalar: Unicode.Scalar) -> Bool {
        // utf8proc 2.8 takes U+11A7, the place before the first trailing consonant, for one and swallows it.
        if scalar.isASCII || scalar.value == 0x11A7 { return !scalar.isASCII }
        let spans = UnicodeTables.unknownToNormalization
        var (low, high) = (0, spans.count)
        while low < high {
            let middle = (low + high) / 2
            if spans[middle].last < scalar.value { low = middle + 1 } else { high = middle }
        }
        return low < spans.count && spans[low].first <= scalar.value
    }
}
