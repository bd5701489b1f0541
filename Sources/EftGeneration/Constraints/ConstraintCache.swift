// SPDX-License-Identifier: Apache-2.0
// Compiled constraints, kept for requests that state the same again.

import Synchronization

/// Compiled constraints of one vocabulary, the ones used last, within a number of bytes; for any number of threads.
package final class ConstraintCache: Sendable {
    fileprivate struct Entry {
        let constraint: CompiledConstraint
        var lastUse: Int

        /// Bytes that the entry takes now; constraints learn while they are used.
        func byteCount(_ key: String) -> Int { constraint.byteCount + 2 * key.utf8.count + 64 }
    }

    fileprivate struct Table {
        var entries: [String: Entry] = [:]
        var clock = 0
    }

    private enum Tokens {
        case known(ConstraintVocabulary)
        case notYet(@Sendable () throws(ConstraintError) -> ConstraintVocabulary)
    }

    private let tokens: Mutex<Tokens>
    private let limits: ConstraintLimits
    private let maximumBytes: Int
    private let table = Mutex(Table())

    /// Makes an empty cache.
    /// - Parameter maximumBytes: what the constraints kept may take, with all that they remember.
    package init(
        _ vocabulary: ConstraintVocabulary, limits: ConstraintLimits = ConstraintLimits(),
        maximumBytes: Int = 512 << 20
    ) {
        tokens = Mutex(.known(vocabulary))
        self.limits = limits
        self.maximumBytes = maximumBytes
    }

    /// Makes an empty cache whose vocabulary is made when it is first asked for, which takes some time for a large one.
    /// - Parameter maximumBytes: what the constraints kept may take, with all that they remember.
    package init(
        limits: ConstraintLimits = ConstraintLimits(), maximumBytes: Int = 512 << 20,
        vocabulary: @escaping @Sendable () throws(ConstraintError) -> ConstraintVocabulary
    ) {
        tokens = Mutex(.notYet(vocabulary))
        self.limits = limits
        self.maximumBytes = maximumBytes
    }

    /// The tokens that constraints are compiled for.
    /// - Throws: `ConstraintError` when they cannot be made out.
    package var vocabulary: ConstraintVocabulary {
        get throws(ConstraintError) {
            try tokens.withLock { tokens throws(ConstraintError) in
                switch tokens {
                case .known(let vocabulary): return vocabulary
                case .notYet(let make):
                    let vocabulary = try make()
                    tokens = .known(vocabulary)
                    return vocabulary
                }
            }
        }
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
            specification, vocabulary: try vocabulary, options: options, limits: limits)
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
        entries[key] = ConstraintCache.Entry(constraint: constraint, lastUse: clock)
        var sizes = entries.map {
            (key: $0.key, use: $0.value.lastUse, bytes: $0.value.byteCount($0.key))
        }
        sizes.sort { $0.use > $1.use }
        var total = 0
        for size in sizes {
            total += size.bytes
            if total > maximumBytes { entries[size.key] = nil }
        }
    }
}
