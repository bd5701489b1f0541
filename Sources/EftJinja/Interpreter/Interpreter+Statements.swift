// SPDX-License-Identifier: Apache-2.0
// What statements do.

/// How a run of statements ended.
enum Flow {
    case onwards, leavesLoop, nextRound
}

extension Interpreter {
    /// Runs statements one after the other.
    func run(_ statements: [Statement], _ scope: Scope) throws(TemplateError) -> Flow {
        try enter()
        for statement in statements {
            try charge(1)
            let flow = try run(statement, scope)
            if flow != .onwards {
                leave()
                return flow
            }
        }
        leave()
        return .onwards
    }

    private func run(_ statement: Statement, _ scope: Scope) throws(TemplateError) -> Flow {
        switch statement {
        case .text(let text): try write(text)
        case .print(let value): try write(printed(evaluate(value, scope)))
        case .choice(let branches, let otherwise):
            for branch in branches where try evaluate(branch.condition, scope).isTrue {
                return try run(branch.body, scope)
            }
            return try run(otherwise, scope)
        case .loop(let loop):
            try runLoop(loop, over: try evaluate(loop.iterable, scope), level: 0, scope)
        case .assign(let target, let value, let line):
            try assign(try evaluate(value, scope), to: target, scope, line: line)
        case .assignBlock(let target, let filter, let body, let line):
            try assignBlock(target, filter, body, scope, line: line)
        case .macro(let id, let definition):
            macros.append(MacroInstance(definition: definition, scope: scope))
            scope.set(id, .object(ObjectReference(kind: .macro, index: macros.count - 1)))
        case .callBlock(let call, let definition): try runCallBlock(call, definition, scope)
        case .filterBlock(let filter, let body):
            let text = try capturedText(of: body, Scope(inside: scope))
            try write(printed(evaluateFilter(filter, on: .string(text), scope)))
        case .with(let values, let body): return try runWith(values, body, scope)
        case .scoped(let body): return try run(body, Scope(inside: scope))
        case .leaveLoop: return .leavesLoop
        case .nextRound: return .nextRound
        }
        return .onwards
    }

    func capturedText(of body: [Statement], _ scope: Scope) throws(TemplateError) -> String {
        try captured { () throws(TemplateError) in _ = try run(body, scope) }
    }

    private func runWith(
        _ values: [(target: Target, value: Expression)], _ body: [Statement], _ scope: Scope
    ) throws(TemplateError) -> Flow {
        let inner = Scope(inside: scope)
        for (target, value) in values {
            try assign(try evaluate(value, scope), to: target, inner, line: value.line)
        }
        return try run(body, inner)
    }

    private func runCallBlock(
        _ call: Expression, _ definition: MacroDefinition, _ scope: Scope
    ) throws(TemplateError) {
        guard case .call(let function, let given) = call.kind else { return }
        macros.append(MacroInstance(definition: definition, scope: scope))
        let caller = TemplateValue.object(
            ObjectReference(kind: .macro, index: macros.count - 1))
        let callee = try evaluate(function, scope)
        var arguments = try evaluate(given, scope)
        arguments.keywords.append(("caller", caller))
        line = call.line
        let result = try self.call(callee, arguments)
        try write(printed(result))
    }

    // MARK: Assignment

    func assign(
        _ value: TemplateValue, to target: Target, _ scope: Scope, line: Int
    ) throws(TemplateError) {
        switch target {
        case .name(let id): scope.set(id, value)
        case .attribute(let id, let attribute):
            self.line = line
            guard case .object(let reference) = self.value(of: id, scope),
                reference.kind == .namespace, namespaces.indices.contains(reference.index)
            else {
                throw TemplateError(
                    .type,
                    "'\(name(id))' is no namespace; only a namespace's attributes can be set",
                    line: line)
            }
            try namespaces[reference.index].set(attribute, value)
        case .tuple(let targets):
            self.line = line
            let items = try self.items(of: value)
            guard items.count == targets.count else {
                throw TemplateError(
                    .value, "\(targets.count) values are needed, there are \(items.count)",
                    line: line)
            }
            for (target, item) in zip(targets, items) {
                try assign(item, to: target, scope, line: line)
            }
        }
    }

    private func assignBlock(
        _ target: Target, _ filter: Expression?, _ body: [Statement], _ scope: Scope, line: Int
    ) throws(TemplateError) {
        var value = TemplateValue.string(try capturedText(of: body, Scope(inside: scope)))
        if let filter { value = try evaluateFilter(filter, on: value, scope) }
        try assign(value, to: target, scope, line: line)
    }

    // MARK: Loops

    /// Runs a loop over the items of a value.
    /// - Parameter level: how many calls of the same loop lie around this one.
    func runLoop(
        _ loop: ForLoop, over iterable: TemplateValue, level: Int, _ scope: Scope
    ) throws(TemplateError) {
        var items = try self.items(of: iterable)
        if let condition = loop.condition {
            items = try filtered(items, loop, condition, scope)
        }
        try charge(1)
        guard !items.isEmpty else {
            _ = try run(loop.otherwise, Scope(inside: scope))
            return
        }
        let number = loops.count
        loops.append(
            LoopState(
                items: items, level: level, recursion: loop.isRecursive ? (loop, scope) : nil))
        let reference = TemplateValue.object(ObjectReference(kind: .loop, index: number))
        for (index, item) in items.enumerated() {
            loops[number].index = index
            let inner = Scope(inside: scope)
            inner.set(Template.loopID, reference)
            try assign(item, to: loop.target, inner, line: loop.iterable.line)
            if try run(loop.body, inner) == .leavesLoop { break }
        }
    }

    private func filtered(
        _ items: [TemplateValue], _ loop: ForLoop, _ condition: Expression, _ scope: Scope
    ) throws(TemplateError) -> [TemplateValue] {
        var kept: [TemplateValue] = []
        for item in items {
            let inner = Scope(inside: scope)
            try assign(item, to: loop.target, inner, line: loop.iterable.line)
            if try evaluate(condition, inner).isTrue { kept.append(item) }
        }
        return kept
    }

    /// What a loop over a value meets.
    /// - Throws: `TemplateError` (`type`) when the value has no items.
    func items(of value: TemplateValue) throws(TemplateError) -> [TemplateValue] {
        switch value {
        case .list(let list), .tuple(let list): return list.items
        case .dictionary(let dictionary):
            try reserve(TemplateLimits.itemBytes, times: dictionary.count)
            return dictionary.entries.map(\.key)
        case .string(let text):
            try reserve(TemplateLimits.itemBytes, times: text.utf8.count)
            return text.unicodeScalars.map { .string(String($0)) }
        case .undefined: return []
        default:
            throw TemplateError(.type, "a value of type '\(value.typeName)' has no items")
        }
    }
}
