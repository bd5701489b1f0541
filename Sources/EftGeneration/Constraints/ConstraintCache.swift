// SPDX-License-Identifier: Apache-2.0
// Compiled constraints, kept for requests that state the same again.

import Synchronization

/// Compiled constraints of one vocabulary, the ones used last, within a number of bytes; for any number of threads.
package final class ConstraintCache: Sendable {
    fileprivate struct Entry {
        let constraint: CompiledConstraint
        let byteCount: Int
        var lastUse: Int
    }

    fileprivate struct Table {
        var entries: [String: Entry] = [:]
        var byteCount = 0
        var clock = 0
    }

    /// The tokens that constraints are compiled for.
    package let vocabulary: ConstraintVocabulary
    private let limits: ConstraintLimits
    private let maximumBytes: Int
    private let table = Mutex(Table())

    /// Makes an empty cache.
    /// - Parameter maximumBytes: what the constraints kept may take, with all that they remember.
    package init(
        _ vocabulary: ConstraintVocabulary, limits: ConstraintLimits = ConstraintLimits(),
        maximumBytes: Int = 512 << 20
    ) {
        self.vocabulary = vocabulary
        self.limits = limits
        self.maximumBytes = maximumBytes
    }

    /// Number of constraints kept.
    package var count: Int { table.withLock { $0.entries.count } }

    /// The constraint, compiled now if it is not kept; compiling does not hold up other threads.
    /// - Throws: `ConstraintError`.
    package func constraint(
        _ specification: ConstraintSpecification, options: ConstraintOptions = ConstraintOptions()
    ) throws(ConstraintError) -> CompiledConstraint {
        let key = specification.key(options)
        if let known = table.withLock({ $0.take(key) }) { return known }
        let constraint = try CompiledConstraint(
            specification, vocabulary: vocabulary, options: options, limits: limits)
        return table.withLock { table in
            // Another thread may have been faster.
            if let known = table.take(key) { return known }
            table.keep(constraint, key: key, maximumBytes: maximumBytes)
            return constraint
        }
    }
}

extension ConstraintCache.Table {
    fileprivate mutating func take(_ key: String) -> CompiledConstraint? {
        clock += 1
        entries[key]?.lastUse = clock
        return entries[key]?.constraint
    }

    fileprivate mutating func keep(
        _ constraint: CompiledConstraint, key: String, maximumBytes: Int
    ) {
        let bytes = constraint.byteCount + 2 * key.utf8.count
        guard bytes <= maximumBytes else { return }
        while byteCount + bytes > maximumBytes,
            let oldest = entries.min(by: { $0.value.lastUse < $1.value.lastUse })
        {
            byteCount -= oldest.value.byteCount
            entries[oldest.key] = nil
        }
        entries[key] = ConstraintCache.Entry(
            constraint: constraint, byteCount: bytes, lastUse: clock)
        byteCount += bytes
    }
}
