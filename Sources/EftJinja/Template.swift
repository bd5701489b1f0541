// SPDX-License-Identifier: Apache-2.0
// A chat template, read once and rendered many times.

/// A template in the part of Jinja that chat templates are written in.
package struct Template: Sendable {
    let statements: [Statement]
    let names: [String]

    /// Names with a meaning of their own, in the order of their numbers.
    static let contextNames = ["varargs", "kwargs", "caller", "loop"]
    static let varargsID: NameID = 0
    static let kwargsID: NameID = 1
    static let callerID: NameID = 2
    static let loopID: NameID = 3

    /// Names that a template finds without being given them.
    package static let globalNames = contextNames + GlobalFunctions.all.keys.sorted()

    /// Reads a template.
    /// - Throws: `TemplateError` (`syntax`, `unsupported`, `limit`) with the line.
    package init(_ source: String) throws(TemplateError) {
        (statements, names) = try Parser.parse(source)
    }

    /// The text of the template for some values.
    /// - Parameters:
    ///   - context: the values by their names.
    ///   - now: seconds since 1970 for `strftime_now`; nil takes the time of the clock.
    /// - Throws: `TemplateError` with the line; (`limit`) when rendering takes more than `limits` allow.
    package func render(
        _ context: TemplateDictionary, limits: TemplateLimits = TemplateLimits(), now: Int? = nil
    ) throws(TemplateError) -> String {
        let interpreter = Interpreter(names: names, context: context, limits: limits, now: now)
        do {
            return try interpreter.render(statements)
        } catch {
            var located = error
            if located.line == 0 { located.line = interpreter.line }
            throw located
        }
    }
}
