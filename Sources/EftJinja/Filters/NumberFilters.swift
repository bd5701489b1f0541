// SPDX-License-Identifier: Apache-2.0
// Filters that give numbers.

/// Filters of numbers.
enum NumberFilters {
    static let all: [String: ValueFilter] = [
        "abs": absolute, "int": integer, "float": real, "round": rounded, "length": length,
        "count": length, "sum": sum,
    ]

    @Sendable private static func absolute(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        _ = try given.bound(to: [], of: "abs")
        switch value.number {
        case .integer(let number)?:
            return number < 0
                ? try interpreter.sign(.subtract, .integer(number), line: interpreter.line)
                : .integer(number)
        case .real(let number)?: return .real(number.magnitude)
        case nil: throw unfit("abs", value)
        }
    }

    private static func unfit(_ filter: String, _ value: TemplateValue) -> TemplateError {
        if case .undefined(let origin) = value { return TemplateError(.undefined, origin.message) }
        return TemplateError(
            .type, "'\(filter)' needs a number, not a value of type '\(value.typeName)'")
    }

    @Sendable private static func integer(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(to: ["default", "base"], of: "int")
        let base = try arguments.integer(1, default: 10)
        let standard = arguments[0] ?? .integer(0)
        switch value {
        case .bool(let value): return .integer(value ? 1 : 0)
        case .integer: return value
        case .real(let number): return whole(number) ?? standard
        case .string(let text):
            if let number = parsedInteger(text, base: base) { return .integer(number) }
            return parsedReal(text).flatMap(whole) ?? standard
        case .undefined(let origin): throw TemplateError(.undefined, origin.message)
        default: return standard
        }
    }

    private static func whole(_ number: Double) -> TemplateValue? {
        Int(exactly: number.rounded(.towardZero)).map { .integer($0) }
    }

    private static func parsedInteger(_ text: String, base: Int) -> Int? {
        guard (2...36).contains(base) || base == 0 else { return nil }
        var digits = PythonText.stripped(text, of: nil, front: true, back: true)
        var sign = ""
        if let first = digits.first, first == "+" || first == "-" {
            sign = String(digits.removeFirst())
        }
        var radix = base == 0 ? 10 : base
        for (prefix, size) in [("0x", 16), ("0o", 8), ("0b", 2)]
        where (base == 0 || base == size) && digits.lowercased().hasPrefix(prefix) {
            digits.removeFirst(2)
            radix = size
        }
        guard hasPlainUnderscores(digits), digits.first?.isHexDigit ?? false || radix > 16 else {
            return nil
        }
        return Int(sign + digits.filter { $0 != "_" }, radix: radix)
    }

    private static func hasPlainUnderscores(_ text: String) -> Bool {
        !text.hasPrefix("_") && !text.hasSuffix("_") && !text.contains("__")
    }

    private static func parsedReal(_ text: String) -> Double? {
        let text = PythonText.stripped(text, of: nil, front: true, back: true).lowercased()
        let isWritten = text.utf8.allSatisfy { byte in
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || "+-.e_".utf8.contains(byte)
        }
        let unsigned = text.hasPrefix("+") || text.hasPrefix("-") ? String(text.dropFirst()) : text
        guard
            isWritten && hasPlainUnderscores(text) || ["nan", "inf", "infinity"].contains(unsigned)
        else { return nil }
        return Double(text.filter { $0 != "_" })
    }

    @Sendable private static func real(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(to: ["default"], of: "float")
        let standard = arguments[0] ?? .real(0)
        if let number = value.number { return .real(number.real) }
        switch value {
        case .string(let text): return parsedReal(text).map { .real($0) } ?? standard
        case .undefined(let origin): throw TemplateError(.undefined, origin.message)
        default: return standard
        }
    }

    @Sendable private static func rounded(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(to: ["precision", "method"], of: "round")
        let precision = try arguments.integer(0, default: 0)
        let method = try arguments.text(1) ?? "common"
        guard ["common", "ceil", "floor"].contains(method) else {
            throw TemplateError(.value, "'round' rounds common, ceil or floor")
        }
        guard let number = value.number else { throw unfit("round", value) }
        guard (-300...300).contains(precision) else {
            throw TemplateError(.value, "'round' takes a precision from -300 to 300")
        }
        if method == "common" { return common(number, precision) }
        let scale = try interpreter.binary(.power, .real(10), .integer(precision))
        let factor = scale.number?.real ?? 1
        let scaled = number.real * factor
        let result = method == "ceil" ? scaled.rounded(.up) : scaled.rounded(.down)
        return .real(result / factor)
    }

    /// As Python's `round`: halves go to the even neighbour, whole numbers stay whole.
    private static func common(_ number: Number, _ precision: Int) -> TemplateValue {
        switch number {
        case .integer(let value):
            guard precision < 0 else { return .integer(value) }
            guard precision >= -18 else { return .integer(0) }
            let unit = (0..<(-precision)).reduce(1) { product, _ in product * 10 }
            var (quotient, rest) = value.quotientAndRemainder(dividingBy: unit)
            let twice = rest.magnitude.multipliedReportingOverflow(by: 2).partialValue
            if twice > UInt(unit) || twice == UInt(unit) && quotient & 1 == 1 {
                quotient += value < 0 ? -1 : 1
            }
            rest = 0
            return .integer(quotient.multipliedReportingOverflow(by: unit).partialValue)
        case .real(let value):
            guard value.isFinite else { return .real(value) }
            if precision >= 0 {
                let text = formattedNumber(
                    magnitude: value.magnitude, precision: precision, letter: "f")
                let magnitude = Double(text) ?? value.magnitude
                return .real(value.sign == .minus ? -magnitude : magnitude)
            }
            var unit = 1.0
            for _ in 0..<(-precision) { unit *= 10 }
            return .real((value / unit).rounded(.toNearestOrEven) * unit)
        }
    }

    @Sendable private static func length(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        _ = try given.bound(to: [], of: "length")
        switch value {
        case .string(let text): return .integer(text.unicodeScalars.count)
        case .list(let list), .tuple(let list): return .integer(list.items.count)
        case .dictionary(let dictionary): return .integer(dictionary.count)
        case .undefined: return .integer(0)
        case .object(let reference)
        where reference.kind == .loop && interpreter.loops.indices.contains(reference.index):
            return .integer(interpreter.loops[reference.index].items.count)
        default:
            throw TemplateError(.type, "a value of type '\(value.typeName)' has no length")
        }
    }

    @Sendable private static func sum(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(to: ["attribute", "start"], of: "sum")
        var total = arguments[1] ?? .integer(0)
        for item in try interpreter.items(of: value) {
            try interpreter.charge(1)
            var item = item
            if let path = arguments[0], !path.isNone {
                item = try interpreter.value(at: path, in: item)
            }
            guard total.text == nil else { throw unfit("sum", total) }
            total = try interpreter.binary(.add, total, item)
        }
        return total
    }
}
