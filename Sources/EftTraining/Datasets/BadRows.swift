// SPDX-License-Identifier: Apache-2.0
// Rows that cannot be used: counted by reason, and named.
import EftConfig

/// The rows of a data set that cannot be used.
struct BadRows {
    /// Why a row cannot be used.
    private enum Reason: String, CaseIterable {
        case missing = "with a missing field"
        case wrongKind = "with a value of another kind"
        case refused = "with a value that cannot be used"

        init(_ code: ConfigErrorCode) {
            switch code {
            case .missingKey: self = .missing
            case .wrongType: self = .wrongKind
            default: self = .refused
            }
        }
    }

    private var errors: [(row: Int, error: ConfigError)] = []

    /// Rows of a reason that are named in one line.
    private static let mostNamed = 3

    /// The number of rows.
    var count: Int { errors.count }

    /// Notes a row.
    mutating func add(_ row: Int, _ error: ConfigError) { errors.append((row, error)) }

    /// Forgets all other rows.
    mutating func keep(_ rows: Set<Int>) { errors.removeAll { !rows.contains($0.row) } }

    /// One line for each reason, with the first rows; what is wrong is said of the first one.
    var notices: [String] {
        Reason.allCases.compactMap { reason in
            let found = errors.filter { Reason($0.error.code) == reason }
            guard let first = found.first else { return nil }
            let places = found.dropFirst().prefix(Self.mostNamed - 1).map {
                RowPlace(file: $0.error.file, line: $0.error.line).description
            }
            let others = places.isEmpty ? "" : "; also " + places.joined(separator: ", ")
            let more =
                found.count > Self.mostNamed ? " and \(found.count - Self.mostNamed) more" : ""
            return "\(found.count) left out \(reason.rawValue): \(first.error)\(others)\(more)"
        }
    }

    /// Refuses a data set of which too many rows cannot be used.
    /// - Parameters:
    ///   - rows: the rows of the data set.
    ///   - share: the greatest share of rows that may be left out.
    /// - Throws: `ConfigError` at the first row.
    func check(rows: Int, share: Double) throws(ConfigError) {
        guard let first = errors.first?.error, Double(count) > share * Double(rows) else { return }
        guard rows > 1 else { throw first }
        var reasons: [String] = []
        for reason in Reason.allCases {
            let count = errors.count { Reason($0.error.code) == reason }
            if count > 0 { reasons.append("\(count) \(reason.rawValue)") }
        }
        throw ConfigError(
            first.code,
            "\(first.message) (the first of \(count) among \(rows) rows that cannot be used: "
                + reasons.joined(separator: ", ")
                + "; max_bad_row_share says how large a share may be left out)", file: first.file,
            keyPath: first.keyPath, line: first.line)
    }
}

/// Where a row stands.
struct RowPlace: CustomStringConvertible {
    let file: String?
    let line: Int?

    var description: String { located("", path: file, line: line) }

    /// The order of files and lines.
    static func isBefore(_ a: RowPlace, _ b: RowPlace) -> Bool {
        (a.file ?? "", a.line ?? 0) < (b.file ?? "", b.line ?? 0)
    }
}
