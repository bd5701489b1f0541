// SPDX-License-Identifier: Apache-2.0
// The values given in a call, and how they find their parameters.

/// The values of a call's arguments.
struct CallArguments {
    var positional: [TemplateValue] = []
    var keywords: [(name: String, value: TemplateValue)] = []

    /// The arguments in the order of a function's parameters; nil for those not given.
    /// - Throws: `TemplateError` (`type`) when there are more than that, or unknown names.
    func bound(
        to parameters: [String], of function: String
    ) throws(TemplateError) -> BoundArguments {
        guard positional.count <= parameters.count else {
            throw TemplateError(
                .type,
                "'\(function)' takes at most \(parameters.count) arguments, not \(positional.count)"
            )
        }
        var values = positional.map { Optional($0) }
        values += Array(repeating: nil, count: parameters.count - values.count)
        for (name, value) in keywords {
            guard let place = parameters.firstIndex(of: name), case Optional.none = values[place]
            else {
                throw TemplateError(
                    .type,
                    "'\(function)' takes no argument '\(name.prefix(40))', or got it twice")
            }
            values[place] = value
        }
        return BoundArguments(values: values, parameters: parameters, function: function)
    }
}

/// Arguments by the places of their parameters.
struct BoundArguments {
    private let values: [TemplateValue?]
    private let parameters: [String]
    private let function: String

    fileprivate init(values: [TemplateValue?], parameters: [String], function: String) {
        self.values = values
        self.parameters = parameters
        self.function = function
    }

    /// The argument at a place, when it was given.
    subscript(place: Int) -> TemplateValue? {
        values.indices.contains(place) ? values[place] : Optional.none
    }

    /// The argument at a place.
    func required(_ place: Int) throws(TemplateError) -> TemplateValue {
        guard let value = self[place] else {
            throw TemplateError(
                .type, "'\(function)' needs the argument '\(parameter(place))'")
        }
        return value
    }

    /// A whole number.
    func integer(_ place: Int, default standard: Int) throws(TemplateError) -> Int {
        guard let value = self[place] else { return standard }
        if case .integer(let number)? = value.number { return number }
        throw wrongType(place, "a whole number", value)
    }

    /// A whole number, or nil when it was not given or is None.
    func integer(_ place: Int) throws(TemplateError) -> Int? {
        guard let value = self[place], !value.isNone else { return nil }
        return try integer(place, default: 0)
    }

    /// A text, or nil when it was not given or is None.
    func text(_ place: Int) throws(TemplateError) -> String? {
        guard let value = self[place], !value.isNone else { return nil }
        guard let text = value.text else { throw wrongType(place, "a text", value) }
        return text
    }

    /// A text that must be given.
    func requiredText(_ place: Int) throws(TemplateError) -> String {
        let value = try required(place)
        guard let text = value.text else { throw wrongType(place, "a text", value) }
        return text
    }

    /// Whether the argument is true.
    func flag(_ place: Int, default standard: Bool) -> Bool { self[place]?.isTrue ?? standard }

    private func parameter(_ place: Int) -> String {
        parameters.indices.contains(place) ? parameters[place] : "\(place)"
    }

    private func wrongType(
        _ place: Int, _ wanted: String, _ value: TemplateValue
    ) -> TemplateError {
        if case .undefined(let origin) = value { return TemplateError(.undefined, origin.message) }
        return TemplateError(
            .type,
            "'\(function)' needs \(wanted) for '\(parameter(place))', not a value of type '\(value.typeName)'"
        )
    }
}
