// SPDX-License-Identifier: Apache-2.0
// Python's `str.format`.

/// One call of `str.format`.
struct BraceFormat {
    private let interpreter: Interpreter
    private let arguments: CallArguments
    private var automatic = 0
    private var usesNumbers: Bool?

    init(_ interpreter: Interpreter, _ arguments: CallArguments) {
        self.interpreter = interpreter
        self.arguments = arguments
    }

    /// A text with its fields replaced.
    func formatted(_ text: String) throws(TemplateError) -> String {
        var copy = self
        return try copy.run(Array(text.unicodeScalars), depth: 0)
    }

    private mutating func run(
        _ text: [Unicode.Scalar], depth: Int
    ) throws(TemplateError) -> String {
        guard depth <= 2 else { throw TemplateError(.value, "fields are nested too deep") }
        var result = String.UnicodeScalarView()
        var place = 0
        while place < text.count {
            let scalar = text[place]
            place += 1
            guard scalar == "{" || scalar == "}" else {
                result.append(scalar)
                continue
            }
            if place < text.count, text[place] == scalar {
                result.append(scalar)
                place += 1
                continue
            }
            guard scalar == "{", let end = closing(text, place) else {
                throw TemplateError(.value, "a brace in a format stands alone")
            }
            let piece = try field(Array(text[place..<end]), depth: depth)
            try interpreter.reserve(piece.utf8.count)
            try interpreter.charge(piece.utf8.count / 4)
            result.append(contentsOf: piece.unicodeScalars)
            place = end + 1
        }
        return String(result)
    }

    private func closing(_ text: [Unicode.Scalar], _ start: Int) -> Int? {
        var open = 1
        for place in start..<text.count {
            if text[place] == "{" { open += 1 }
            if text[place] == "}" { open -= 1 }
            if open == 0 { return place }
        }
        return nil
    }

    private mutating func field(
        _ text: [Unicode.Scalar], depth: Int
    ) throws(TemplateError) -> String {
        var name = text[...]
        var specification: [Unicode.Scalar] = []
        var conversion: Unicode.Scalar?
        if let end = text.firstIndex(where: { $0 == "!" || $0 == ":" }) {
            name = text[..<end]
            var rest = text[end...]
            if rest.popFirst() == "!" {
                conversion = rest.popFirst()
                guard rest.isEmpty || rest.popFirst() == ":" else {
                    throw TemplateError(.value, "a format has text behind its conversion")
                }
            }
            specification = Array(rest)
        }
        var value = try self.value(name)
        switch conversion {
        case nil: break
        case "s"?: value = .string(try interpreter.printed(value))
        case "r"?, "a"?: value = .string(try interpreter.formatted(value))
        default: throw TemplateError(.value, "a format has an unknown conversion")
        }
        let format = try run(specification, depth: depth + 1)
        let printed = try interpreter.printed(value)
        return format.isEmpty
            ? printed : try FormatSpecification(format).apply(to: value, printed: printed)
    }

    private mutating func value(
        _ text: ArraySlice<Unicode.Scalar>
    ) throws(TemplateError) -> TemplateValue {
        let end = text.firstIndex { $0 == "." || $0 == "[" } ?? text.endIndex
        var value = try argument(Self.string(text[..<end]))
        var rest = text[end...]
        while let mark = rest.popFirst() {
            if mark == "." {
                let stop = rest.firstIndex { $0 == "." || $0 == "[" } ?? rest.endIndex
                value = try interpreter.attribute(Self.string(rest[..<stop]), of: value)
                rest = rest[stop...]
            } else if mark == "[", let stop = rest.firstIndex(of: "]") {
                let key = Self.string(rest[..<stop])
                let index = Int(key).map { TemplateValue.integer($0) } ?? .string(key)
                value = try interpreter.item(index, of: value)
                rest = rest[(stop + 1)...]
            } else {
                throw TemplateError(.value, "a field's name in a format cannot be read")
            }
        }
        return value
    }

    private mutating func argument(_ name: String) throws(TemplateError) -> TemplateValue {
        if !name.isEmpty, Int(name) == nil {
            guard let found = arguments.keywords.first(where: { $0.name == name }) else {
                throw TemplateError(
                    .value, "a format asks for '\(name.prefix(40))', which is missing")
            }
            return found.value
        }
        guard usesNumbers == nil || usesNumbers == !name.isEmpty else {
            throw TemplateError(.value, "a format has fields with numbers and fields without")
        }
        usesNumbers = !name.isEmpty
        let place = Int(name) ?? automatic
        if name.isEmpty { automatic += 1 }
        guard arguments.positional.indices.contains(place) else {
            throw TemplateError(.value, "a format asks for value \(place), which is missing")
        }
        return arguments.positional[place]
    }

    private static func string(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
        String(String.UnicodeScalarView(scalars))
    }
}
