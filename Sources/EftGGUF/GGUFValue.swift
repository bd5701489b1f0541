// SPDX-License-Identifier: Apache-2.0
// Values of a GGUF file's metadata.

/// The type of a value in the metadata, by its number in the file.
package enum GGUFValueType: UInt32, Sendable, Hashable {
    case u8 = 0
    case i8 = 1
    case u16 = 2
    case i16 = 3
    case u32 = 4
    case i32 = 5
    case f32 = 6
    case bool = 7
    case string = 8
    case array = 9
    case u64 = 10
    case i64 = 11
    case f64 = 12

    /// Bytes of a value; nil for strings and arrays, which have any.
    package var width: Int? {
        switch self {
        case .u8, .i8, .bool: 1
        case .u16, .i16: 2
        case .u32, .i32, .f32: 4
        case .u64, .i64, .f64: 8
        case .string, .array: nil
        }
    }
}

/// A value of the metadata.
package enum GGUFValue: Sendable, Hashable {
    case integer(Int)
    /// A real number; one that the file has in f32 is the shortest decimal number that stands for it.
    case real(Double)
    case bool(Bool)
    case text(String)
    case list(GGUFList)
}

/// A list of the metadata, which stays in the file.
package struct GGUFList: Sendable, Hashable {
    /// The type of its elements.
    package let element: GGUFValueType
    /// Number of elements.
    package let count: Int
    /// Where the elements lie in the file.
    let bytes: Range<Int>
}

extension GGUFScanner {
    /// Longest string that a value may be; chat templates are the longest.
    private static let textLimit = 16 << 20

    /// The next type of a value.
    /// - Throws: `GGUFError` (`damaged`) for a number that stands for none.
    mutating func nextType() throws(GGUFError) -> GGUFValueType {
        let number = try next(UInt32.self)
        guard let type = GGUFValueType(rawValue: number) else {
            throw error("\(number) is no type of a value")
        }
        return type
    }

    /// The next value, of a type; the elements of lists are checked for their extent and passed over.
    /// - Throws: `GGUFError`; `unsupported` for a list of lists.
    mutating func nextValue(_ type: GGUFValueType) throws(GGUFError) -> GGUFValue {
        switch type {
        case .string: return .text(try nextText(limit: Self.textLimit))
        case .array: return .list(try nextList())
        default: return try nextScalar(type)
        }
    }

    /// The next value of a type that is neither a string nor a list.
    mutating func nextScalar(_ type: GGUFValueType) throws(GGUFError) -> GGUFValue {
        switch type {
        case .u8: return .integer(Int(try next(UInt8.self)))
        case .i8: return .integer(Int(try next(Int8.self)))
        case .u16: return .integer(Int(try next(UInt16.self)))
        case .i16: return .integer(Int(try next(Int16.self)))
        case .u32: return .integer(Int(try next(UInt32.self)))
        case .i32: return .integer(Int(try next(Int32.self)))
        case .i64: return .integer(Int(try next(Int64.self)))
        case .u64:
            let value = try next(UInt64.self)
            return Int(exactly: value).map(GGUFValue.integer) ?? .real(Double(value))
        case .f32: return .real(Self.decimal(Float(bitPattern: try next(UInt32.self))))
        case .f64: return .real(Double(bitPattern: try next(UInt64.self)))
        case .bool:
            let byte = try next(UInt8.self)
            guard byte <= 1 else { throw error("\(byte) is no truth value") }
            return .bool(byte == 1)
        case .string, .array: preconditionFailure("\(type) is no scalar")
        }
    }

    private mutating func nextList() throws(GGUFError) -> GGUFList {
        let type = try nextType()
        guard type != .array else {
            throw GGUFError(
                .unsupported, "holds a list of lists, which no model needs", path: input.path)
        }
        // A string takes at least the eight bytes of its length.
        let count = try nextCount("a list", width: type.width ?? 8)
        let start = position
        if let width = type.width {
            try skip(count, of: width)
        } else {
            for _ in 0..<count { try skipString() }
        }
        return GGUFList(element: type, count: count, bytes: start..<position)
    }

    /// 0.1 for the f32 number next to it.
    private static func decimal(_ value: Float) -> Double {
        value.isFinite ? Double(value.description) ?? Double(value) : Double(value)
    }
}
