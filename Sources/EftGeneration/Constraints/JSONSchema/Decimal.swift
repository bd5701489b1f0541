// SPDX-License-Identifier: Apache-2.0
// Numbers of JSON, digit by digit.

import EftConfig

/// A number in decimal digits.
struct Decimal: Sendable, Equatable, Comparable {
    /// Whether it is below zero; never so for zero.
    let isNegative: Bool
    /// The digits before the point, without leading zeros but for a lone one.
    let whole: [UInt8]
    /// The digits behind the point, without trailing zeros.
    let fraction: [UInt8]

    /// Whether it is zero.
    var isZero: Bool { whole == [0] && fraction.isEmpty }

    init(isNegative: Bool, whole: some Sequence<UInt8>, fraction: some Sequence<UInt8>) {
        let front = Array(whole.drop { $0 == 0 })
        var back = Array(fraction)
        while back.last == 0 { back.removeLast() }
        self.whole = front.isEmpty ? [0] : front
        self.fraction = back
        self.isNegative = isNegative && !(front.isEmpty && back.isEmpty)
    }

    /// The number that a node holds, or nil.
    init?(_ node: ConfigNode) {
        switch node.value {
        case .integer(let value): self.init(formatted: String(value))
        case .real(let value) where value.isFinite: self.init(formatted: pythonText(of: value))
        default: return nil
        }
    }

    /// Reads a number as JSON spells it.
    private init(formatted text: String) {
        var bytes = Array(text.utf8)[...]
        let isNegative = bytes.first == UInt8(ascii: "-")
        if isNegative { bytes.removeFirst() }
        var exponent = 0
        if let mark = bytes.firstIndex(of: UInt8(ascii: "e")) {
            exponent = Int(String(decoding: bytes[(mark + 1)...], as: UTF8.self)) ?? 0
            bytes = bytes[..<mark]
        }
        let parts = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        var whole = (parts.first ?? []).map { $0 &- 0x30 }
        var fraction = parts.count > 1 ? parts[1].map { $0 &- 0x30 } : []
        // A double has no more than 309 digits before its point, and 1074 behind it.
        while exponent > 0 {
            whole.append(fraction.isEmpty ? 0 : fraction.removeFirst())
            exponent -= 1
        }
        while exponent < 0 {
            fraction.insert(whole.popLast() ?? 0, at: 0)
            exponent += 1
        }
        self.init(isNegative: isNegative, whole: whole, fraction: fraction)
    }

    /// The number without its sign.
    var magnitude: Decimal { Decimal(isNegative: false, whole: whole, fraction: fraction) }

    /// The next whole number away from zero.
    var wholeAfter: [UInt8] {
        var digits = whole
        for index in digits.indices.reversed() {
            if digits[index] < 9 {
                digits[index] += 1
                return digits
            }
            digits[index] = 0
        }
        return [1] + digits
    }

    /// The whole number before a whole number above zero.
    var wholeBefore: [UInt8] {
        var digits = whole
        for index in digits.indices.reversed() {
            if digits[index] > 0 {
                digits[index] -= 1
                break
            }
            digits[index] = 9
        }
        let rest = Array(digits.drop { $0 == 0 })
        return rest.isEmpty ? [0] : rest
    }

    static func < (a: Decimal, b: Decimal) -> Bool {
        if a.isNegative != b.isNegative { return a.isNegative }
        return a.isNegative ? b.isLess(than: a) : a.isLess(than: b)
    }

    /// Compares magnitudes.
    private func isLess(than other: Decimal) -> Bool {
        if whole.count != other.whole.count { return whole.count < other.whole.count }
        if whole != other.whole { return whole.lexicographicallyPrecedes(other.whole) }
        return fraction.lexicographicallyPrecedes(other.fraction)
    }
}
