// SPDX-License-Identifier: Apache-2.0
// The tree of a template.

/// The number of a name; names are compared as numbers when a template runs.
typealias NameID = Int

/// An expression with its line and the height of its tree.
final class Expression: Sendable {
    /// What it is.
    enum Kind: Sendable {
        case constant(TemplateValue)
        case name(NameID)
        case tuple([Expression])
        case list([Expression])
        case dictionary([(key: Expression, value: Expression)])
        case unary(Symbol, Expression)
        case not(Expression)
        case binary(Symbol, Expression, Expression)
        /// Texts put behind each other.
        case concatenation([Expression])
        case and(Expression, Expression)
        case or(Expression, Expression)
        case comparison(Expression, [(operation: Comparison, operand: Expression)])
        case conditional(test: Expression, then: Expression, otherwise: Expression?)
        case attribute(Expression, String)
        case item(Expression, Expression)
        case slice(Expression, start: Expression?, stop: Expression?, step: Expression?)
        case call(Expression, Arguments)
        /// A filter; without an expression it works on the text of a `filter` block.
        case filter(Expression?, name: String, Arguments)
        case test(Expression, name: String, Arguments)
    }

    let kind: Kind
    let line: Int
    /// Levels of expressions in it, itself included.
    let height: Int

    init(_ kind: Kind, line: Int, height: Int) {
        self.kind = kind
        self.line = line
        self.height = height
    }
}

/// How two values are compared.
enum Comparison: Sendable {
    case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual, isIn, isNotIn
}

/// The arguments of a call.
struct Arguments: Sendable {
    var positional: [Expression] = []
    var keywords: [(name: String, value: Expression)] = []
    /// A list whose items are further arguments.
    var spread: Expression?
    /// A mapping whose entries are further keywords.
    var keywordSpread: Expression?

    var height: Int {
        var height = max(spread?.height ?? 0, keywordSpread?.height ?? 0)
        for argument in positional { height = max(height, argument.height) }
        for (_, value) in keywords { height = max(height, value.height) }
        return height
    }
}

/// What a value is assigned to.
indirect enum Target: Sendable {
    case name(NameID)
    case attribute(NameID, String)
    case tuple([Target])
}

/// A function defined in a template.
final class MacroDefinition: Sendable {
    /// A parameter.
    struct Parameter: Sendable {
        let id: NameID
        let name: String
        let standard: Expression?
    }

    let name: String
    let parameters: [Parameter]
    let body: [Statement]
    /// Whether the body asks for arguments beyond the parameters.
    let usesExtraArguments: Bool
    let usesExtraKeywords: Bool
    let usesCaller: Bool

    init(
        name: String, parameters: [Parameter], body: [Statement], usesExtraArguments: Bool,
        usesExtraKeywords: Bool, usesCaller: Bool
    ) {
        self.name = name
        self.parameters = parameters
        self.body = body
        self.usesExtraArguments = usesExtraArguments
        self.usesExtraKeywords = usesExtraKeywords
        self.usesCaller = usesCaller
    }
}

/// A loop.
final class ForLoop: Sendable {
    let target: Target
    let iterable: Expression
    let condition: Expression?
    let body: [Statement]
    let otherwise: [Statement]
    let isRecursive: Bool

    init(
        target: Target, iterable: Expression, condition: Expression?, body: [Statement],
        otherwise: [Statement], isRecursive: Bool
    ) {
        self.target = target
        self.iterable = iterable
        self.condition = condition
        self.body = body
        self.otherwise = otherwise
        self.isRecursive = isRecursive
    }
}

/// A statement.
enum Statement: Sendable {
    case text(String)
    case print(Expression)
    case choice([(condition: Expression, body: [Statement])], otherwise: [Statement])
    case loop(ForLoop)
    case assign(Target, Expression, line: Int)
    /// A target that takes the text of the body, through a chain of filters when there is one.
    case assignBlock(Target, filter: Expression?, body: [Statement], line: Int)
    case macro(NameID, MacroDefinition)
    /// A call that is handed the body as its `caller`.
    case callBlock(Expression, MacroDefinition)
    case filterBlock(Expression, body: [Statement])
    case with([(target: Target, value: Expression)], body: [Statement])
    /// A part of its own names: `generation`, `block`.
    case scoped([Statement])
    case leaveLoop
    case nextRound
}
