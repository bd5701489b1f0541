// SPDX-License-Identifier: Apache-2.0
// Values as users of Axolotl write them: numbers and truth values may stand in quotes.
import EftConfig

extension ConfigCursor {
    /// The value that quoted text spells, if it spells a number or a truth value; else the value itself.
    private var unquoted: ConfigCursor {
        guard case .string(let text) = node.value else { return self }
        switch YAMLScalar.resolve(text) {
        case .string, .null: return self
        case let content:
            return ConfigCursor(
                ConfigNode(content, line: node.line), file: file, keyPath: keyPath)
        }
    }

    /// An integer at `key`, also in quotes; nil when absent.
    func lenientInt(
        _ key: String, in range: ClosedRange<Int> = Int.min...Int.max
    ) throws(ConfigError) -> Int? {
        try optional(key)?.unquoted.int(in: range)
    }

    /// A number at `key`, also in quotes; nil when absent.
    func lenientDouble(
        _ key: String, in range: ClosedRange<Double>
    ) throws(ConfigError) -> Double? {
        try optional(key)?.unquoted.double(in: range)
    }

    /// A truth value at `key`, also in quotes; nil when absent.
    func lenientBool(_ key: String) throws(ConfigError) -> Bool? {
        guard let value = try optional(key) else { return nil }
        if case .integer(let number) = value.node.value, number == 0 || number == 1 {
            return number == 1
        }
        return try value.unquoted.bool()
    }

    /// Text at `key`; nil when absent or empty.
    func text(_ key: String) throws(ConfigError) -> String? {
        guard let text = try optional(key)?.string(), !text.isEmpty else { return nil }
        return text
    }

    /// A list of strings at `key`, or one string; nil when absent or empty.
    func texts(_ key: String) throws(ConfigError) -> [String]? {
        guard let value = try optional(key) else { return nil }
        if case .string(let one) = value.node.value { return one.isEmpty ? nil : [one] }
        let all = try value.strings()
        return all.isEmpty ? nil : all
    }

    /// Whether the value asks for something: not null, false, zero, nor empty.
    var asksForSomething: Bool {
        switch node.value {
        case .null, .bool(false), .integer(0): false
        case .real(let value): value != 0
        case .string(let text): !text.isEmpty
        case .array(let items): !items.isEmpty
        case .object(let object): !object.isEmpty
        default: true
        }
    }
}
