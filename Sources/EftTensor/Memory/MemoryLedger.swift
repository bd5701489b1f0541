// SPDX-License-Identifier: Apache-2.0
// The account of one device's memory: every large allocation is entered here, against a hard limit.
import Synchronization

/// The memory account of one device; safe to use from any thread.
///
/// Every large allocation is entered with its purpose before it is made. An entry that would pass the limit throws an
/// error which carries the whole table, so that nothing dies of memory half-way.
package final class MemoryLedger: Sendable {
    private struct State {
        var current = MemoryTable()
        var peak = MemoryTable()
        var peakTotal = 0
        var total = 0
    }

    /// Hard limit in bytes; `Int.max` when there is none.
    package let limit: Int
    /// What the device is called in messages.
    package let name: String
    private let state = Mutex(State())

    /// Makes an empty ledger; `limit` in bytes.
    package init(limit: Int = .max, name: String = "memory") {
        self.limit = limit
        self.name = name
    }

    /// Enters `bytes` for a purpose.
    /// - Throws: `TensorError` (`outOfBudget`) with the table when the limit would be passed.
    package func reserve(_ bytes: Int, for purpose: MemoryPurpose) throws(TensorError) {
        let refused: MemoryTable? = state.withLock { state in
            let (total, overflow) = state.total.addingReportingOverflow(bytes)
            guard !overflow, total <= limit else { return state.current }
            state.total = total
            state.current[purpose] += bytes
            if total > state.peakTotal {
                state.peakTotal = total
                state.peak = state.current
            }
            return nil
        }
        if let refused {
            throw TensorError(
                .outOfBudget,
                """
                \(formatBytes(bytes)) for \(purpose.rawValue) do not fit the budget of \(formatBytes(limit)) \
                on \(name):
                \(refused.rendered)
                raise --memory, or lower what the largest row holds
                """)
        }
    }

    /// Takes back an entry.
    package func release(_ bytes: Int, for purpose: MemoryPurpose) {
        state.withLock { state in
            state.total -= bytes
            state.current[purpose] -= bytes
        }
    }

    /// What is held now.
    package var current: MemoryTable { state.withLock { $0.current } }
    /// What was held when the total stood highest.
    package var peak: MemoryTable { state.withLock { $0.peak } }
    /// The highest total so far, in bytes.
    package var peakTotal: Int { state.withLock { $0.peakTotal } }

    /// Forgets the peak, so that the next stage is measured by itself.
    package func resetPeak() {
        state.withLock { state in
            state.peak = state.current
            state.peakTotal = state.total
        }
    }
}

extension MemoryTable {
    /// One line a purpose, then the total.
    package var rendered: String {
        var lines = MemoryPurpose.allCases.filter { self[$0] != 0 }.map { purpose in
            "  \(purpose.rawValue): \(formatBytes(self[purpose]))"
        }
        lines.append("  total: \(formatBytes(total))")
        return lines.joined(separator: "\n")
    }
}

/// Bytes for people: three significant digits and a binary unit.
package func formatBytes(_ bytes: Int) -> String {
    if bytes == .max { return "no limit" }
    let units = ["B", "KiB", "MiB", "GiB", "TiB"]
    var value = Double(bytes)
    var unit = 0
    while abs(value) >= 1024, unit < units.count - 1 {
        value /= 1024
        unit += 1
    }
    if unit == 0 { return "\(bytes) B" }
    let decimals = abs(value) < 10 ? 100.0 : abs(value) < 100 ? 10.0 : 1.0
    let rounded = (value * decimals).rounded() / decimals
    let whole = rounded == rounded.rounded() && decimals == 1
    return (whole ? "\(Int(rounded))" : "\(rounded)") + " " + units[unit]
}
