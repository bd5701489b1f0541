// SPDX-License-Identifier: Apache-2.0
// Numbers and texts as a report and a model card write them.
import EftConfig

#if canImport(Glibc)
    import Glibc
#endif

/// Texts of reports.
enum ReportText {
    /// A number with at most so many significant digits: 0.4211, 2.1e-05, 13168.0 as 13170.
    static func number(_ value: Double, digits: Int = 4) -> String {
        guard value.isFinite, value != 0 else { return value == 0 ? "0" : pythonText(of: value) }
        let places = Double(digits - 1) - log10(value.magnitude).rounded(.down)
        // Powers of ten are exact within these; so the result is the nearest number of so many digits.
        guard places.magnitude <= 22 else { return pythonText(of: value) }
        let power = pow(10, places.magnitude)
        let rounded =
            places >= 0 ? (value * power).rounded() / power : (value / power).rounded() * power
        let text = pythonText(of: rounded)
        return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }

    /// A whole number with spaces between groups of three digits.
    static func count(_ value: Int) -> String {
        let digits = Array(String(value.magnitude))
        var text = value < 0 ? "-" : ""
        for (place, digit) in digits.enumerated() {
            if place > 0, (digits.count - place) % 3 == 0 { text += "\u{202F}" }
            text.append(digit)
        }
        return text
    }

    /// A time span in the two largest units.
    static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds >= 0, seconds < 1e12 else { return "?" }
        if seconds < 60 { return "\(number(seconds, digits: 3)) s" }
        let total = Int(seconds.rounded())
        let (days, hours, minutes) = (total / 86_400, total / 3600 % 24, total / 60 % 60)
        if days > 0 { return "\(days) d \(hours) h" }
        if hours > 0 { return "\(hours) h \(minutes) min" }
        return "\(minutes) min \(total % 60) s"
    }

    /// Text as a part of HTML, in an element or in a quoted attribute.
    static func html(_ text: String) -> String {
        var result = ""
        result.reserveCapacity(text.utf8.count)
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            case "\r": break
            case "\n", "\t": result.unicodeScalars.append(scalar)
            // HTML has no word for control characters.
            case "\0"..."\u{1F}", "\u{7F}"..."\u{9F}": result += "\u{FFFD}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// Text as a cell of a Markdown table, or in a line.
    static func markdown(_ text: String) -> String {
        var result = ""
        for character in text {
            if "\\`*_[]<>|#".contains(character) { result.append("\\") }
            result.append(character.isNewline ? " " : character)
        }
        return result
    }
}
