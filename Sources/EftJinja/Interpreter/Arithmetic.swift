// SPDX-License-Identifier: Apache-2.0
// Sums, products and their like, with Python's rules for signs and kinds.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

extension Interpreter {
    /// Plus or minus before a value.
    func sign(
        _ symbol: Symbol, _ value: TemplateValue, line: Int
    ) throws(TemplateError) -> TemplateValue {
        self.line = line
        switch value.number {
        case .integer(let number)?:
            guard symbol == .subtract else { return .integer(number) }
            return .integer(try checked(0.subtractingReportingOverflow(number)))
        case .real(let number)?: return .real(symbol == .subtract ? -number : number)
        case nil: throw unfit(symbol.rawValue, value, nil)
        }
    }

    /// The result of an operation on two values.
    func binary(
        _ symbol: Symbol, _ a: TemplateValue, _ b: TemplateValue
    ) throws(TemplateError) -> TemplateValue {
        if let a = a.number, let b = b.number { return try numbers(symbol, a, b).value }
        switch (symbol, a, b) {
        case (.add, .string(let a), .string(let b)):
            try reserve(a.utf8.count + b.utf8.count)
            return .string(a + b)
        case (.add, .list(let a), .list(let b)): return try made(a.items + b.items)
        case (.add, .tuple(let a), .tuple(let b)):
            try reserve(TemplateLimits.itemBytes, times: a.items.count + b.items.count)
            return try .tuple(a.items + b.items)
        case (.modulo, .string(let format), _):
            return try made(PercentFormat(self, format, b).formatted())
        case (.multiply, _, _):
            if case .integer(let count)? = b.number { return try repeated(a, count) }
            if case .integer(let count)? = a.number { return try repeated(b, count) }
            throw unfit(symbol.rawValue, a, b)
        default: throw unfit(symbol.rawValue, a, b)
        }
    }

    private func unfit(
        _ sign: String, _ a: TemplateValue, _ b: TemplateValue?
    ) -> TemplateError {
        for case .undefined(let origin) in [a, b ?? a] {
            return TemplateError(.undefined, origin.message, line: line)
        }
        let kinds = b.map { "'\(a.typeName)' and '\($0.typeName)'" } ?? "'\(a.typeName)'"
        return TemplateError(.type, "'\(sign)' does not take \(kinds)", line: line)
    }

    private func repeated(
        _ value: TemplateValue, _ count: Int
    ) throws(TemplateError) -> TemplateValue {
        let count = max(0, count)
        switch value {
        case .string(let text):
            try reserve(text.utf8.count, times: count)
            return .string(PythonText.repeated(text, count))
        case .list(let list): return try .list(try repeated(list.items, count))
        case .tuple(let list): return try .tuple(try repeated(list.items, count))
        default: throw unfit("*", value, .integer(count))
        }
    }

    private func repeated(
        _ items: [TemplateValue], _ count: Int
    ) throws(TemplateError) -> [TemplateValue] {
        guard !items.isEmpty else { return [] }
        let (total, overflows) = items.count.multipliedReportingOverflow(by: count)
        try reserve(TemplateLimits.itemBytes, times: overflows ? .max : total)
        return Array(repeatElement(items, count: count).joined())
    }

    // MARK: Numbers

    /// A whole number that fits.
    func checked(_ result: (partialValue: Int, overflow: Bool)) throws(TemplateError) -> Int {
        guard !result.overflow else {
            throw TemplateError(.value, "a whole number leaves the 64 bits kept for it", line: line)
        }
        return result.partialValue
    }

    private func numbers(
        _ symbol: Symbol, _ a: Number, _ b: Number
    ) throws(TemplateError) -> Number {
        if case .integer(let a) = a, case .integer(let b) = b {
            if let result = try integers(symbol, a, b) { return result }
        }
        let (a, b) = (a.real, b.real)
        switch symbol {
        case .add: return .real(a + b)
        case .subtract: return .real(a - b)
        case .multiply: return .real(a * b)
        case .divide:
            try refuseZero(b)
            return .real(a / b)
        case .floorDivide:
            try refuseZero(b)
            let rest = floorRemainder(a, b)
            return .real(((a - rest) / b).rounded(.toNearestOrEven))
        case .modulo:
            try refuseZero(b)
            return .real(floorRemainder(a, b))
        case .power: return .real(try power(a, b))
        default: throw TemplateError(.type, "'\(symbol.rawValue)' is no operation", line: line)
        }
    }

    private func refuseZero(_ divisor: Double) throws(TemplateError) {
        if divisor == 0 { throw TemplateError(.value, "a division by zero", line: line) }
    }

    /// The rest of a division that rounds down, which has the divisor's sign.
    private func floorRemainder(_ a: Double, _ b: Double) -> Double {
        let rest = fmod(a, b)
        if rest == 0 { return b < 0 ? -0.0 : 0.0 }
        return (rest < 0) == (b < 0) ? rest : rest + b
    }

    private func power(_ a: Double, _ b: Double) throws(TemplateError) -> Double {
        if a == 0 && b < 0 {
            throw TemplateError(.value, "zero to a negative power", line: line)
        }
        let result = pow(a, b)
        guard !result.isNaN || a.isNaN || b.isNaN, result.isFinite || !a.isFinite || !b.isFinite
        else { throw TemplateError(.value, "a power is out of range", line: line) }
        return result
    }

    /// The result for whole numbers, or nil when it is a real number.
    private func integers(_ symbol: Symbol, _ a: Int, _ b: Int) throws(TemplateError) -> Number? {
        switch symbol {
        case .add: return .integer(try checked(a.addingReportingOverflow(b)))
        case .subtract: return .integer(try checked(a.subtractingReportingOverflow(b)))
        case .multiply: return .integer(try checked(a.multipliedReportingOverflow(by: b)))
        case .floorDivide, .modulo:
            try refuseZero(Double(b))
            // Of the smallest number and -1 the quotient does not fit.
            let quotient = try checked(a.dividedReportingOverflow(by: b))
            let rest = a % b
            let isRoundedUp = rest != 0 && (rest < 0) != (b < 0)
            if symbol == .modulo { return .integer(isRoundedUp ? rest + b : rest) }
            return .integer(isRoundedUp ? quotient - 1 : quotient)
        case .power where b >= 0:
            var (result, base, exponent) = (1, a, b)
            while exponent > 0 {
                if exponent & 1 == 1 {
                    result = try checked(result.multipliedReportingOverflow(by: base))
                }
                exponent >>= 1
                if exponent > 0 { base = try checked(base.multipliedReportingOverflow(by: base)) }
            }
            return .integer(result)
        default: return nil
        }
    }
}
