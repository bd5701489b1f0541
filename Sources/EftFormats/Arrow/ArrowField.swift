// SPDX-License-Identifier: Apache-2.0
// The columns of an Arrow file, as its schema describes them.
import EftConfig

/// A column, or a place inside of one.
struct ArrowField {
    /// How values are stored.
    indirect enum Kind {
        /// Nulls alone, which take no bytes.
        case nothing
        case bool
        case integer(bytes: Int, isSigned: Bool)
        case real(bytes: Int)
        /// Texts and other bytes; `isWide` says that their ends are numbers of 64 bits.
        case bytes(isWide: Bool, isText: Bool)
        case list(ArrowField, isWide: Bool)
        case fixedList(ArrowField, count: Int)
        case structure([ArrowField])
        /// Values in one buffer that are left out.
        case leftOut
    }

    /// How a column names values that stand in a dictionary.
    struct Places {
        let id: Int64
        let bytes: Int
        let isSigned: Bool
    }

    let name: String
    let kind: Kind
    /// Set when values are named by their places in a dictionary.
    let places: Places?

    /// Whether it has parts.
    var isNested: Bool {
        switch kind {
        case .list, .fixedList, .structure: true
        default: false
        }
    }
}

/// The columns of a file and its dictionaries
/// (https://github.com/apache/arrow/blob/main/format/Schema.fbs).
struct ArrowSchema {
    /// The columns.
    private(set) var fields: [ArrowField] = []
    /// What stands in each dictionary: the field that refers to it.
    private(set) var dictionaries: [Int64: ArrowField] = [:]

    /// Columns inside each other.
    private static let deepest = 32
    private let path: String
    /// Columns, and bytes of their names, that may still come: a description of few bytes can repeat itself.
    private var columnsLeft = 1 << 16
    private var nameBytesLeft = 16 << 20

    /// Reads a schema.
    /// - Throws: `FormatError` (`damaged`, `unsupported`).
    init(_ table: FlatTable, path: String) throws(FormatError) {
        self.path = path
        guard try table.integer(0, default: Int16(0)) == 0 else {
            throw FormatError(.unsupported, "numbers in big-endian order are not read", path: path)
        }
        fields = try children(table, 1, depth: 0)
    }

    private mutating func children(
        _ table: FlatTable, _ field: Int, depth: Int
    ) throws(FormatError) -> [ArrowField] {
        let elements = try table.elements(field, size: 4)
        columnsLeft -= elements.count
        guard depth < Self.deepest, columnsLeft >= 0 else {
            throw table.damaged("columns are too many, or nested too deeply")
        }
        var fields: [ArrowField] = []
        for index in 0..<elements.count {
            fields.append(try self.field(table.table(elements, index), depth: depth))
        }
        return fields
    }

    private mutating func field(_ table: FlatTable, depth: Int) throws(FormatError) -> ArrowField {
        let name = try table.text(0)
        nameBytesLeft -= name.utf8.count
        guard nameBytesLeft >= 0 else { throw table.damaged("the names of columns are too long") }
        let children = try children(table, 5, depth: depth + 1)
        let kind = try kind(table, name, children)
        guard let encoding = try table.table(4) else {
            return ArrowField(name: name, kind: kind, places: nil)
        }
        var places = (bytes: 4, isSigned: true)
        if let type = try encoding.table(1) { places = try Self.width(type) }
        let field = ArrowField(
            name: name, kind: kind,
            places: ArrowField.Places(
                id: try encoding.integer(0, default: 0), bytes: places.bytes,
                isSigned: places.isSigned))
        try addDictionary(field, table)
        return field
    }

    /// Notes a dictionary. One that several columns share may not have parts, so that none can be inside of itself.
    private mutating func addDictionary(
        _ field: ArrowField, _ table: FlatTable
    ) throws(FormatError) {
        guard let id = field.places?.id else { return }
        let content = ArrowField(name: field.name, kind: field.kind, places: nil)
        if let other = dictionaries[id], other.isNested || content.isNested {
            throw FormatError(
                .unsupported, "columns that share a dictionary of lists or structures are not read",
                path: path)
        }
        dictionaries[id] = dictionaries[id] ?? content
    }

    private static func width(
        _ type: FlatTable
    ) throws(FormatError) -> (bytes: Int, isSigned: Bool) {
        let bits = try type.integer(0, default: Int32(0))
        guard [8, 16, 32, 64].contains(bits) else {
            throw type.damaged("integers of \(bits) bits")
        }
        return (Int(bits) / 8, try type.bool(1))
    }

    private func kind(
        _ table: FlatTable, _ name: String, _ children: [ArrowField]
    ) throws(FormatError) -> ArrowField.Kind {
        let number = try table.integer(2, default: UInt8(0))
        guard let type = try table.table(3) else {
            throw table.damaged("column '\(excerpt(name))' has no type")
        }
        switch number {
        case 1: return .nothing
        case 2:
            let width = try Self.width(type)
            return .integer(bytes: width.bytes, isSigned: width.isSigned)
        case 3:
            let precision = try type.integer(0, default: Int16(0))
            guard (0...2).contains(precision) else {
                throw type.damaged("numbers of no known width")
            }
            return .real(bytes: 2 << Int(precision))
        case 4, 5, 19, 20: return .bytes(isWide: number > 18, isText: number == 5 || number == 20)
        case 6: return .bool
        case 7, 11, 15: return .leftOut  // decimal numbers, spans, bytes of fixed length
        // Days count in 32 bits, milliseconds in 64.
        case 8:
            let isDays = try type.integer(0, default: Int16(1)) == 0
            return .integer(bytes: isDays ? 4 : 8, isSigned: true)
        case 9:
            let bits = try type.integer(1, default: Int32(32))
            guard bits == 32 || bits == 64 else { throw type.damaged("times of \(bits) bits") }
            return .integer(bytes: Int(bits) / 8, isSigned: true)
        case 10, 18: return .integer(bytes: 8, isSigned: true)
        case 12, 16, 17, 21: return try list(number, type, name, children)
        case 13: return .structure(children)
        default:
            let names = [
                14: "a union", 22: "runs of equal values", 23: "views of bytes",
                24: "views of texts", 25: "views of lists", 26: "views of lists",
            ]
            throw FormatError(
                .unsupported,
                "column '\(excerpt(name))' is of a kind that is not read "
                    + "(\(names[Int(number)] ?? "type \(number)")); write it as texts, lists or structures",
                path: path)
        }
    }

    private func list(
        _ number: UInt8, _ type: FlatTable, _ name: String, _ children: [ArrowField]
    ) throws(FormatError) -> ArrowField.Kind {
        guard let element = children.first, children.count == 1 else {
            throw type.damaged(
                "column '\(excerpt(name))' is a list of \(children.count) kinds of element")
        }
        if number == 16 {
            let count = try type.integer(0, default: Int32(0))
            guard count >= 0 else { throw type.damaged("lists of \(count) elements") }
            return .fixedList(element, count: Int(count))
        }
        guard number == 17, case .structure(let parts) = element.kind, parts.count == 2 else {
            guard number != 17 else {
                throw type.damaged("column '\(excerpt(name))' maps nothing to nothing")
            }
            return .list(element, isWide: number == 21)
        }
        // Writers call the parts of a map as they like; rows have the names that Parquet prescribes.
        let named = zip(["key", "value"], parts).map {
            ArrowField(name: $0, kind: $1.kind, places: $1.places)
        }
        return .list(
            ArrowField(name: element.name, kind: .structure(named), places: element.places),
            isWide: false)
    }
}
