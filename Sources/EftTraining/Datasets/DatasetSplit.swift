// SPDX-License-Identifier: Apache-2.0
// Which part of a data set is meant: `train`, `train[:10%]`, `train[100:200]`.
import EftConfig

/// A split's name and a slice of its rows.
package struct DatasetSplit: Sendable, Hashable {
    /// The split, such as `train`.
    package let name: String
    private let lower: Bound?
    private let upper: Bound?

    private enum Bound: Sendable, Hashable {
        case rows(Int)
        case percent(Int)

        /// The row that the bound stands for among `count`; negative ones count from the end.
        func row(of count: Int) -> Int {
            var row: Int
            switch self {
            case .rows(let value): row = value
            case .percent(let value):
                row = Int((Double(value) * Double(count) / 100).rounded())
            }
            if row < 0 { row += count }
            return min(max(row, 0), count)
        }
    }

    /// Reads the key `split` of an entry of `datasets`; `train` when it is absent.
    init(_ entry: ConfigCursor) throws(ConfigError) {
        guard let cursor = try entry.optional("split") else {
            (name, lower, upper) = ("train", nil, nil)
            return
        }
        let text = try cursor.string()
        let fault = cursor.error(
            .badValue,
            "'\(excerpt(text))' is no split; write for instance train, train[:10%] or train[100:200]"
        )
        let parts = text.split(separator: "[", omittingEmptySubsequences: false)
        guard let name = parts.first, !name.isEmpty, parts.count <= 2 else { throw fault }
        self.name = String(name)
        guard parts.count == 2 else {
            (lower, upper) = (nil, nil)
            return
        }
        guard parts[1].hasSuffix("]") else { throw fault }
        let bounds = parts[1].dropLast().split(separator: ":", omittingEmptySubsequences: false)
        guard bounds.count == 2, let lower = Self.bound(bounds[0]),
            let upper = Self.bound(bounds[1])
        else { throw fault }
        (self.lower, self.upper) = (lower, upper)
    }

    /// A bound; a nil inside for an open one, a nil outside for nonsense.
    private static func bound(_ text: Substring) -> Bound?? {
        if text.isEmpty { return .some(nil) }
        let isPercent = text.hasSuffix("%")
        let most = isPercent ? 100 : 1 << 50
        guard let value = Int(isPercent ? text.dropLast() : text), (-most...most).contains(value)
        else { return nil }
        return .some(isPercent ? .percent(value) : .rows(value))
    }

    /// Whether the slice ends at a share that lies behind its beginning.
    private var takesShare: Bool {
        guard case .percent(let end)? = upper, end > 0 else { return false }
        switch lower {
        case nil: return true
        case .percent(let start)?: return start >= 0 && start < end
        case .rows?: return false
        }
    }

    /// The rows that are meant among `count`.
    package func rows(of count: Int) -> Range<Int> {
        let first = lower?.row(of: count) ?? 0
        let end = max(first, upper?.row(of: count) ?? count)
        // A share that is not empty takes the next row at least, however few there are.
        if end == first, first < count, takesShare { return first..<first + 1 }
        return first..<end
    }
}
