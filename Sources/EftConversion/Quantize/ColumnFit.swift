// SPDX-License-Identifier: Apache-2.0
// Scales of a group that each output has for itself, by what their rounding errors cost.
import CEftKernels
import EftFormats
import EftQuant
import EftTensor

/// Finds for each output the scale in half precision whose weighted squared rounding errors have the least sum.
package enum ColumnFit {
    private static let gridCount = 32

    /// Scales that are tried, as shares of the one that spreads the codes evenly over a column's range: from a clipping of
    /// its largest numbers to the one at which the largest positive number takes the last code.
    static func shares(bits: Int) -> [Float] {
        let (least, codes) = (bits < 8 ? Float(0.4) : 0.9, Float((1 << bits) - 1))
        let most = codes / 2 / Float((1 << (bits - 1)) - 1)
        return (0..<gridCount).map {
            least + (most - least) * Float($0) / Float(gridCount - 1)
        }
    }

    /// Bytes of the temporary numbers for a group, under `.workspace`.
    package static func byteCount(rows: Int, columns: Int, threads: Int) -> Int {
        columns * (4 + 4 + 2) + rows * 4 + eft_column_fit_workspace(threads, rows)
    }

    /// Searches.
    /// - Parameters:
    ///   - x: numbers `[rows][columns]`, all finite.
    ///   - rowWeights: what a squared error of each row counts.
    ///   - bits: width of a code.
    /// - Throws: `ConversionError` (`numbers`) when a scale is too large for a half; `TensorError`.
    package static func search(
        _ x: UnsafePointer<Float>, rows: Int, columns: Int, rowWeights: [Float], bits: Int,
        backend: CPUBackend
    ) throws -> GroupScales {
        precondition(rowWeights.count == rows, "a weight a row")
        let room = try LedgerEntry(
            byteCount(rows: rows, columns: columns, threads: backend.threads),
            ledger: backend.ledger, purpose: .workspace)
        defer { withExtendedLifetime(room) {} }
        let (codes, shares) = (Float((1 << bits) - 1), shares(bits: bits))
        let largest = ScaleSearch.largest(x, rows: rows, columns: columns, backend).map {
            $0 / (codes / 2)
        }
        let least = ElementConversion.half((largest.max() ?? 0) * (shares.first ?? 1))
        guard ElementConversion.float(half: least).isFinite else {
            throw ConversionError(
                .numbers, "weights are too large for the half-precision scales of GPTQ")
        }
        // Only how the weights compare matters; so small ones are no subnormal numbers.
        let most = max(rowWeights.max() ?? 0, .leastNormalMagnitude)
        let values = fit(
            x, bits, rowWeights.map { $0 / most }, largest: largest, shares: shares, backend)
        return GroupScales(
            codes: [], scaleMax: 0, values: values, gridIndex: 0,
            own: values.map { ElementConversion.half($0) })
    }

    private static func fit(
        _ x: UnsafePointer<Float>, _ bits: Int, _ weights: [Float], largest: [Float],
        shares: [Float], _ backend: CPUBackend
    ) -> [Float] {
        let (rows, columns) = (weights.count, largest.count)
        let bytes = eft_column_fit_workspace(backend.threads, rows)
        return [Float](unsafeUninitializedCapacity: columns) { scales, count in
            withUnsafeTemporaryAllocation(byteCount: bytes, alignment: 64) { workspace in
                weights.withUnsafeBufferPointer { weights in
                    largest.withUnsafeBufferPointer { largest in
                        shares.withUnsafeBufferPointer { shares in
                            var fit = eft_column_fit(
                                rows: rows, columns: columns, bits: UInt32(bits), x: x,
                                row_weights: weights.baseAddress, largest: largest.baseAddress,
                                count: shares.count, shares: shares.baseAddress,
                                scales: scales.baseAddress)
                            eft_column_fit_scales(backend.context, &fit, workspace.baseAddress)
                        }
                    }
                }
            }
            count = columns
        }
    }
}
