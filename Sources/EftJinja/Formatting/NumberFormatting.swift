// SPDX-License-Identifier: Apache-2.0
// Real numbers with a given precision, as C prints them.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A real number in the form of C's `%.<precision><letter>`, without a sign.
/// - Parameter letter: one of e, E, f, F, g, G.
func formattedNumber(
    magnitude: Double, precision: Int, letter: Character, keepsZeros: Bool = false
) -> String {
    let isUpper = letter.isUppercase
    guard magnitude.isFinite else {
        let word = magnitude.isNaN ? "nan" : "inf"
        return isUpper ? word.uppercased() : word
    }
    let precision = max(0, min(precision, TemplateLimits.formatWidth))
    let format = "%\(keepsZeros ? "#" : "").\(precision)\(letter)"
    // The largest number has 309 digits before the point.
    var buffer = [CChar](repeating: 0, count: 400 + precision)
    let count = withVaList([magnitude]) { vsnprintf(&buffer, buffer.count, format, $0) }
    let text = buffer.prefix(max(0, min(Int(count), buffer.count - 1)))
    return String(decoding: text.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// Digits with a sign between each group of three.
func grouped(_ digits: String, by separator: String, groupSize: Int = 3) -> String {
    var result = ""
    for (place, digit) in digits.enumerated() {
        if place > 0 && (digits.count - place) % groupSize == 0 { result += separator }
        result.append(digit)
    }
    return result
}
