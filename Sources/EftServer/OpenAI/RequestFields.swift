// SPDX-License-Identifier: Apache-2.0
// The fields of a request's body, read with their types.
import EftConfig

/// Reads fields of a mapping; a field that is null counts as absent, one that is unknown is nobody's business.
struct RequestFields {
    let object: ConfigObject
    private let path: String

    /// - Throws: `HTTPFailure` when the body is no mapping.
    init(_ node: ConfigNode, path: String = "") throws(HTTPFailure) {
        guard case .object(let object) = node.value else {
            throw .badRequest(
                path.isEmpty
                    ? "the body must be a JSON object, not \(node.kindName)"
                    : "\(path) must be an object, not \(node.kindName)",
                parameter: path.isEmpty ? nil : path)
        }
        self.object = object
        self.path = path
    }

    /// The name of a field in messages.
    func name(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    /// A field's value; nil for an absent one and for null.
    subscript(key: String) -> ConfigNode? {
        guard let node = object[key] else { return nil }
        if case .null = node.value { return nil }
        return node
    }

    func failure(_ key: String, _ problem: String) -> HTTPFailure {
        .badRequest("\(name(key)) \(problem)", parameter: name(key))
    }

    private func wrongType(_ key: String, _ node: ConfigNode, _ wanted: String) -> HTTPFailure {
        failure(key, "must be \(wanted), not \(node.kindName)")
    }

    func string(_ key: String) throws(HTTPFailure) -> String? {
        guard let node = self[key] else { return nil }
        guard case .string(let value) = node.value else {
            throw wrongType(key, node, "a string")
        }
        return value
    }

    func bool(_ key: String) throws(HTTPFailure) -> Bool? {
        guard let node = self[key] else { return nil }
        guard case .bool(let value) = node.value else {
            throw wrongType(key, node, "true or false")
        }
        return value
    }

    func int(_ key: String) throws(HTTPFailure) -> Int? {
        guard let node = self[key] else { return nil }
        switch node.value {
        case .integer(let value): return value
        case .real(let value):
            // Some clients write 16.0.
            if let exact = Int(exactly: value) { return exact }
        default: break
        }
        throw wrongType(key, node, "an integer")
    }

    func number(_ key: String) throws(HTTPFailure) -> Double? {
        guard let node = self[key] else { return nil }
        guard let value = node.number else { throw wrongType(key, node, "a number") }
        guard value.isFinite else { throw failure(key, "must be finite") }
        return value
    }

    /// A number that a 32-bit float can hold.
    func float(_ key: String) throws(HTTPFailure) -> Float? {
        guard let value = try number(key) else { return nil }
        let float = Float(value)
        guard float.isFinite else { throw failure(key, "is too large") }
        return float
    }

    func array(_ key: String) throws(HTTPFailure) -> [ConfigNode]? {
        guard let node = self[key] else { return nil }
        guard case .array(let items) = node.value else { throw wrongType(key, node, "a list") }
        return items
    }

    func fields(_ key: String) throws(HTTPFailure) -> RequestFields? {
        guard let node = self[key] else { return nil }
        return try RequestFields(node, path: name(key))
    }

    /// A string or a list of strings.
    func strings(_ key: String) throws(HTTPFailure) -> [String]? {
        guard let node = self[key] else { return nil }
        if case .string(let value) = node.value { return [value] }
        guard case .array(let items) = node.value else {
            throw wrongType(key, node, "a string or a list of strings")
        }
        var values: [String] = []
        for item in items {
            guard case .string(let value) = item.value else {
                throw failure(key, "must hold strings only, not \(item.kindName)")
            }
            values.append(value)
        }
        return values
    }

    /// A list of token ids.
    func tokens(_ key: String) throws(HTTPFailure) -> [Int32]? {
        guard let items = try array(key) else { return nil }
        return try RequestFields.tokens(items, name(key))
    }

    static func tokens(_ items: [ConfigNode], _ name: String) throws(HTTPFailure) -> [Int32] {
        var ids: [Int32] = []
        ids.reserveCapacity(items.count)
        for item in items {
            guard let id = item.tokenID else {
                throw .badRequest("\(name) must hold token ids only", parameter: name)
            }
            ids.append(id)
        }
        return ids
    }
}

extension ConfigNode {
    /// A number that is a token's, whichever way it is written.
    var tokenID: Int32? {
        let id: Int32? =
            switch value {
            case .integer(let value): Int32(exactly: value)
            case .real(let value): Int32(exactly: value)
            default: nil
            }
        return id.flatMap { $0 < 0 ? nil : $0 }
    }
}
