// SPDX-License-Identifier: Apache-2.0
// Attributes, items and slices of values.

extension Interpreter {
    /// The value behind a dot: a method or, of a mapping, an entry.
    func attribute(
        _ name: String, of value: TemplateValue
    ) throws(TemplateError) -> TemplateValue {
        switch value {
        case .undefined(let origin): throw TemplateError(.undefined, origin.message)
        case .object(let reference):
            return try objectAttribute(name, of: reference)
                ?? .undefined(.attribute(name, of: value.typeName))
        default:
            if Methods.has(name, value) { return .method(try BoundMethod(value, name)) }
            if case .dictionary(let dictionary) = value, let entry = dictionary[name] {
                return entry
            }
            if case .tuple(let list) = value, let part = groupPart(name, list) { return part }
            return .undefined(.attribute(name, of: value.typeName))
        }
    }

    /// The two parts of what `groupby` gives have names.
    private func groupPart(_ name: String, _ list: TemplateList) -> TemplateValue? {
        guard list.items.count == 2, case .list = list.items[1] else { return nil }
        switch name {
        case "grouper": return list.items[0]
        case "list": return list.items[1]
        default: return nil
        }
    }

    /// The value in brackets: an item, an entry or else an attribute.
    func item(_ key: TemplateValue, of value: TemplateValue) throws(TemplateError) -> TemplateValue
    {
        switch value {
        case .undefined(let origin): throw TemplateError(.undefined, origin.message)
        case .dictionary(let dictionary):
            try charge(for: key)
            if let entry = try? dictionary.value(of: key) { return entry }
        case .list(let list), .tuple(let list):
            if case .integer(let index)? = key.number {
                guard let place = place(index, in: list.items.count) else {
                    return .undefined(.other("a list has no item \(index)"))
                }
                return list.items[place]
            }
        case .string(let text):
            if case .integer(let index)? = key.number {
                try charge(for: value)
                return character(index, of: text)
            }
        default: break
        }
        if let name = key.text { return try attribute(name, of: value) }
        return .undefined(.other("a value of type '\(value.typeName)' has no such item"))
    }

    private func place(_ index: Int, in count: Int) -> Int? {
        let place = index < 0 ? index + count : index
        return place >= 0 && place < count ? place : nil
    }

    private func character(_ index: Int, of text: String) -> TemplateValue {
        let scalars = text.unicodeScalars
        let count = index < 0 || index >= text.utf8.count ? scalars.count : text.utf8.count
        guard let place = place(index, in: count),
            let found = scalars.index(
                scalars.startIndex, offsetBy: place, limitedBy: scalars.endIndex),
            found < scalars.endIndex
        else { return .undefined(.other("a text has no character \(index)")) }
        return .string(String(scalars[found]))
    }

    // MARK: Slices

    func slice(
        _ operand: Expression, _ start: Expression?, _ stop: Expression?, _ step: Expression?,
        _ scope: Scope
    ) throws(TemplateError) -> TemplateValue {
        let value = try evaluate(operand, scope)
        let start = try bound(start, scope)
        let stop = try bound(stop, scope)
        let step = try bound(step, scope) ?? 1
        guard step != 0 else { throw TemplateError(.value, "a slice's step is zero") }
        switch value {
        case .list(let list):
            return try made(try sliced(list.items, start, stop, step))
        case .tuple(let list):
            return try .tuple(try sliced(list.items, start, stop, step))
        case .string(let text):
            try reserve(4, times: text.utf8.count)
            let scalars = try sliced(Array(text.unicodeScalars), start, stop, step)
            return .string(String(String.UnicodeScalarView(scalars)))
        case .undefined(let origin): throw TemplateError(.undefined, origin.message)
        default: throw TemplateError(.type, "a value of type '\(value.typeName)' has no slices")
        }
    }

    private func bound(_ expression: Expression?, _ scope: Scope) throws(TemplateError) -> Int? {
        guard let expression else { return nil }
        let value = try evaluate(expression, scope)
        if value.isNone { return nil }
        guard case .integer(let number)? = value.number else {
            throw TemplateError(
                .type, "a slice's bounds are whole numbers, not values of type '\(value.typeName)'")
        }
        return number
    }

    private func sliced<T>(
        _ items: [T], _ start: Int?, _ stop: Int?, _ step: Int
    ) throws(TemplateError) -> [T] {
        let count = items.count
        try charge(count)
        /// Where a bound lies, within what a walk in this direction can reach.
        func clamped(_ bound: Int, _ lowest: Int, _ highest: Int) -> Int {
            let place = bound < 0 ? max(bound, -count - 1) + count : bound
            return min(max(place, lowest), highest)
        }
        var result: [T] = []
        if step > 0 {
            var place = start.map { clamped($0, 0, count) } ?? 0
            let end = stop.map { clamped($0, 0, count) } ?? count
            while place < end {
                result.append(items[place])
                place += min(step, count)
            }
        } else {
            var place = start.map { clamped($0, -1, count - 1) } ?? count - 1
            let end = stop.map { clamped($0, -1, count - 1) } ?? -1
            while place > end {
                result.append(items[place])
                place += max(step, -count)
            }
        }
        return result
    }

    // MARK: Objects

    private func objectAttribute(
        _ name: String, of reference: ObjectReference
    ) throws(TemplateError) -> TemplateValue? {
        switch reference.kind {
        case .namespace:
            return namespaces.indices.contains(reference.index)
                ? namespaces[reference.index][name] : nil
        case .loop: return try loopAttribute(name, reference)
        case .macro:
            guard macros.indices.contains(reference.index) else { return nil }
            let definition = macros[reference.index].definition
            switch name {
            case "name": return .string(definition.name)
            case "arguments":
                return try .tuple(definition.parameters.map { .string($0.name) })
            case "catch_varargs": return .bool(definition.usesExtraArguments)
            case "catch_kwargs": return .bool(definition.usesExtraKeywords)
            case "caller": return .bool(definition.usesCaller)
            default: return nil
            }
        case .cycler:
            guard cyclers.indices.contains(reference.index) else { return nil }
            let cycler = cyclers[reference.index]
            if name == "current" { return cycler.items[cycler.place] }
            guard ["next", "reset"].contains(name) else { return nil }
            return .method(try BoundMethod(.object(reference), name))
        case .joiner: return nil
        }
    }

    private func loopAttribute(
        _ name: String, _ reference: ObjectReference
    ) throws(TemplateError) -> TemplateValue? {
        guard loops.indices.contains(reference.index) else { return nil }
        let loop = loops[reference.index]
        let count = loop.items.count
        switch name {
        case "index": return .integer(loop.index + 1)
        case "index0": return .integer(loop.index)
        case "revindex": return .integer(count - loop.index)
        case "revindex0": return .integer(count - loop.index - 1)
        case "first": return .bool(loop.index == 0)
        case "last": return .bool(loop.index == count - 1)
        case "length": return .integer(count)
        case "depth": return .integer(loop.level + 1)
        case "depth0": return .integer(loop.level)
        case "previtem":
            return loop.index > 0
                ? loop.items[loop.index - 1] : .undefined(.other("there is no previous item"))
        case "nextitem":
            return loop.index + 1 < count
                ? loop.items[loop.index + 1] : .undefined(.other("there is no next item"))
        case "cycle", "changed": return .method(try BoundMethod(.object(reference), name))
        default: return nil
        }
    }
}
