// SPDX-License-Identifier: Apache-2.0
// One rendering of a template: its names, its limits and its output.

/// Walks a template's tree. One object serves one rendering.
final class Interpreter {
    let limits: TemplateLimits
    /// Seconds since 1970, when they are not to be asked of the clock.
    let now: Int?
    /// Line of the expression that was last begun.
    var line = 0
    var macros: [MacroInstance] = []
    var loops: [LoopState] = []
    var namespaces: [TemplateDictionary] = []
    var cyclers: [CyclerState] = []
    var joiners: [JoinerState] = []
    /// The text of the innermost block that is being written.
    private(set) var output = ""
    private let names: [String]
    private let context: TemplateDictionary
    private var steps = 0
    private var producedBytes = 0
    private var depth = 0

    init(names: [String], context: TemplateDictionary, limits: TemplateLimits, now: Int?) {
        self.names = names
        self.context = context
        self.limits = limits
        self.now = now
    }

    func render(_ statements: [Statement]) throws(TemplateError) -> String {
        _ = try run(statements, Scope(inside: nil))
        return output
    }

    // MARK: Names

    func name(_ id: NameID) -> String { names.indices.contains(id) ? names[id] : "" }

    func value(of id: NameID, _ scope: Scope) -> TemplateValue {
        if let value = scope.value(of: id) { return value }
        let name = name(id)
        if let value = context[name] { return value }
        if GlobalFunctions.all[name] != nil { return .function(name) }
        return .undefined(.name(name))
    }

    // MARK: Limits

    /// Pays for work.
    func charge(_ count: Int) throws(TemplateError) {
        steps = saturatingSum(steps, max(0, min(count, Int.max / 4)))
        guard steps <= limits.steps else {
            throw TemplateError(.limit, "rendering takes more than \(limits.steps) steps")
        }
    }

    /// Pays for looking at all of a value, or of two, of which the smaller ends it.
    func charge(for value: TemplateValue) throws(TemplateError) { try charge(value.weight) }

    /// Pays for work on each character of a text.
    func charge(forText value: TemplateValue) throws(TemplateError) {
        try charge(1 + (value.text?.utf8.count ?? 0) / 4)
    }

    /// Makes sure that a text or list of so many bytes may be made, and pays for it.
    func reserve(_ bytes: Int) throws(TemplateError) {
        guard bytes <= limits.valueBytes else {
            throw TemplateError(.limit, "a value would be larger than \(limits.valueBytes) bytes")
        }
        producedBytes = saturatingSum(producedBytes, max(0, bytes))
        guard producedBytes <= limits.producedBytes else {
            throw TemplateError(
                .limit, "rendering makes more than \(limits.producedBytes) bytes of values")
        }
        try charge(bytes / 32)
    }

    /// Makes sure that so many texts of so many bytes may be made, and pays for them.
    func reserve(_ bytes: Int, times count: Int) throws(TemplateError) {
        let (product, overflows) = bytes.multipliedReportingOverflow(by: max(0, count))
        try reserve(overflows ? .max : product)
    }

    /// A text that was just made, paid for.
    func made(_ text: String) throws(TemplateError) -> TemplateValue {
        try reserve(text.utf8.count)
        return .string(text)
    }

    /// A list that was just made, paid for.
    func made(_ items: [TemplateValue]) throws(TemplateError) -> TemplateValue {
        try reserve(TemplateLimits.itemBytes, times: items.count)
        return try .list(items)
    }

    /// Does something one level further in.
    func nested<T>(_ body: () throws(TemplateError) -> T) throws(TemplateError) -> T {
        try enter()
        let result = try body()
        leave()
        return result
    }

    @inline(__always) func enter() throws(TemplateError) {
        depth += 1
        guard depth <= limits.depth else {
            throw TemplateError(.limit, "rendering goes deeper than \(limits.depth) levels")
        }
    }

    @inline(__always) func leave() { depth -= 1 }

    // MARK: Output

    /// The text of a value as it is printed.
    func printed(_ value: TemplateValue) throws(TemplateError) -> String {
        if case .string(let text) = value { return text }
        try chargeForText(value)
        return value.printed
    }

    /// The text of a value as Python's `repr` gives it.
    func formatted(_ value: TemplateValue) throws(TemplateError) -> String {
        try chargeForText(value)
        return value.formatted
    }

    private func chargeForText(_ value: TemplateValue) throws(TemplateError) {
        try reserve(32, times: value.weight)
    }

    /// Adds text to the output.
    func write(_ text: String) throws(TemplateError) {
        output += text
        guard output.utf8.count <= limits.outputBytes else {
            throw TemplateError(
                .limit, "the text becomes longer than \(limits.outputBytes) bytes")
        }
    }

    /// The text that statements write, which does not reach the output.
    func captured(_ body: () throws(TemplateError) -> Void) throws(TemplateError) -> String {
        let outer = output
        output = ""
        try body()
        let text = output
        output = outer
        try reserve(text.utf8.count)
        return text
    }
}
