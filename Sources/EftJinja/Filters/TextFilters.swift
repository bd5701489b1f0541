// SPDX-License-Identifier: Apache-2.0
// Filters that give texts.

/// Filters of texts.
enum TextFilters {
    static let all: [String: ValueFilter] = [
        "upper": plain("upper") { PythonText.upper($0) },
        "lower": plain("lower") { PythonText.lower($0) },
        "capitalize": plain("capitalize") { PythonText.capitalized($0) },
        "title": plain("title") { titled($0) },
        "string": plain("string") { $0 }, "safe": plain("safe") { $0 },
        "escape": escape, "e": escape, "forceescape": escape,
        "trim": trim, "replace": replace, "indent": indent, "truncate": truncate,
        "center": center, "join": join,
    ]

    private static func plain(
        _ name: String, _ change: @escaping @Sendable (String) -> String
    ) -> ValueFilter {
        { interpreter, value, given throws(TemplateError) in
            _ = try given.bound(to: [], of: name)
            return try interpreter.made(change(try interpreter.printed(value)))
        }
    }

    /// Words begin behind space, hyphens and opening brackets.
    private static func titled(_ text: String) -> String {
        var result = ""
        var isInside = false
        for scalar in text.unicodeScalars {
            let properties = scalar.properties
            if isPythonSpace(scalar) || "-({[<".unicodeScalars.contains(scalar) {
                isInside = false
                result.unicodeScalars.append(scalar)
            } else {
                result += isInside ? properties.lowercaseMapping : properties.uppercaseMapping
                isInside = true
            }
        }
        return result
    }

    @Sendable private static func escape(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        _ = try given.bound(to: [], of: "escape")
        let text = try interpreter.printed(value)
        try interpreter.reserve(5, times: text.utf8.count)
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "'": result += "&#39;"
            case "\"": result += "&#34;"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return .string(result)
    }

    @Sendable private static func trim(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        let characters = try given.bound(to: ["chars"], of: "trim").text(0)
        return try interpreter.made(
            PythonText.stripped(
                try interpreter.printed(value), of: characters, front: true, back: true))
    }

    @Sendable private static func replace(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(to: ["old", "new", "count"], of: "replace")
        return try StringMethods.replaced(
            try interpreter.printed(value),
            try interpreter.printed(try arguments.required(0)),
            try interpreter.printed(try arguments.required(1)),
            limit: try arguments.integer(2) ?? -1, interpreter)
    }

    @Sendable private static func indent(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(to: ["width", "first", "blank"], of: "indent")
        let margin: String
        if let text = arguments[0]?.text {
            margin = text
        } else {
            let width = max(0, try arguments.integer(0, default: 4))
            guard width <= TemplateLimits.formatWidth else {
                throw TemplateError(
                    .limit, "an indentation is wider than \(TemplateLimits.formatWidth)")
            }
            margin = String(repeating: " ", count: width)
        }
        let text = try interpreter.printed(value)
        try interpreter.reserve(text.utf8.count)
        let lines = PythonText.lines(text + "\n", keepingEnds: false)
        try interpreter.reserve(margin.utf8.count, times: lines.count)
        let indentsBlank = arguments.flag(2, default: false)
        var result = arguments.flag(1, default: false) ? margin : ""
        for (place, line) in lines.enumerated() {
            if place > 0 { result += "\n" + (indentsBlank || !line.isEmpty ? margin : "") }
            result += line
        }
        return try interpreter.made(result)
    }

    @Sendable private static func truncate(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(
            to: ["length", "killwords", "end", "leeway"], of: "truncate")
        let length = try arguments.integer(0, default: 255)
        let end = try arguments.text(2) ?? "..."
        let leeway = try arguments.integer(3) ?? 5
        let endLength = end.unicodeScalars.count
        guard length >= endLength, leeway >= 0, length <= Int.max / 4, leeway <= Int.max / 4 else {
            throw TemplateError(.value, "'truncate' needs a length of at least \(endLength)")
        }
        let text = try interpreter.printed(value)
        let scalars = text.unicodeScalars
        guard scalars.count > length + leeway else { return .string(text) }
        let kept = String(scalars.prefix(length - endLength))
        if arguments.flag(1, default: false) { return try interpreter.made(kept + end) }
        let words = kept.unicodeScalars.lastIndex(of: " ").map { String(kept[..<$0]) } ?? kept
        return try interpreter.made(words + end)
    }

    @Sendable private static func center(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        let width = try given.bound(to: ["width"], of: "center").integer(0, default: 80)
        return try StringMethods.padded(
            try interpreter.printed(value), to: width, " ", "center", interpreter)
    }

    @Sendable private static func join(
        _ interpreter: Interpreter, _ value: TemplateValue, _ given: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        let arguments = try given.bound(to: ["d", "attribute"], of: "join")
        var texts: [String] = []
        for item in try interpreter.items(of: value) {
            try interpreter.charge(1)
            var item = item
            if let path = arguments[1], !path.isNone {
                item = try interpreter.value(at: path, in: item)
            }
            texts.append(try interpreter.printed(item))
        }
        let separator = try arguments[0].map { value throws(TemplateError) in
            try interpreter.printed(value)
        }
        return try StringMethods.joined(texts, separator ?? "", interpreter)
    }
}
