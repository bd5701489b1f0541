// SPDX-License-Identifier: Apache-2.0
// The terminals that Lark's grammars import from `common`.

/// Terminals of Lark's library `common`.
enum LarkLibrary {
    /// The regular expression of a terminal, or nil.
    static func pattern(of name: String) -> String? {
        switch name {
        case "DIGIT": "[0-9]"
        case "HEXDIGIT": "[0-9a-fA-F]"
        case "INT": "[0-9]+"
        case "SIGNED_INT": "[+-]?[0-9]+"
        case "DECIMAL": decimal
        case "FLOAT": float
        case "SIGNED_FLOAT": "[+-]?(\(float))"
        case "NUMBER": "\(float)|[0-9]+"
        case "SIGNED_NUMBER": "[+-]?(\(float)|[0-9]+)"
        case "LCASE_LETTER": "[a-z]"
        case "UCASE_LETTER": "[A-Z]"
        case "LETTER": "[A-Za-z]"
        case "WORD": "[A-Za-z]+"
        case "CNAME": "[A-Za-z_][A-Za-z0-9_]*"
        case "ESCAPED_STRING": "\"([^\"\\\\\\n]|\\\\[^\\n])*\""
        case "WS_INLINE": "[ \\t]+"
        case "WS": "[ \\t\\f\\r\\n]+"
        case "CR": "\\r"
        case "LF": "\\n"
        case "NEWLINE": "(\\r?\\n)+"
        default: nil
        }
    }

    private static let decimal = "([0-9]+\\.[0-9]*|\\.[0-9]+)"
    private static let float = "([0-9]+[eE][+-]?[0-9]+|\(decimal)([eE][+-]?[0-9]+)?)"
}
