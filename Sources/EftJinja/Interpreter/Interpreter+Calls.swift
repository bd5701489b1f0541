// SPDX-License-Identifier: Apache-2.0
// Calls of macros, methods and functions.

extension Interpreter {
    /// The values of a call's arguments.
    func evaluate(_ given: Arguments, _ scope: Scope) throws(TemplateError) -> CallArguments {
        var result = CallArguments()
        for argument in given.positional { result.positional.append(try evaluate(argument, scope)) }
        for (name, value) in given.keywords {
            result.keywords.append((name, try evaluate(value, scope)))
        }
        if let spread = given.spread {
            let items = try self.items(of: try evaluate(spread, scope))
            try reserve(TemplateLimits.itemBytes, times: items.count)
            result.positional += items
        }
        if let spread = given.keywordSpread {
            guard case .dictionary(let dictionary) = try evaluate(spread, scope) else {
                throw TemplateError(.type, "'**' needs a mapping")
            }
            try reserve(TemplateLimits.entryBytes, times: dictionary.count)
            for (key, value) in dictionary.entries {
                guard let name = key.text else {
                    throw TemplateError(.type, "'**' needs a mapping with texts as keys")
                }
                result.keywords.append((name, value))
            }
        }
        return result
    }

    func call(
        _ function: Expression, _ given: Arguments, _ scope: Scope, line: Int
    ) throws(TemplateError) -> TemplateValue {
        // A method that is called at once needs no value of its own.
        if case .attribute(let operand, let name) = function.kind {
            let receiver = try evaluate(operand, scope)
            self.line = line
            if Methods.has(name, receiver) {
                let arguments = try evaluate(given, scope)
                self.line = line
                return try Methods.call(name, receiver, arguments, self)
            }
            let callee = try attribute(name, of: receiver)
            return try call(callee, try evaluate(given, scope))
        }
        let callee = try evaluate(function, scope)
        let arguments = try evaluate(given, scope)
        self.line = line
        return try call(callee, arguments)
    }

    /// What calling a value gives.
    func call(
        _ callee: TemplateValue, _ arguments: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        switch callee {
        case .function(let name):
            guard let function = GlobalFunctions.all[name] else { break }
            return try function(self, arguments)
        case .method(let method):
            if case .object(let reference) = method.receiver {
                return try callMethod(method.name, of: reference, arguments)
            }
            return try Methods.call(method.name, method.receiver, arguments, self)
        case .object(let reference):
            switch reference.kind {
            case .macro where macros.indices.contains(reference.index):
                return .string(try callMacro(macros[reference.index], arguments))
            case .loop: return try recurse(reference, arguments)
            case .joiner where joiners.indices.contains(reference.index):
                _ = try arguments.bound(to: [], of: "joiner")
                defer { joiners[reference.index].wasUsed = true }
                let joiner = joiners[reference.index]
                return .string(joiner.wasUsed ? joiner.separator : "")
            default: break
            }
        case .undefined(let origin): throw TemplateError(.undefined, origin.message)
        default: break
        }
        throw TemplateError(.type, "a value of type '\(callee.typeName)' cannot be called")
    }

    // MARK: Macros

    private func callMacro(
        _ macro: MacroInstance, _ arguments: CallArguments
    ) throws(TemplateError) -> String {
        let definition = macro.definition
        let scope = Scope(inside: macro.scope)
        var keywords = arguments.keywords
        if let place = keywords.firstIndex(where: { $0.name == "caller" }) {
            guard
                definition.usesCaller
                    || definition.parameters.contains(where: { $0.name == "caller" })
            else { throw extraArgument("caller", definition) }
            scope.set(Template.callerID, keywords.remove(at: place).value)
        } else if definition.usesCaller {
            scope.set(Template.callerID, .undefined(.other("no caller is defined")))
        }
        try bind(definition, arguments.positional, &keywords, scope)
        if definition.usesExtraKeywords {
            var extra = TemplateDictionary()
            for (name, value) in keywords { try extra.set(name, value) }
            scope.set(Template.kwargsID, .dictionary(extra))
        } else if let first = keywords.first {
            throw extraArgument(first.name, definition)
        }
        let surplus = arguments.positional.dropFirst(definition.parameters.count)
        if definition.usesExtraArguments {
            scope.set(Template.varargsID, try .tuple(Array(surplus)))
        } else if !surplus.isEmpty {
            throw TemplateError(
                .type,
                "the macro '\(definition.name)' takes at most \(definition.parameters.count) arguments"
            )
        }
        return try capturedText(of: definition.body, scope)
    }

    private func extraArgument(_ name: String, _ definition: MacroDefinition) -> TemplateError {
        TemplateError(
            .type, "the macro '\(definition.name)' takes no argument '\(name.prefix(40))'")
    }

    private func bind(
        _ definition: MacroDefinition, _ positional: [TemplateValue],
        _ keywords: inout [(name: String, value: TemplateValue)], _ scope: Scope
    ) throws(TemplateError) {
        for (place, parameter) in definition.parameters.enumerated() {
            if place < positional.count {
                scope.set(parameter.id, positional[place])
            } else if let given = keywords.firstIndex(where: { $0.name == parameter.name }) {
                scope.set(parameter.id, keywords.remove(at: given).value)
            } else if let standard = parameter.standard {
                scope.set(parameter.id, try evaluate(standard, scope))
            } else {
                scope.set(
                    parameter.id,
                    .undefined(.other("parameter '\(parameter.name)' was not provided")))
            }
        }
    }

    // MARK: Objects

    private func recurse(
        _ reference: ObjectReference, _ arguments: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        guard loops.indices.contains(reference.index),
            let (loop, scope) = loops[reference.index].recursion
        else {
            throw TemplateError(.type, "only a loop with 'recursive' can be called")
        }
        let bound = try arguments.bound(to: ["iterable"], of: "loop")
        let (items, level) = (try bound.required(0), loops[reference.index].level + 1)
        let text = try captured { () throws(TemplateError) in
            try runLoop(loop, over: items, level: level, scope)
        }
        return .string(text)
    }

    private func callMethod(
        _ name: String, of reference: ObjectReference, _ arguments: CallArguments
    ) throws(TemplateError) -> TemplateValue {
        switch reference.kind {
        case .loop where loops.indices.contains(reference.index):
            let values = arguments.positional
            if name == "cycle" {
                guard !values.isEmpty else {
                    throw TemplateError(.type, "'cycle' needs items to go through")
                }
                return values[loops[reference.index].index % values.count]
            }
            let now = try TemplateValue.tuple(values)
            let old = try loops[reference.index].seen.map { seen throws(TemplateError) in
                try TemplateValue.tuple(seen)
            }
            loops[reference.index].seen = values
            guard let old else { return .bool(true) }
            return .bool(!(try areEqual(old, now)))
        case .cycler where cyclers.indices.contains(reference.index):
            var cycler = cyclers[reference.index]
            let current = cycler.items[cycler.place]
            cycler.place = name == "next" ? (cycler.place + 1) % cycler.items.count : 0
            cyclers[reference.index] = cycler
            return name == "next" ? current : .null
        default: throw TemplateError(.type, "'\(name)' cannot be called")
        }
    }
}
