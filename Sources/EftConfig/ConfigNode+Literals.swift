// SPDX-License-Identifier: Apache-2.0
// Writing documents in the source of a program.

extension ConfigNode {
    /// The value null.
    package static let null = ConfigNode(.null)

    /// A truth value.
    package init(_ value: Bool) { self.init(.bool(value)) }
    /// An integer.
    package init(_ value: Int) { self.init(.integer(value)) }
    /// A real number.
    package init(_ value: Double) { self.init(.real(value)) }
    /// A string.
    package init(_ value: String) { self.init(.string(value)) }
    /// A list.
    package init(_ values: [ConfigNode]) { self.init(.array(values)) }
    /// A list of strings.
    package init(_ values: [String]) { self.init(.array(values.map { ConfigNode($0) })) }
    /// A list of integers.
    package init(_ values: [Int]) { self.init(.array(values.map { ConfigNode($0) })) }
    /// A list of real numbers.
    package init(_ values: [Double]) { self.init(.array(values.map { ConfigNode($0) })) }
    /// A mapping.
    package init(_ object: ConfigObject) { self.init(.object(object)) }
}

extension ConfigNode: ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByStringInterpolation, ExpressibleByArrayLiteral,
    ExpressibleByDictionaryLiteral
{
    package init(booleanLiteral value: Bool) { self.init(value) }
    package init(integerLiteral value: Int) { self.init(value) }
    package init(floatLiteral value: Double) { self.init(value) }
    package init(stringLiteral value: String) { self.init(value) }
    package init(arrayLiteral elements: ConfigNode...) { self.init(elements) }

    /// A mapping that keeps the order written; of a key written twice the last value counts.
    package init(dictionaryLiteral elements: (String, ConfigNode)...) {
        var object = ConfigObject()
        for (key, node) in elements { object[key] = node }
        self.init(object)
    }
}

extension ConfigObject: ExpressibleByDictionaryLiteral {
    /// A mapping that keeps the order written; of a key written twice the last value counts.
    package init(dictionaryLiteral elements: (String, ConfigNode)...) {
        self.init()
        for (key, node) in elements { self[key] = node }
    }
}
