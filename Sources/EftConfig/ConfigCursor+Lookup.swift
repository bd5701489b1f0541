// SPDX-License-Identifier: Apache-2.0
// Scalars and lists read by key in one call.

extension ConfigCursor {
    // MARK: Scalars by key, with defaults

    /// The truth value at `key`, or `fallback` when absent.
    package func bool(_ key: String, default fallback: Bool) throws(ConfigError) -> Bool {
        try optional(key)?.bool() ?? fallback
    }

    /// The integer at `key`, or `fallback` when absent.
    package func int(
        _ key: String, default fallback: Int, in range: ClosedRange<Int> = Int.min...Int.max
    ) throws(ConfigError) -> Int {
        try optional(key)?.int(in: range) ?? fallback
    }

    /// The number at `key`, or `fallback` when absent.
    package func double(_ key: String, default fallback: Double) throws(ConfigError) -> Double {
        try optional(key)?.double() ?? fallback
    }

    /// The string at `key`, or `fallback` when absent.
    package func string(_ key: String, default fallback: String) throws(ConfigError) -> String {
        try optional(key)?.string() ?? fallback
    }

    /// Whether a table has a key, be its value null.
    /// - Throws: `ConfigError` when it is no table.
    package func hasKey(_ key: String) throws(ConfigError) -> Bool {
        try object()[key] != nil
    }

    // MARK: Lists

    /// A list of strings.
    /// - Throws: `ConfigError` when it is something else.
    package func strings() throws(ConfigError) -> [String] {
        try map { (item) throws(ConfigError) in try item.string() }
    }

    /// A list of integers.
    /// - Throws: `ConfigError` when it is something else.
    package func ints() throws(ConfigError) -> [Int] {
        try map { (item) throws(ConfigError) in try item.int() }
    }

    /// A list of finite numbers.
    /// - Throws: `ConfigError` when it is something else.
    package func doubles() throws(ConfigError) -> [Double] {
        try map { (item) throws(ConfigError) in try item.double() }
    }

    private func map<T>(
        _ read: (ConfigCursor) throws(ConfigError) -> T
    ) throws(ConfigError) -> [T] {
        var results: [T] = []
        for item in try elements() { results.append(try read(item)) }
        return results
    }
}
