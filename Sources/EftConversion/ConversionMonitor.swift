// SPDX-License-Identifier: Apache-2.0
// How a caller watches a conversion, and stops it.

/// What is told while a conversion runs, and asked whether to go on.
package struct ConversionMonitor {
    /// How far the work is.
    package struct Progress: Sendable, Hashable {
        /// What is worked on: a tensor, a module, or a step such as "calibration".
        package let item: String
        /// Units done, and all units: bytes of output when converting and merging, weights when quantizing.
        package let done: Int
        package let total: Int
    }

    private let report: (Progress) throws -> Void
    /// Called between pieces of work; what it throws ends the conversion, with nothing half-made taken for whole.
    package let checkInterrupt: () throws -> Void
    /// Told in a sentence what becomes of the work of an earlier run.
    let note: (String) -> Void

    /// Makes a monitor; without arguments nobody watches. What `report` throws ends the conversion too.
    package init(
        checkInterrupt: @escaping () throws -> Void = {},
        note: @escaping (String) -> Void = { _ in },
        report: @escaping (Progress) throws -> Void = { _ in }
    ) {
        self.report = report
        self.note = note
        self.checkInterrupt = checkInterrupt
    }

    /// Tells how far the work is, and asks whether to go on.
    func step(_ item: String, done: Int, total: Int) throws {
        try report(Progress(item: item, done: done, total: total))
        try checkInterrupt()
    }
}
