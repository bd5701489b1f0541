// SPDX-License-Identifier: Apache-2.0
// The words of a template.

/// A word of a template.
struct Token: Sendable {
    /// What it is.
    enum Kind: Sendable, Hashable {
        /// Text that is printed as it is.
        case data
        case variableBegin, variableEnd
        case blockBegin, blockEnd
        case name, string, integer, real
        case symbol(Symbol)
        case end
    }

    let kind: Kind
    let text: String
    let line: Int
}

/// Signs with a meaning in expressions.
enum Symbol: String, Sendable, Hashable, CaseIterable {
    case add = "+"
    case subtract = "-"
    case divide = "/"
    case floorDivide = "//"
    case multiply = "*"
    case modulo = "%"
    case power = "**"
    case concatenate = "~"
    case leftBracket = "["
    case rightBracket = "]"
    case leftParenthesis = "("
    case rightParenthesis = ")"
    case leftBrace = "{"
    case rightBrace = "}"
    case equal = "=="
    case notEqual = "!="
    case greater = ">"
    case greaterOrEqual = ">="
    case less = "<"
    case lessOrEqual = "<="
    case assign = "="
    case dot = "."
    case colon = ":"
    case pipe = "|"
    case comma = ","
    case semicolon = ";"

    /// The sign that begins with two bytes, the longer one first.
    static func beginning(_ first: UInt8, _ second: UInt8?) -> Symbol? {
        if let second,
            let long = Symbol(rawValue: String(decoding: [first, second], as: UTF8.self))
        {
            return long
        }
        return Symbol(rawValue: String(decoding: [first], as: UTF8.self))
    }
}
