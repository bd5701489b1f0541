// SPDX-License-Identifier: Apache-2.0
// The bound on a row of a file in columns.

/// What a row may still take.
struct RowBudget {
    private var values = ParquetLimits.values
    private var bytes = ParquetLimits.textBytes

    /// Bytes of texts that were taken.
    var takenBytes: Int { ParquetLimits.textBytes - bytes }

    /// - Throws: `FormatError` (`damaged`) when a row is larger than any real one.
    mutating func take(
        values count: Int, bytes length: Int, _ error: (String) -> FormatError
    ) throws(FormatError) {
        values -= count
        bytes -= length
        guard values >= 0, bytes >= 0 else {
            throw error(
                "a row of more than \(ParquetLimits.values) values or "
                    + "\(ParquetLimits.textBytes >> 20) MiB of text")
        }
    }
}
