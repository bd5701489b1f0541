// SPDX-License-Identifier: Apache-2.0
// YAML text from a document.
import EftConfig

/// Writes `ConfigNode`s as YAML in block style, so that it reads back the same here and in PyYAML.
enum YAMLWriter {
    /// The document with a line end behind it.
    static func text(_ node: ConfigNode) -> String {
        var lines: [String] = []
        write(node, indent: 0, first: "", into: &lines)
        return lines.map { $0 + "\n" }.joined()
    }

    /// Writes a value; `first` stands in front of its first line.
    private static func write(
        _ node: ConfigNode, indent: Int, first: String, into lines: inout [String]
    ) {
        let margin = String(repeating: " ", count: indent)
        switch node.value {
        case .object(let object) where !object.isEmpty:
            for (place, entry) in object.entries.enumerated() {
                let key = (place == 0 ? first : margin) + scalar(entry.key) + ":"
                writeValue(entry.node, indent: indent, behind: key, into: &lines)
            }
        case .array(let items) where !items.isEmpty:
            for (place, item) in items.enumerated() {
                write(
                    item, indent: indent + 2, first: (place == 0 ? first : margin) + "- ",
                    into: &lines)
            }
        default: lines.append(first + scalar(node))
        }
    }

    private static func writeValue(
        _ node: ConfigNode, indent: Int, behind key: String, into lines: inout [String]
    ) {
        let margin = String(repeating: " ", count: indent + 2)
        switch node.value {
        case .object(let object) where !object.isEmpty:
            lines.append(key)
            write(node, indent: indent + 2, first: margin, into: &lines)
        case .array(let items) where !items.isEmpty:
            lines.append(key)
            write(node, indent: indent + 2, first: margin, into: &lines)
        case .null: lines.append(key)
        default: lines.append(key + " " + scalar(node))
        }
    }

    private static func scalar(_ node: ConfigNode) -> String {
        switch node.value {
        case .string(let text): scalar(text)
        case .real(let value) where value.isFinite: real(value)
        case .real(let value): value.isNaN ? ".nan" : value < 0 ? "-.inf" : ".inf"
        default: JSONWriter.text(node)
        }
    }

    /// PyYAML knows an exponent only behind a dot.
    private static func real(_ value: Double) -> String {
        let text = pythonText(of: value)
        guard text.contains("e"), !text.contains(".") else { return text }
        return text.replacing("e", with: ".0e")
    }

    private static func scalar(_ text: String) -> String {
        let isPlain =
            text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."),
                    UInt8(ascii: "/"), UInt8(ascii: "-"):
                    true
                default: false
                }
            } && !text.hasPrefix("-")
        if isPlain, case .string = YAMLScalar.resolve(text) { return text }
        return JSONWriter.text(ConfigNode(text))
    }
}
