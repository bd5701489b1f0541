// SPDX-License-Identifier: Apache-2.0
// Sizes of memory as people type them.

/// A number of bytes, as given to `--memory`.
///
/// `K M G T` and `KiB MiB GiB TiB` are powers of 1024, `KB MB GB TB` powers of 1000; a bare number
/// is bytes. Letter case does not count, decimals may stand before a unit, and the result is
/// rounded down to a whole byte.
package struct MemorySize: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The size in bytes; more than zero.
    package let bytes: Int

    /// Reads one size.
    /// - Returns: nil for what is none, is zero, or does not fit 63 bits.
    package static func parse(_ text: String) -> MemorySize? {
        let text = trimmingSpace(text)
        let digits = text.prefix { $0 == "." || ("0"..."9").contains($0) }
        let unit = trimmingSpace(text.dropFirst(digits.count)).lowercased()
        guard let scale = scale(unit) else { return nil }
        let parts = digits.split(separator: ".", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), let whole = parts.first, digits.count <= 40,
            !whole.isEmpty || (parts.count == 2 && !parts[1].isEmpty),
            parts.count == 1 || scale > 1
        else { return nil }
        guard let units = whole.isEmpty ? 0 : Int(whole) else { return nil }
        let (product, overflow) = units.multipliedReportingOverflow(by: scale)
        var rest = 0.0
        if parts.count == 2, !parts[1].isEmpty { rest = Double("0.\(parts[1])") ?? 0 }
        // Below 2^50, so the product with a fraction below one converts safely.
        let (sum, carry) = product.addingReportingOverflow(Int(rest * Double(scale)))
        guard !overflow, !carry, sum > 0 else { return nil }
        return MemorySize(bytes: sum)
    }

    /// Most devices that a count may stand for.
    private static let mostDevices = 4096

    /// Reads sizes between commas, one a device; `4x24GiB` stands for four of that size.
    /// - Returns: nil when one is none.
    package static func parseList(_ text: String) -> [MemorySize]? {
        var sizes: [MemorySize] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let factors = part.split(maxSplits: 1, omittingEmptySubsequences: false) {
                $0 == "x" || $0 == "X"
            }
            let count = factors.count == 2 ? Int(trimmingSpace(factors[0])) : 1
            guard let count, (1...mostDevices).contains(count), let last = factors.last,
                let size = parse(String(last)), sizes.count + count <= mostDevices
            else { return nil }
            sizes += Array(repeating: size, count: count)
        }
        return sizes
    }

    private init(bytes: Int) { self.bytes = bytes }

    private static func scale(_ unit: String) -> Int? {
        switch unit {
        case "", "b": 1
        case "k", "kib", "ki": 1 << 10
        case "m", "mib", "mi": 1 << 20
        case "g", "gib", "gi": 1 << 30
        case "t", "tib", "ti": 1 << 40
        case "kb": 1000
        case "mb": 1_000_000
        case "gb": 1_000_000_000
        case "tb": 1_000_000_000_000
        default: nil
        }
    }

    package static func < (a: MemorySize, b: MemorySize) -> Bool { a.bytes < b.bytes }

    /// The size in the largest unit that leaves a number of at least one, with at most two
    /// decimals.
    package var description: String {
        var value = Double(bytes)
        var unit = "bytes"
        for larger in ["KiB", "MiB", "GiB", "TiB"] where value >= 1024 {
            value /= 1024
            unit = larger
        }
        let isWhole = value == value.rounded()
        return "\(formatFixed(value, decimals: isWhole ? 0 : 2)) \(unit)"
    }
}
