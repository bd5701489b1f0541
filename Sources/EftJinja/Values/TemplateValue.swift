// SPDX-License-Identifier: Apache-2.0
// The values that templates compute with: Python's, as far as templates see them.

/// A value of a template. Lists and mappings never change once made.
package enum TemplateValue: Sendable {
    /// Nothing under this name; it prints as nothing and refuses most other uses.
    case undefined(UndefinedOrigin)
    case null
    case bool(Bool)
    case integer(Int)
    case real(Double)
    case string(String)
    case list(TemplateList)
    case tuple(TemplateList)
    case dictionary(TemplateDictionary)
    /// A function of the language, by its name.
    case function(String)
    /// A method of a value, not yet called.
    case method(BoundMethod)
    /// Something that belongs to one rendering: a macro, a loop, a namespace.
    case object(ObjectReference)

    /// A list.
    /// - Throws: `TemplateError` (`limit`) when it is nested too deep.
    package static func list(_ items: [TemplateValue]) throws(TemplateError) -> TemplateValue {
        .list(try TemplateList(items))
    }

    /// A tuple.
    /// - Throws: `TemplateError` (`limit`) when it is nested too deep.
    package static func tuple(_ items: [TemplateValue]) throws(TemplateError) -> TemplateValue {
        .tuple(try TemplateList(items))
    }

    /// Whether this is an undefined value.
    package var isUndefined: Bool {
        if case .undefined = self { return true }
        return false
    }

    /// Whether this is None.
    package var isNone: Bool {
        if case .null = self { return true }
        return false
    }

    /// The text, when this is one.
    package var text: String? {
        if case .string(let text) = self { return text }
        return nil
    }

    /// The items of a list or tuple.
    var items: [TemplateValue]? {
        switch self {
        case .list(let list), .tuple(let list): list.items
        default: nil
        }
    }

    /// How many levels of lists and mappings lie in it.
    var height: Int {
        switch self {
        case .list(let list), .tuple(let list): list.height
        case .dictionary(let dictionary): dictionary.height
        case .method(let method): method.height
        default: 0
        }
    }

    /// The work of looking at all of it, in steps; no more than `Int.max / 4`.
    var weight: Int {
        switch self {
        case .string(let text): 1 + text.utf8.count / 32
        case .list(let list), .tuple(let list): list.weight
        case .dictionary(let dictionary): dictionary.weight
        case .method(let method): method.receiver.weight
        default: 1
        }
    }

    /// What Python calls this kind of value.
    var typeName: String {
        switch self {
        case .undefined: "Undefined"
        case .null: "NoneType"
        case .bool: "bool"
        case .integer: "int"
        case .real: "float"
        case .string: "str"
        case .list: "list"
        case .tuple: "tuple"
        case .dictionary: "dict"
        case .function, .method: "function"
        case .object(let reference): reference.kind.rawValue
        }
    }
}

/// Why a value is undefined, for the message when it is used.
package enum UndefinedOrigin: Sendable, Hashable {
    case name(String)
    case attribute(String, of: String)
    case other(String)

    /// The message.
    var message: String {
        switch self {
        case .name(let name): "'\(name)' is undefined"
        case .attribute(let name, let kind): "a value of type '\(kind)' has no '\(name)'"
        case .other(let message): message
        }
    }
}

/// The items of a list or tuple, with what bounds the work on them.
package struct TemplateList: Sendable {
    /// The items.
    package let items: [TemplateValue]
    let height: Int
    let weight: Int

    /// Makes a list.
    /// - Throws: `TemplateError` (`limit`) when it is nested too deep.
    package init(_ items: [TemplateValue]) throws(TemplateError) {
        var (height, weight) = (0, 1)
        for item in items {
            height = max(height, item.height)
            weight = saturatingSum(weight, item.weight)
        }
        self.items = items
        self.height = try checkedHeight(height + 1)
        self.weight = weight
    }
}

/// A method and the value that it belongs to.
package final class BoundMethod: Sendable {
    let receiver: TemplateValue
    let name: String
    let height: Int

    init(_ receiver: TemplateValue, _ name: String) throws(TemplateError) {
        self.receiver = receiver
        self.name = name
        height = try checkedHeight(receiver.height + 1)
    }
}

/// Names an object of the rendering at work; it means nothing anywhere else.
package struct ObjectReference: Sendable, Hashable {
    /// What it is.
    enum Kind: String, Sendable, Hashable {
        case macro = "Macro"
        case loop = "LoopContext"
        case namespace = "Namespace"
        case cycler = "Cycler"
        case joiner = "Joiner"
    }

    let kind: Kind
    let index: Int
}

/// A sum that stays below `Int.max / 4`.
func saturatingSum(_ a: Int, _ b: Int) -> Int { min(a + b, Int.max / 4) }

/// A height, when values may be nested so deep.
func checkedHeight(_ height: Int) throws(TemplateError) -> Int {
    guard height <= TemplateLimits.valueDepth else {
        throw TemplateError(
            .limit, "values are nested deeper than \(TemplateLimits.valueDepth)")
    }
    return height
}
