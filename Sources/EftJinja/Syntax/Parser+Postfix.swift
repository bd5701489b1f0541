// SPDX-License-Identifier: Apache-2.0
// The words of a template as a tree: what stands behind an expression.

extension Parser {
    mutating func postfix(_ operand: Expression) throws(TemplateError) -> Expression {
        var result = operand
        while true {
            switch current.kind {
            case .symbol(.dot), .symbol(.leftBracket): result = try subscripted(result)
            case .symbol(.leftParenthesis): result = try call(result)
            default: return result
            }
        }
    }

    mutating func filtersAndTests(
        _ operand: Expression
    ) throws(TemplateError) -> Expression {
        var result = operand
        while true {
            switch current.kind {
            case .symbol(.pipe): result = try filters(on: result, line: current.line)
            case .name where current.text == "is": result = try test(result)
            // What filters and tests give can be called too.
            case .symbol(.leftParenthesis): result = try call(result)
            default: return result
            }
        }
    }

    private mutating func call(_ function: Expression) throws(TemplateError) -> Expression {
        let line = current.line
        let arguments = try self.arguments()
        return try node(
            .call(function, arguments), [function], line: line, arguments: arguments.height)
    }

    private mutating func subscripted(_ operand: Expression) throws(TemplateError) -> Expression {
        let line = current.line
        if take(.dot) {
            let token = current
            advance()
            switch token.kind {
            case .name: return try node(.attribute(operand, token.text), [operand], line: line)
            case .integer:
                let index = try constant(.integer(Int(token.text) ?? 0), token)
                return try node(.item(operand, index), [operand], line: line)
            default: throw error("expected a name or a number behind '.'")
            }
        }
        advance()
        var parts: [Expression] = []
        var isTuple = false
        while !take(.rightBracket) {
            if !parts.isEmpty {
                try expect(.comma)
                isTuple = true
            }
            if parts.isEmpty, let slice = try slice(of: operand, line: line) { return slice }
            parts.append(try expression())
            if parts.count == 1, current.kind == .symbol(.colon) {
                return try sliceRest(of: operand, start: parts[0], line: line)
            }
        }
        // Nothing in the brackets counts as an empty tuple.
        if parts.isEmpty { isTuple = true }
        let index = isTuple ? try node(.tuple(parts), parts, line: line) : parts[0]
        return try node(.item(operand, index), [operand, index], line: line)
    }

    /// A slice without a start.
    private mutating func slice(
        of operand: Expression, line: Int
    ) throws(TemplateError) -> Expression? {
        guard current.kind == .symbol(.colon) else { return nil }
        return try sliceRest(of: operand, start: nil, line: line)
    }

    private mutating func sliceRest(
        of operand: Expression, start: Expression?, line: Int
    ) throws(TemplateError) -> Expression {
        try expect(.colon)
        var stop: Expression?
        var step: Expression?
        if current.kind != .symbol(.colon), current.kind != .symbol(.rightBracket) {
            stop = try expression()
        }
        if take(.colon), current.kind != .symbol(.rightBracket) { step = try expression() }
        try expect(.rightBracket)
        return try node(
            .slice(operand, start: start, stop: stop, step: step), [operand, start, stop, step],
            line: line)
    }

    /// A chain of filters on an expression, or on the text of a block when there is none.
    /// - Parameter startsInside: whether the first filter stands without its sign.
    mutating func filters(
        on operand: Expression?, line: Int, startsInside: Bool = false
    ) throws(TemplateError) -> Expression {
        var result = operand
        var isFirst = startsInside
        while isFirst || current.kind == .symbol(.pipe) {
            if !isFirst { advance() }
            isFirst = false
            let name = try dottedName()
            let arguments =
                current.kind == .symbol(.leftParenthesis) ? try self.arguments() : Arguments()
            result = try node(
                .filter(result, name: name, arguments), [result], line: line,
                arguments: arguments.height)
        }
        guard let result else { throw unexpected("a filter") }
        return result
    }

    private mutating func dottedName() throws(TemplateError) -> String {
        var name = try expectName()
        while take(.dot) { name += "." + (try expectName()) }
        return name
    }

    private mutating func test(_ operand: Expression) throws(TemplateError) -> Expression {
        let line = current.line
        advance()
        let isNegated = take(name: "not")
        let name = try dottedName()
        var arguments = Arguments()
        if current.kind == .symbol(.leftParenthesis) {
            arguments = try self.arguments()
        } else if startsTestArgument {
            guard !isName("is") else { throw error("tests cannot be chained with 'is'") }
            arguments.positional = [
                try nested { parser throws(TemplateError) in
                    try parser.postfix(try parser.primary())
                }
            ]
        }
        let result = try node(
            .test(operand, name: name, arguments), [operand], line: line,
            arguments: arguments.height)
        return isNegated ? try node(.not(result), [result], line: line) : result
    }

    private var startsTestArgument: Bool {
        switch current.kind {
        case .name: !["else", "or", "and"].contains(current.text)
        case .string, .integer, .real, .symbol(.leftBracket), .symbol(.leftBrace): true
        default: false
        }
    }

    private mutating func arguments() throws(TemplateError) -> Arguments {
        try expect(.leftParenthesis)
        var result = Arguments()
        var isFirst = true
        while !take(.rightParenthesis) {
            if !isFirst { try expect(.comma) }
            if !isFirst && take(.rightParenthesis) { break }
            isFirst = false
            if take(.multiply) {
                guard result.spread == nil, result.keywordSpread == nil else {
                    throw error("'*' may stand once, before '**'")
                }
                result.spread = try expression()
            } else if take(.power) {
                guard result.keywordSpread == nil else { throw error("'**' may stand once") }
                result.keywordSpread = try expression()
            } else if current.kind == .name, next.kind == .symbol(.assign) {
                guard result.keywordSpread == nil else {
                    throw error("an argument stands behind '**'")
                }
                let name = current.text
                advance()
                advance()
                result.keywords.append((name, try expression()))
            } else {
                guard result.keywords.isEmpty, result.spread == nil, result.keywordSpread == nil
                else { throw error("an argument without a name stands behind one with a name") }
                result.positional.append(try expression())
            }
        }
        return result
    }
}
