// SPDX-License-Identifier: Apache-2.0
// Filters that pick or change each item of a list.

/// Filters that apply tests and filters to items.
enum SelectionFilters {
    static let all: [String: ValueFilter] = [
        "map": map,
        "select": selecting("select", keeps: true, byAttribute: false),
        "reject": selecting("reject", keeps: false, byAttribute: false),
        "selectattr": selecting("selectattr", keeps: true, byAttribute: true),
        "rejectattr": selecting("rejectattr", keeps: false, byAttribute: true),
    ]

    @Sendable private static func map(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        var arguments = given
        var result: [TemplateValue] = []
        if arguments.positional.isEmpty {
            let bound = try given.bound(to: ["attribute", "default"], of: "map")
            let path = try bound.required(0)
            for item in try interpreter.items(of: value) {
                try interpreter.charge(1)
                result.append(try interpreter.value(at: path, in: item, default: bound[1]))
            }
        } else {
            guard let name = arguments.positional.removeFirst().text else {
                throw TemplateError(.type, "'map' needs the name of a filter")
            }
            for item in try interpreter.items(of: value) {
                try interpreter.charge(1)
                result.append(
                    try interpreter.nested { () throws(TemplateError) in
                        try interpreter.applyFilter(name, to: item, arguments)
                    })
            }
        }
        return try interpreter.made(result)
    }

    private static func selecting(
        _ name: String, keeps: Bool, byAttribute: Bool
    ) -> ValueFilter {
        { interpreter, value, given throws(TemplateError) in
            var arguments = given
            var path: TemplateValue?
            if byAttribute {
                guard !arguments.positional.isEmpty else {
                    throw TemplateError(.type, "'\(name)' needs the name of an attribute")
                }
                path = arguments.positional.removeFirst()
            }
            var test: String?
            if !arguments.positional.isEmpty {
                test = arguments.positional.removeFirst().text
                guard test != nil else {
                    throw TemplateError(.type, "'\(name)' needs the name of a test")
                }
            }
            var result: [TemplateValue] = []
            for item in try interpreter.items(of: value) {
                try interpreter.charge(1)
                let tested = try path.map { path throws(TemplateError) in
                    try interpreter.value(at: path, in: item)
                }
                let holds = try test.map { test throws(TemplateError) in
                    try interpreter.test(test, tested ?? item, arguments)
                }
                if (holds ?? (tested ?? item).isTrue) == keeps { result.append(item) }
            }
            return try interpreter.made(result)
        }
    }
}
