// SPDX-License-Identifier: Apache-2.0
// What reading weights during the work came to.

/// What streaming came to.
package struct StreamStatistics: Sendable, Hashable {
    /// Bytes read.
    package var bytes = 0
    /// Seconds in which a reader was reading.
    package var readSeconds = 0.0
    /// Seconds that the computation waited for a layer or an expert.
    package var waitSeconds = 0.0
    /// Experts that passes used, of those that are streamed alone.
    package var expertsUsed = 0
    /// Those that were read.
    package var expertsRead = 0

    /// Nothing was read.
    package init() {}

    /// Bytes per second while reading; 0 when nothing was read.
    package var rate: Double { readSeconds > 0 ? Double(bytes) / readSeconds : 0 }

    /// The share of the reading that went on while others computed.
    package var overlap: Double {
        readSeconds > 0 ? max(0, min(1, 1 - waitSeconds / readSeconds)) : 0
    }

    /// What both came to.
    package static func + (a: StreamStatistics, b: StreamStatistics) -> StreamStatistics {
        var sum = a
        sum.bytes += b.bytes
        sum.readSeconds += b.readSeconds
        sum.waitSeconds += b.waitSeconds
        sum.expertsUsed += b.expertsUsed
        sum.expertsRead += b.expertsRead
        return sum
    }

    /// What came after an earlier state.
    package static func - (a: StreamStatistics, b: StreamStatistics) -> StreamStatistics {
        var rest = a
        rest.bytes -= b.bytes
        rest.readSeconds -= b.readSeconds
        rest.waitSeconds -= b.waitSeconds
        rest.expertsUsed -= b.expertsUsed
        rest.expertsRead -= b.expertsRead
        return rest
    }
}
