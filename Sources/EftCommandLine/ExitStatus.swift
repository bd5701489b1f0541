// SPDX-License-Identifier: Apache-2.0
// What the program's exit status says.

/// Exit statuses of the program.
package enum ExitStatus: Int32, Sendable, Hashable, CaseIterable {
    case done = 0
    case failed = 1
    /// The command line or the configuration is wrong.
    case usage = 2
    /// The work does not fit the memory budget.
    case doesNotFit = 3
    /// A file is damaged, or of a kind that is not supported.
    case damagedFile = 4
    /// Stopped by a signal, after saving what can be resumed.
    case interrupted = 130

    /// What it says, for the manual.
    package var explanation: String {
        switch self {
        case .done: "The work is done."
        case .failed: "The work failed."
        case .usage: "The command line or a configuration is wrong."
        case .doesNotFit: "The work does not fit the memory budget; nothing was done."
        case .damagedFile: "A file is missing, damaged, or of a kind that is not supported."
        case .interrupted: "A signal stopped the work, after what can be resumed was saved."
        }
    }
}
