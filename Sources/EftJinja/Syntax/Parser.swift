// SPDX-License-Identifier: Apache-2.0
// The words of a template as a tree: statements.

/// Reads a template's statements; its extension in `Parser+Expressions.swift` reads expressions.
struct Parser {
    private let tokens: [Token]
    private var position = 0
    /// Names by their numbers.
    private(set) var names: [String] = []
    private var numbers: [String: NameID] = [:]
    /// The names used in each macro that is being read.
    private var usedNames: [Set<NameID>] = []
    private var nesting = 0
    private var loops = 0

    /// The statements of a template and its names, by their numbers.
    /// - Throws: `TemplateError` (`syntax`, `unsupported`, `limit`).
    static func parse(
        _ source: String
    ) throws(TemplateError) -> (statements: [Statement], names: [String]) {
        var parser = Parser(tokens: try Lexer.tokens(of: source))
        for name in Template.contextNames { _ = parser.number(of: name) }
        let statements = try parser.statements(until: [])
        return (statements, parser.names)
    }

    private init(tokens: [Token]) { self.tokens = tokens }

    // MARK: Words

    /// The word here; behind the last one the end is repeated.
    var current: Token { token(at: position) }
    /// The word behind this one.
    var next: Token { token(at: position + 1) }

    private func token(at place: Int) -> Token {
        place < tokens.count
            ? tokens[place] : Token(kind: .end, text: "", line: tokens.last?.line ?? 1)
    }

    mutating func advance() { position += 1 }

    func isName(_ word: String) -> Bool { current.kind == .name && current.text == word }

    mutating func take(_ symbol: Symbol) -> Bool {
        guard current.kind == .symbol(symbol) else { return false }
        advance()
        return true
    }

    mutating func take(name word: String) -> Bool {
        guard isName(word) else { return false }
        advance()
        return true
    }

    mutating func expect(_ symbol: Symbol) throws(TemplateError) {
        guard take(symbol) else { throw unexpected("'\(symbol.rawValue)'") }
    }

    mutating func expectName() throws(TemplateError) -> String {
        guard current.kind == .name else { throw unexpected("a name") }
        let text = current.text
        advance()
        return text
    }

    private mutating func expectBlockEnd() throws(TemplateError) {
        guard current.kind == .blockEnd else { throw unexpected("the end of the tag") }
        advance()
    }

    func error(_ message: String) -> TemplateError {
        TemplateError(.syntax, message, line: current.line)
    }

    func unexpected(_ expected: String) -> TemplateError {
        let found =
            switch current.kind {
            case .end: "the template's end"
            case .blockEnd, .variableEnd: "the tag's end"
            case .symbol(let symbol): "'\(symbol.rawValue)'"
            default: "'\(current.text.prefix(40))'"
            }
        return error("expected \(expected), found \(found)")
    }

    /// The number of a name; one that is used counts for the macros around it.
    mutating func number(of name: String) -> NameID {
        let number = numbers[name] ?? names.count
        if number == names.count {
            names.append(name)
            numbers[name] = number
        }
        for level in usedNames.indices { usedNames[level].insert(number) }
        return number
    }

    /// Reads something that may hold itself.
    mutating func nested<T>(
        _ body: (inout Parser) throws(TemplateError) -> T
    ) throws(TemplateError) -> T {
        nesting += 1
        guard nesting <= TemplateLimits.nesting else {
            throw TemplateError(
                .limit, "the template is nested deeper than \(TemplateLimits.nesting)",
                line: current.line)
        }
        let result = try body(&self)
        nesting -= 1
        return result
    }

    // MARK: Statements

    /// Statements up to a tag that begins with one of the words, which is left to be read.
    private mutating func statements(until ends: [String]) throws(TemplateError) -> [Statement] {
        var result: [Statement] = []
        while true {
            switch current.kind {
            case .data:
                result.append(.text(current.text))
                advance()
            case .variableBegin:
                advance()
                let value = try tuple(allowsConditions: true)
                guard current.kind == .variableEnd else { throw unexpected("'}}'") }
                advance()
                result.append(.print(value))
            case .blockBegin:
                if next.kind == .name, ends.contains(next.text) {
                    advance()
                    return result
                }
                advance()
                result.append(try nested { parser throws(TemplateError) in try parser.statement() })
            default:
                guard ends.isEmpty else {
                    throw error(
                        "the template ends where '\(ends.joined(separator: "' or '"))' is needed")
                }
                return result
            }
        }
    }

    /// The body of a tag and the word that ends it, which is passed over.
    private mutating func body(
        until ends: [String]
    ) throws(TemplateError) -> (statements: [Statement], end: String) {
        _ = take(.colon)
        try expectBlockEnd()
        let result = try statements(until: ends)
        return (result, try expectName())
    }

    /// The body of a tag that ends with one word.
    private mutating func body(until end: String) throws(TemplateError) -> [Statement] {
        let result = try body(until: [end]).statements
        try expectBlockEnd()
        return result
    }

    private mutating func statement() throws(TemplateError) -> Statement {
        let line = current.line
        let word = try expectName()
        switch word {
        case "for": return try forLoop()
        case "if": return try choice()
        case "set": return try assignment(line)
        case "macro": return try macro()
        case "call": return try callBlock()
        case "filter": return try filterBlock(line)
        case "with": return try with()
        case "generation": return .scoped(try isolatedBody(until: "endgeneration"))
        case "break", "continue":
            guard loops > 0 else { throw error("'\(word)' stands outside of a loop") }
            try expectBlockEnd()
            return word == "break" ? .leaveLoop : .nextRound
        case "include", "import", "from", "extends", "block", "autoescape":
            throw TemplateError(
                .unsupported, "the tag '\(word)' is not offered in chat templates", line: line)
        default:
            throw TemplateError(.syntax, "unknown tag '\(word.prefix(40))'", line: line)
        }
    }

    /// A body that cannot leave the loop around it.
    private mutating func isolatedBody(until end: String) throws(TemplateError) -> [Statement] {
        let outer = loops
        loops = 0
        let result = try body(until: end)
        loops = outer
        return result
    }

    private mutating func forLoop() throws(TemplateError) -> Statement {
        loops += 1
        let target = try self.target(endsAtIn: true)
        loops -= 1
        guard take(name: "in") else { throw unexpected("'in'") }
        let iterable = try tuple(allowsConditions: false)
        let condition = take(name: "if") ? try expression() : nil
        let isRecursive = take(name: "recursive")
        loops += 1
        let (statements, end) = try body(until: ["endfor", "else"])
        loops -= 1
        var otherwise: [Statement] = []
        if end == "else" {
            otherwise = try body(until: "endfor")
        } else {
            try expectBlockEnd()
        }
        return .loop(
            ForLoop(
                target: target, iterable: iterable, condition: condition, body: statements,
                otherwise: otherwise, isRecursive: isRecursive))
    }

    private mutating func choice() throws(TemplateError) -> Statement {
        var branches: [(condition: Expression, body: [Statement])] = []
        while true {
            let condition = try tuple(allowsConditions: false)
            let (statements, end) = try body(until: ["elif", "else", "endif"])
            branches.append((condition, statements))
            switch end {
            case "elif": continue
            case "else":
                return .choice(branches, otherwise: try body(until: "endif"))
            default:
                try expectBlockEnd()
                return .choice(branches, otherwise: [])
            }
        }
    }

    private mutating func assignment(_ line: Int) throws(TemplateError) -> Statement {
        let target = try self.target(allowsAttributes: true)
        if take(.assign) {
            let value = try tuple(allowsConditions: true)
            try expectBlockEnd()
            return .assign(target, value, line: line)
        }
        let filter = current.kind == .symbol(.pipe) ? try filters(on: nil, line: line) : nil
        return .assignBlock(target, filter: filter, body: try body(until: "endset"), line: line)
    }

    private mutating func macro() throws(TemplateError) -> Statement {
        let name = try expectName()
        let id = number(of: name)
        return .macro(id, try macroBody(try parameters(), name: name, end: "endmacro"))
    }

    private mutating func callBlock() throws(TemplateError) -> Statement {
        let parameters =
            current.kind == .symbol(.leftParenthesis) ? try self.parameters() : []
        let call = try expression()
        guard case .call = call.kind else { throw error("a call is needed behind 'call'") }
        let body = try macroBody(parameters, name: "caller", end: "endcall")
        return .callBlock(call, body)
    }

    private mutating func macroBody(
        _ parameters: [MacroDefinition.Parameter], name: String, end: String
    ) throws(TemplateError) -> MacroDefinition {
        usedNames.append([])
        let body = try isolatedBody(until: end)
        let used = usedNames.popLast() ?? []
        return MacroDefinition(
            name: name, parameters: parameters, body: body,
            usesExtraArguments: used.contains(Template.varargsID),
            usesExtraKeywords: used.contains(Template.kwargsID),
            usesCaller: used.contains(Template.callerID))
    }

    private mutating func parameters() throws(TemplateError) -> [MacroDefinition.Parameter] {
        try expect(.leftParenthesis)
        var result: [MacroDefinition.Parameter] = []
        while !take(.rightParenthesis) {
            if !result.isEmpty { try expect(.comma) }
            if take(.rightParenthesis) { break }
            let name = try expectName()
            let standard = take(.assign) ? try expression() : nil
            guard standard != nil || result.last?.standard == nil else {
                throw error("a parameter without a default value stands behind one with it")
            }
            result.append(.init(id: number(of: name), name: name, standard: standard))
        }
        return result
    }

    private mutating func filterBlock(_ line: Int) throws(TemplateError) -> Statement {
        let filter = try filters(on: nil, line: line, startsInside: true)
        return .filterBlock(filter, body: try isolatedBody(until: "endfilter"))
    }

    private mutating func with() throws(TemplateError) -> Statement {
        var values: [(target: Target, value: Expression)] = []
        while current.kind != .blockEnd, current.kind != .symbol(.colon) {
            if !values.isEmpty { try expect(.comma) }
            let target = try self.target()
            try expect(.assign)
            values.append((target, try expression()))
        }
        return .with(values, body: try body(until: "endwith"))
    }

    // MARK: Targets

    private mutating func target(
        allowsAttributes: Bool = false, endsAtIn: Bool = false
    ) throws(TemplateError) -> Target {
        if allowsAttributes, current.kind == .name, next.kind == .symbol(.dot) {
            let id = number(of: current.text)
            advance()
            advance()
            return .attribute(id, try expectName())
        }
        var targets = [try simpleTarget()]
        var isTuple = false
        while take(.comma) {
            isTuple = true
            if endsAtIn && isName("in") || current.kind == .symbol(.assign) { break }
            targets.append(try simpleTarget())
        }
        return isTuple ? .tuple(targets) : targets[0]
    }

    private mutating func simpleTarget() throws(TemplateError) -> Target {
        if take(.leftParenthesis) {
            let inner = try nested { parser throws(TemplateError) in try parser.target() }
            try expect(.rightParenthesis)
            return inner
        }
        let name = try expectName()
        guard !["true", "false", "none", "True", "False", "None"].contains(name) else {
            throw error("nothing can be assigned to '\(name)'")
        }
        guard name != "loop" || loops == 0 else {
            throw error("nothing can be assigned to 'loop' in a loop")
        }
        return .name(number(of: name))
    }
}
