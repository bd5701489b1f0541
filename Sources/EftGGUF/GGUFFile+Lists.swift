// SPDX-License-Identifier: Apache-2.0
// Values of the metadata in the forms in which they are needed.

extension GGUFValue {
    /// A whole number; nil for anything else.
    package var whole: Int? {
        if case .integer(let value) = self { value } else { nil }
    }

    /// A number; nil for anything else.
    package var number: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .real(let value): value
        default: nil
        }
    }

    /// A text; nil for anything else.
    package var text: String? {
        if case .text(let value) = self { value } else { nil }
    }

    /// A truth value; nil for anything else.
    package var truth: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// A list; nil for anything else.
    package var list: GGUFList? {
        if case .list(let value) = self { value } else { nil }
    }
}

extension GGUFFile {
    /// The numbers of a list; nil when the key is absent.
    /// - Parameter limit: the most elements that are read.
    /// - Throws: `GGUFError` (`damaged`) for a list of something else, or one that is longer.
    package func numbers(
        _ key: String, limit: Int = 1 << 24
    ) throws(GGUFError) -> [Double]? {
        guard let value = metadata[key] else { return nil }
        guard let list = value.list, list.element != .string else {
            throw fault(key, "is no list of numbers")
        }
        guard list.count <= limit else { throw fault(key, "has \(list.count) elements") }
        var scanner = GGUFScanner(parts[0].input, list.bytes)
        var numbers: [Double] = []
        numbers.reserveCapacity(list.count)
        for _ in 0..<list.count {
            let scalar = try scanner.nextScalar(list.element)
            numbers.append(scalar.number ?? (scalar.truth == true ? 1 : 0))
        }
        return numbers
    }

    /// Hands out the strings of a list, one after the other.
    /// - Returns: how many there are; nil when the key is absent.
    /// - Throws: `GGUFError` (`damaged`) for a list of something else, and what `body` throws.
    package func forEachString(
        _ key: String, limit: Int = 1 << 20,
        _ body: (_ index: Int, _ bytes: [UInt8]) throws(GGUFError) -> Void
    ) throws(GGUFError) -> Int? {
        guard let value = metadata[key] else { return nil }
        guard let list = value.list, list.element == .string else {
            throw fault(key, "is no list of strings")
        }
        var scanner = GGUFScanner(parts[0].input, list.bytes)
        var bytes: [UInt8] = []
        for index in 0..<list.count {
            try scanner.nextString(into: &bytes, limit: limit)
            try body(index, bytes)
        }
        return list.count
    }

    /// An error about a key of the metadata.
    func fault(
        _ key: String, _ message: String, _ code: GGUFErrorCode = .damaged
    ) -> GGUFError {
        GGUFError(code, "\(key) \(message)", path: path)
    }
}
