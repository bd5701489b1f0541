// SPDX-License-Identifier: Apache-2.0
// The tree of a Parquet file's columns, as rows have them.

/// A place in a row: a value, a list or a structure.
///
/// A value in a column comes with two levels. The definition level says how many of the optional and repeated places
/// above it, and itself, are there; the repetition level says which list it goes on with, 0 for a new row
/// (https://parquet.apache.org/docs/file-format/nestedencoding).
struct ParquetField {
    /// What stands in the place.
    indirect enum Shape {
        /// A value of a column.
        case value(Int)
        case structure([ParquetField])
        /// A list, which has elements from `definition` on, each but the first with the level `repetition`.
        case list(ParquetField, definition: Int, repetition: Int)
    }

    /// The key in the structure above.
    let name: String
    /// The definition level from which on it is not null.
    let definition: Int
    let shape: Shape

    /// The first column below; of all columns below, each has as many entries for a place that is null or empty.
    var firstColumn: Int {
        switch shape {
        case .value(let column): column
        case .structure(let fields): fields.first?.firstColumn ?? 0
        case .list(let element, _, _): element.firstColumn
        }
    }

    /// Calls `body` with each column below.
    func forEachColumn<E: Error>(_ body: (Int) throws(E) -> Void) throws(E) {
        switch shape {
        case .value(let column): try body(column)
        case .structure(let fields):
            for field in fields { try field.forEachColumn(body) }
        case .list(let element, _, _): try element.forEachColumn(body)
        }
    }
}

/// A column that is read.
struct ParquetColumn {
    /// Its place among all columns of a row group.
    let place: Int
    /// Names from the root on, for messages.
    let path: String
    let storage: ParquetSchemaElement.Storage
    let meaning: ParquetSchemaElement.Meaning
    /// The highest levels.
    let definition: Int
    let repetition: Int
}

/// The tree and its columns.
struct ParquetSchema {
    /// The keys of a row.
    private(set) var fields: [ParquetField] = []
    /// The columns that are read. 96-bit times, decimal numbers and bytes of fixed length are left out.
    private(set) var columns: [ParquetColumn] = []
    /// All columns of a row group, those that are left out included.
    private(set) var columnCount = 0

    /// Structures and lists inside each other.
    private static let deepest = 32

    private let elements: [ParquetSchemaElement]
    private let path: String
    private var next = 1

    /// Builds the tree from its elements, parents before children.
    /// - Throws: `FormatError` (`damaged`) when they make no tree.
    init(_ elements: [ParquetSchemaElement], path: String) throws(FormatError) {
        self.elements = elements
        self.path = path
        guard let root = elements.first else { throw damaged("no columns are described") }
        fields = try children(root.childCount, Place())
        guard next == elements.count else { throw damaged("columns are described twice") }
    }

    /// What has been passed on the way from the root.
    private struct Place {
        var names: [String] = []
        var definition = 0
        var repetition = 0
    }

    private func damaged(_ message: String) -> FormatError {
        FormatError(.damaged, message, path: path)
    }

    private mutating func children(
        _ count: Int, _ place: Place
    ) throws(FormatError) -> [ParquetField] {
        guard place.names.count < Self.deepest else {
            throw damaged("columns are nested too deeply")
        }
        var fields: [ParquetField] = []
        for _ in 0..<min(count, elements.count) {
            guard next < elements.count else {
                throw damaged("the description of columns is cut off")
            }
            let element = elements[next]
            next += 1
            if let field = try field(element, place) { fields.append(field) }
        }
        guard count <= elements.count else {
            throw damaged("the description of columns is cut off")
        }
        return fields
    }

    /// One element with all below it; nil when nothing below is read.
    private mutating func field(
        _ element: ParquetSchemaElement, _ outer: Place
    ) throws(FormatError) -> ParquetField? {
        var place = outer
        place.names.append(element.name)
        if element.repetition != .required { place.definition += 1 }
        guard element.repetition == .repeated else { return try single(element, place) }
        // A repeated value that is not marked as a list is one, of values that are there.
        place.repetition += 1
        guard let inner = try single(element, place) else { return nil }
        return ParquetField(
            name: element.name, definition: outer.definition,
            shape: .list(inner, definition: place.definition, repetition: place.repetition))
    }

    /// An element, its repetition aside.
    private mutating func single(
        _ element: ParquetSchemaElement, _ place: Place
    ) throws(FormatError) -> ParquetField? {
        guard element.childCount > 0 else { return try leaf(element, place) }
        let fields = try children(element.childCount, place)
        if fields.isEmpty { return nil }
        var shape = ParquetField.Shape.structure(fields)
        if element.childCount == 1, case .list = fields[0].shape {
            if element.meaning == .list { shape = list(fields[0], in: element) }
            if element.meaning == .map { shape = fields[0].shape }
        }
        return ParquetField(name: element.name, definition: place.definition, shape: shape)
    }

    /// The list in a group that is marked as one: `group (LIST) { repeated group list { element } }`.
    ///
    /// Older writers left out the group in the middle; then what repeats is the element itself.
    private func list(
        _ repeated: ParquetField, in group: ParquetSchemaElement
    ) -> ParquetField.Shape {
        guard case .list(let inner, let definition, let repetition) = repeated.shape,
            case .structure(let fields) = inner.shape, fields.count == 1,
            repeated.name != "array", repeated.name != group.name + "_tuple"
        else { return repeated.shape }
        return .list(fields[0], definition: definition, repetition: repetition)
    }

    private mutating func leaf(
        _ element: ParquetSchemaElement, _ place: Place
    ) throws(FormatError) -> ParquetField? {
        let name = place.names.joined(separator: ".")
        guard let storage = element.storage else { throw damaged("'\(name)' has no known type") }
        defer { columnCount += 1 }
        if storage == .int96 || storage == .fixedBytes || element.meaning == .decimal { return nil }
        columns.append(
            ParquetColumn(
                place: columnCount, path: name, storage: storage, meaning: element.meaning,
                definition: place.definition, repetition: place.repetition))
        return ParquetField(
            name: element.name, definition: place.definition, shape: .value(columns.count - 1))
    }
}
