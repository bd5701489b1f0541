// SPDX-License-Identifier: Apache-2.0
// What memory is used for: the rows of every plan and of every ledger.

/// What a piece of memory is used for.
package enum MemoryPurpose: String, Sendable, CaseIterable, Hashable {
    case weights
    case adapters
    case gradients
    case optimizer
    case activations
    case kvCache = "KV cache"
    case workspace
    case window = "I/O window"
    /// The program itself: code, tokenizer, thread stacks, small objects. Planned as a constant, never allocated.
    case program
}

/// Bytes for each purpose.
package struct MemoryTable: Sendable, Hashable {
    private var bytes: [MemoryPurpose: Int] = [:]

    /// Makes an empty table.
    package init() {}

    /// Makes a table from pairs.
    package init(_ pairs: KeyValuePairs<MemoryPurpose, Int>) {
        for (purpose, value) in pairs { self[purpose] += value }
    }

    /// Bytes held for a purpose.
    package subscript(purpose: MemoryPurpose) -> Int {
        get { bytes[purpose] ?? 0 }
        set { bytes[purpose] = newValue }
    }

    /// The sum over all purposes.
    package var total: Int { bytes.values.reduce(0, +) }

    /// Entry-wise sum.
    package static func + (a: MemoryTable, b: MemoryTable) -> MemoryTable {
        var sum = a
        for purpose in MemoryPurpose.allCases { sum[purpose] += b[purpose] }
        return sum
    }
}
