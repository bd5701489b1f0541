// SPDX-License-Identifier: Apache-2.0
// The text form that Prometheus reads, written as its Python client spells it.
import EftConfig

/// Text in Prometheus's format 0.0.4.
struct Exposition {
    /// The type of the text.
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    private(set) var text = ""

    /// Begins a family.
    mutating func head(_ name: String, help: String, type: String) {
        let help = help.replacingEach("\\", by: "\\\\").replacingEach("\n", by: "\\n")
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    }

    /// Adds a sample; labels are sorted by name.
    mutating func sample(_ name: String, _ labels: [(String, String)], _ value: Double) {
        text += name
        if !labels.isEmpty {
            let formatted = labels.sorted { $0.0 < $1.0 }.map { label in
                "\(label.0)=\"\(Exposition.escaped(label.1))\""
            }
            text += "{" + formatted.joined(separator: ",") + "}"
        }
        text += " \(Exposition.formatted(value))\n"
    }

    private static func escaped(_ text: String) -> String {
        text.replacingEach("\\", by: "\\\\").replacingEach("\n", by: "\\n")
            .replacingEach("\"", by: "\\\"")
    }

    /// A number as Python spells it, with an exponent where Go would use one.
    static func formatted(_ value: Double) -> String {
        guard value.isFinite else { return value.isNaN ? "NaN" : value < 0 ? "-Inf" : "+Inf" }
        let text = pythonText(of: value)
        let whole = text.prefix { $0 != "." }
        guard value > 0, whole.count > 6, whole.count < text.count else { return text }
        var mantissa = "\(whole.prefix(1)).\(whole.dropFirst())\(text.dropFirst(whole.count + 1))"
        while let last = mantissa.last, last == "0" || last == "." { mantissa.removeLast() }
        return "\(mantissa)e+\(whole.count > 10 ? "" : "0")\(whole.count - 1)"
    }
}

extension String {
    fileprivate func replacingEach(_ character: Character, by replacement: String) -> String {
        reduce(into: "") { $0 += $1 == character ? replacement : String($1) }
    }
}
