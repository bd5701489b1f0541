// SPDX-License-Identifier: Apache-2.0
// The tests that stand behind `is`.

/// A test of a value.
typealias ValueTest =
    @Sendable (Interpreter, TemplateValue, CallArguments) throws(TemplateError) -> Bool

/// Tests by their names.
enum TestRegistry {
    static let all: [String: ValueTest] = [
        "defined": { _, value, _ throws(TemplateError) in !value.isUndefined },
        "undefined": { _, value, _ throws(TemplateError) in value.isUndefined },
        "none": { _, value, _ throws(TemplateError) in value.isNone },
        "boolean": { _, value, _ throws(TemplateError) in
            if case .bool = value { return true }
            return false
        },
        "true": { _, value, _ throws(TemplateError) in
            if case .bool(true) = value { return true }
            return false
        },
        "false": { _, value, _ throws(TemplateError) in
            if case .bool(false) = value { return true }
            return false
        },
        "integer": { _, value, _ throws(TemplateError) in
            if case .integer = value { return true }
            return false
        },
        "float": { _, value, _ throws(TemplateError) in
            if case .real = value { return true }
            return false
        },
        "number": { _, value, _ throws(TemplateError) in value.number != nil },
        "string": { _, value, _ throws(TemplateError) in value.text != nil },
        "mapping": { _, value, _ throws(TemplateError) in
            if case .dictionary = value { return true }
            return false
        },
        "sequence": { _, value, _ throws(TemplateError) in
            switch value {
            case .string, .list, .tuple, .dictionary, .undefined: true
            default: false
            }
        },
        "iterable": { _, value, _ throws(TemplateError) in
            switch value {
            case .string, .list, .tuple, .dictionary, .undefined: true
            case .object(let reference): reference.kind == .loop
            default: false
            }
        },
        "callable": { _, value, _ throws(TemplateError) in
            switch value {
            case .function, .method: true
            case .object(let reference):
                reference.kind != .namespace && reference.kind != .cycler
            default: false
            }
        },
        "escaped": { _, _, _ throws(TemplateError) in false },
        "filter": { _, value, _ throws(TemplateError) in
            FilterRegistry.all[value.text ?? ""] != nil
        },
        "test": { _, value, _ throws(TemplateError) in all[value.text ?? ""] != nil },
        "lower": { interpreter, value, _ throws(TemplateError) in
            PythonText.isCased(try interpreter.printed(value), upper: false)
        },
        "upper": { interpreter, value, _ throws(TemplateError) in
            PythonText.isCased(try interpreter.printed(value), upper: true)
        },
        "odd": { interpreter, value, _ throws(TemplateError) in
            try remainder(value, .integer(2), interpreter).equals(.integer(1))
        },
        "even": { interpreter, value, _ throws(TemplateError) in
            try remainder(value, .integer(2), interpreter).equals(.integer(0))
        },
        "divisibleby": { interpreter, value, given throws(TemplateError) in
            let divisor = try given.bound(to: ["num"], of: "divisibleby").required(0)
            return try remainder(value, divisor, interpreter).equals(.integer(0))
        },
        "sameas": { interpreter, value, given throws(TemplateError) in
            let other = try given.bound(to: ["other"], of: "sameas").required(0)
            guard value.typeName == other.typeName else { return false }
            return try interpreter.areEqual(value, other)
        },
        "in": { interpreter, value, given throws(TemplateError) in
            try interpreter.isIn(value, try given.bound(to: ["seq"], of: "in").required(0))
        },
        "eq": comparing(.equal), "equalto": comparing(.equal), "==": comparing(.equal),
        "ne": comparing(.notEqual), "!=": comparing(.notEqual),
        "lt": comparing(.less), "lessthan": comparing(.less), "<": comparing(.less),
        "le": comparing(.lessOrEqual), "<=": comparing(.lessOrEqual),
        "gt": comparing(.greater), "greaterthan": comparing(.greater), ">": comparing(.greater),
        "ge": comparing(.greaterOrEqual), ">=": comparing(.greaterOrEqual),
    ]

    private static func comparing(_ operation: Comparison) -> ValueTest {
        { interpreter, value, given throws(TemplateError) in
            let other = try given.bound(to: ["other"], of: "comparison").required(0)
            return try interpreter.compare(operation, value, other)
        }
    }

    private static func remainder(
        _ value: TemplateValue, _ divisor: TemplateValue, _ interpreter: Interpreter
    ) throws(TemplateError) -> TemplateValue {
        try interpreter.binary(.modulo, value, divisor)
    }
}

extension Interpreter {
    /// Whether a test holds.
    func test(
        _ name: String, _ value: TemplateValue, _ arguments: CallArguments
    ) throws(TemplateError) -> Bool {
        guard let test = TestRegistry.all[name] else {
            throw TemplateError(.unsupported, "there is no test '\(name.prefix(40))'", line: line)
        }
        try charge(forText: value)
        return try test(self, value, arguments)
    }
}
