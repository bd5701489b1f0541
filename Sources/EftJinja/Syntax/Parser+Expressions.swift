// SPDX-License-Identifier: Apache-2.0
// The words of a template as a tree: expressions, by falling precedence.

extension Parser {
    // MARK: Making nodes

    func node(
        _ kind: Expression.Kind, _ parts: [Expression?], line: Int? = nil, arguments: Int = 0
    ) throws(TemplateError) -> Expression {
        var height = arguments
        for part in parts { height = max(height, part?.height ?? 0) }
        guard height < TemplateLimits.expressionHeight else {
            throw TemplateError(
                .limit,
                "an expression has more than \(TemplateLimits.expressionHeight) levels",
                line: current.line)
        }
        return Expression(kind, line: line ?? current.line, height: height + 1)
    }

    // MARK: Whole expressions

    /// An expression or, with commas, a tuple without parentheses.
    mutating func tuple(allowsConditions: Bool) throws(TemplateError) -> Expression {
        try tuple(allowsConditions: allowsConditions, mayBeEmpty: false)
    }

    private mutating func tuple(
        allowsConditions: Bool, mayBeEmpty: Bool
    ) throws(TemplateError) -> Expression {
        let line = current.line
        var items: [Expression] = []
        var isTuple = false
        while true {
            if !items.isEmpty { try expect(.comma) }
            if endsTuple { break }
            items.append(allowsConditions ? try expression() : try or())
            guard current.kind == .symbol(.comma) else { break }
            isTuple = true
        }
        if !isTuple {
            if let first = items.first { return first }
            guard mayBeEmpty else { throw unexpected("an expression") }
        }
        return try node(.tuple(items), items, line: line)
    }

    private var endsTuple: Bool {
        switch current.kind {
        case .variableEnd, .blockEnd, .symbol(.rightParenthesis), .end: true
        default: false
        }
    }

    /// An expression with `if` and `else`.
    mutating func expression() throws(TemplateError) -> Expression {
        try nested { parser throws(TemplateError) in
            var result = try parser.or()
            while parser.take(name: "if") {
                let test = try parser.or()
                let otherwise = parser.take(name: "else") ? try parser.expression() : nil
                result = try parser.node(
                    .conditional(test: test, then: result, otherwise: otherwise),
                    [test, result, otherwise])
            }
            return result
        }
    }

    private mutating func or() throws(TemplateError) -> Expression {
        var left = try and()
        while take(name: "or") {
            let right = try and()
            left = try node(.or(left, right), [left, right])
        }
        return left
    }

    private mutating func and() throws(TemplateError) -> Expression {
        var left = try not()
        while take(name: "and") {
            let right = try not()
            left = try node(.and(left, right), [left, right])
        }
        return left
    }

    private mutating func not() throws(TemplateError) -> Expression {
        guard take(name: "not") else { return try comparison() }
        let operand = try nested { parser throws(TemplateError) in try parser.not() }
        return try node(.not(operand), [operand])
    }

    private mutating func comparison() throws(TemplateError) -> Expression {
        let first = try sum()
        var rest: [(operation: Comparison, operand: Expression)] = []
        while let operation = comparisonSign() { rest.append((operation, try sum())) }
        guard !rest.isEmpty else { return first }
        return try node(.comparison(first, rest), [first] + rest.map(\.operand))
    }

    private mutating func comparisonSign() -> Comparison? {
        let result: Comparison
        switch current.kind {
        case .symbol(.equal): result = .equal
        case .symbol(.notEqual): result = .notEqual
        case .symbol(.less): result = .less
        case .symbol(.lessOrEqual): result = .lessOrEqual
        case .symbol(.greater): result = .greater
        case .symbol(.greaterOrEqual): result = .greaterOrEqual
        case .name where current.text == "in": result = .isIn
        case .name
        where current.text == "not" && next.kind == .name && next.text == "in":
            result = .isNotIn
            advance()
        default: return nil
        }
        advance()
        return result
    }

    // MARK: Arithmetic

    private mutating func sum() throws(TemplateError) -> Expression {
        var left = try concatenation()
        while case .symbol(let symbol) = current.kind, symbol == .add || symbol == .subtract {
            advance()
            let right = try concatenation()
            left = try node(.binary(symbol, left, right), [left, right])
        }
        return left
    }

    private mutating func concatenation() throws(TemplateError) -> Expression {
        var parts = [try product()]
        while take(.concatenate) { parts.append(try product()) }
        return parts.count == 1 ? parts[0] : try node(.concatenation(parts), parts)
    }

    private mutating func product() throws(TemplateError) -> Expression {
        var left = try power()
        while case .symbol(let symbol) = current.kind,
            [.multiply, .divide, .floorDivide, .modulo].contains(symbol)
        {
            advance()
            let right = try power()
            left = try node(.binary(symbol, left, right), [left, right])
        }
        return left
    }

    /// Unlike in Python, the left one of several powers is taken first.
    private mutating func power() throws(TemplateError) -> Expression {
        var left = try unary(withFilters: true)
        while take(.power) {
            let right = try unary(withFilters: true)
            left = try node(.binary(.power, left, right), [left, right])
        }
        return left
    }

    private mutating func unary(withFilters: Bool) throws(TemplateError) -> Expression {
        var result: Expression
        if case .symbol(let symbol) = current.kind, symbol == .add || symbol == .subtract {
            advance()
            let operand = try nested { parser throws(TemplateError) in
                try parser.unary(withFilters: false)
            }
            result = try node(.unary(symbol, operand), [operand])
        } else {
            result = try primary()
        }
        result = try postfix(result)
        return withFilters ? try filtersAndTests(result) : result
    }

    // MARK: What stands alone

    mutating func primary() throws(TemplateError) -> Expression {
        let token = current
        switch token.kind {
        case .name:
            advance()
            switch token.text {
            case "true", "True": return try constant(.bool(true), token)
            case "false", "False": return try constant(.bool(false), token)
            case "none", "None": return try constant(.null, token)
            default: return try node(.name(number(of: token.text)), [], line: token.line)
            }
        case .string:
            var text = ""
            while current.kind == .string {
                text += current.text
                advance()
            }
            return try constant(.string(text), token)
        case .integer:
            advance()
            return try constant(.integer(Int(token.text) ?? 0), token)
        case .real:
            advance()
            return try constant(.real(Double(token.text) ?? 0), token)
        case .symbol(.leftParenthesis):
            advance()
            let inner = try tuple(allowsConditions: true, mayBeEmpty: true)
            try expect(.rightParenthesis)
            return inner
        case .symbol(.leftBracket): return try list()
        case .symbol(.leftBrace): return try dictionary()
        default: throw unexpected("an expression")
        }
    }

    func constant(
        _ value: TemplateValue, _ token: Token
    ) throws(TemplateError) -> Expression {
        try node(.constant(value), [], line: token.line)
    }

    private mutating func list() throws(TemplateError) -> Expression {
        let line = current.line
        advance()
        var items: [Expression] = []
        while !take(.rightBracket) {
            if !items.isEmpty { try expect(.comma) }
            if take(.rightBracket) { break }
            items.append(try expression())
        }
        return try node(.list(items), items, line: line)
    }

    private mutating func dictionary() throws(TemplateError) -> Expression {
        let line = current.line
        advance()
        var entries: [(key: Expression, value: Expression)] = []
        while !take(.rightBrace) {
            if !entries.isEmpty { try expect(.comma) }
            if take(.rightBrace) { break }
            let key = try expression()
            try expect(.colon)
            entries.append((key, try expression()))
        }
        return try node(
            .dictionary(entries), entries.map(\.key) + entries.map(\.value), line: line)
    }
}
