// SPDX-License-Identifier: Apache-2.0
// The scales of one EXL2 group by what their rounding errors cost.
import CEftKernels
import EftFormats
import EftQuant
import EftTensor

/// Finds the scales of a group: those whose weighted squared rounding errors have the least sum.
package enum ScaleFit {
    /// Largest scales that are tried, as shares of the one at which the largest number of the group takes the last code;
    /// far less where a few large numbers matter little.
    private static let shares = (0..<gridCount).map {
        0.4 + 0.85 * Float($0) / Float(gridCount - 1)
    }
    /// The least scale of a column that is tried, as such a share of the column's own.
    private static let least: Float = 0.4
    /// Values of s that are tried from there on: enough to reach 1.25.
    private static let tried = 8
    private static let gridCount = 13

    /// Bytes of the temporary numbers for a group, under `.workspace`.
    package static func byteCount(rows: Int, columns: Int, threads: Int) -> Int {
        columns * (2 * 4 + 4 + gridCount)
            + eft_exl2_fit_workspace(threads, rows, columns, gridCount)
    }

    /// Searches.
    /// - Parameters:
    ///   - x: numbers `[rows][columns]`, all finite.
    ///   - rowWeights: what a squared error of each row counts.
    ///   - bits: width of a code.
    /// - Throws: `ConversionError` (`numbers`) when the scale is too large for a half; `TensorError`.
    package static func search(
        _ x: UnsafePointer<Float>, rows: Int, columns: Int, rowWeights: [Float], bits: Int,
        backend: CPUBackend
    ) throws -> GroupScales {
        precondition(rowWeights.count == rows, "a weight a row")
        let room = try LedgerEntry(
            byteCount(rows: rows, columns: columns, threads: backend.threads),
            ledger: backend.ledger, purpose: .workspace)
        defer { withExtendedLifetime(room) {} }
        let high = Float((1 << bits) - 1)
        let base = ScaleSearch.largest(x, rows: rows, columns: columns, backend).map {
            ($0 + 1e-12) / (high / 2)
        }
        let top = base.max() ?? 0
        let maxima = shares.map { ElementConversion.half(top * $0) }
            .filter { ElementConversion.float(half: $0).isFinite }
        guard !maxima.isEmpty else {
            throw ConversionError(
                .numbers, "weights are too large for the half-precision scales of EXL2")
        }
        // Only how the weights compare matters; so small ones are no subnormal numbers.
        let most = max(rowWeights.max() ?? 0, .leastNormalMagnitude)
        let (best, codes) = fit(
            x, rows, bits, base.map { $0 * least }, rowWeights.map { $0 / most },
            steps: maxima.map { ElementConversion.float(half: EXL2Scale.step(scaleMax: $0)) },
            tried: tried, backend)
        let table = EXL2Scale.table(scaleMax: maxima[best]).map(ElementConversion.float(half:))
        return GroupScales(
            codes: codes, scaleMax: maxima[best], values: codes.map { table[Int($0) - 1] },
            gridIndex: best)
    }

    /// The best of the steps, and s of each column there.
    private static func fit(
        _ x: UnsafePointer<Float>, _ rows: Int, _ bits: Int, _ least: [Float], _ weights: [Float],
        steps: [Float], tried: Int, _ backend: CPUBackend
    ) -> (best: Int, codes: [UInt8]) {
        let columns = least.count
        var sums = [Double](repeating: 0, count: steps.count)
        var choices = [UInt8](repeating: 0, count: steps.count * columns)
        let bytes = eft_exl2_fit_workspace(backend.threads, rows, columns, steps.count)
        withUnsafeTemporaryAllocation(byteCount: bytes, alignment: 64) { workspace in
            least.withUnsafeBufferPointer { least in
                weights.withUnsafeBufferPointer { weights in
                    steps.withUnsafeBufferPointer { steps in
                        var fit = eft_exl2_fit(
                            rows: rows, columns: columns, bits: UInt32(bits), x: x,
                            row_weights: weights.baseAddress, least: least.baseAddress,
                            tried: tried, count: steps.count, steps: steps.baseAddress)
                        eft_exl2_fit_scales(
                            backend.context, &fit, &sums, &choices, workspace.baseAddress)
                    }
                }
            }
        }
        var best = 0
        for index in sums.indices where sums[index] < sums[best] { best = index }
        return (best, Array(choices[best * columns..<(best + 1) * columns]))
    }
}
