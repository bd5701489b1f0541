// SPDX-License-Identifier: Apache-2.0
// Values as Python's str() and repr() print them.

import EftConfig

extension TemplateValue {
    /// What printing the value gives; the caller has paid for its weight.
    var printed: String {
        switch self {
        case .undefined: return ""
        case .string(let text): return text
        default:
            var text = ""
            spell(into: &text)
            return text
        }
    }

    /// The value as Python's `repr` gives it; the caller has paid for its weight.
    var formatted: String {
        var text = ""
        spell(into: &text)
        return text
    }

    private func spell(into text: inout String) {
        switch self {
        case .undefined: text += "Undefined"
        case .null: text += "None"
        case .bool(let value): text += value ? "True" : "False"
        case .integer(let value): text += String(value)
        case .real(let value): text += pythonText(of: value)
        case .string(let value): spellQuoted(value, into: &text)
        case .list(let list):
            text += "["
            spell(list.items, into: &text)
            text += "]"
        case .tuple(let list):
            text += "("
            spell(list.items, into: &text)
            text += list.items.count == 1 ? ",)" : ")"
        case .dictionary(let dictionary):
            text += "{"
            for (place, entry) in dictionary.entries.enumerated() {
                if place > 0 { text += ", " }
                entry.key.spell(into: &text)
                text += ": "
                entry.value.spell(into: &text)
            }
            text += "}"
        case .function(let name): text += "<function \(name)>"
        case .method(let method): text += "<method \(method.name)>"
        case .object(let reference): text += "<\(reference.kind.rawValue)>"
        }
    }

    private func spell(_ items: [TemplateValue], into text: inout String) {
        for (place, item) in items.enumerated() {
            if place > 0 { text += ", " }
            item.spell(into: &text)
        }
    }
}

/// A text in quotes, with everything that cannot be printed escaped.
private func spellQuoted(_ value: String, into text: inout String) {
    let quote: Unicode.Scalar =
        value.utf8.contains(UInt8(ascii: "'")) && !value.utf8.contains(UInt8(ascii: "\""))
        ? "\"" : "'"
    text.unicodeScalars.append(quote)
    for scalar in value.unicodeScalars {
        switch scalar {
        case quote, "\\":
            text += "\\"
            text.unicodeScalars.append(scalar)
        case "\n": text += "\\n"
        case "\r": text += "\\r"
        case "\t": text += "\\t"
        default:
            if isPrintable(scalar) {
                text.unicodeScalars.append(scalar)
            } else {
                let value = scalar.value
                let (letter, width) =
                    value < 0x100 ? ("x", 2) : value < 0x10000 ? ("u", 4) : ("U", 8)
                let digits = String(value, radix: 16)
                text += "\\" + letter + String(repeating: "0", count: width - digits.count) + digits
            }
        }
    }
    text.unicodeScalars.append(quote)
}

/// Whether Python prints a code point as it is.
func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.value < 0x7F { return scalar.value >= 0x20 }
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator,
        .paragraphSeparator, .spaceSeparator:
        return false
    default: return true
    }
}
