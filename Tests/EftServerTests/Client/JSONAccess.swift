// SPDX-License-Identifier: Apache-2.0
// Reaching into JSON answers.
import EftConfig

extension ConfigNode? {
    /// A value of a mapping.
    subscript(key: String) -> ConfigNode? {
        if case .object(let object)? = self?.value { object[key] } else { nil }
    }

    /// An item of a list.
    subscript(index: Int) -> ConfigNode? { items.indices.contains(index) ? items[index] : nil }

    var items: [ConfigNode] { if case .array(let items)? = self?.value { items } else { [] } }
    var text: String? { if case .string(let text)? = self?.value { text } else { nil } }
    var integer: Int? { if case .integer(let value)? = self?.value { value } else { nil } }
    var isNull: Bool { if case .null? = self?.value { true } else { false } }

    var number: Double? { self?.number }

    /// The keys of a mapping.
    var keys: [String] { if case .object(let object)? = self?.value { object.keys } else { [] } }
}
