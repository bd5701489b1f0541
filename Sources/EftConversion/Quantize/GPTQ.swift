// SPDX-License-Identifier: Apache-2.0
// GPTQ (Frantar et al. 2022) with the group scales of EXL2, found on the weights as they are corrected.
import CLAPACK
import EftFormats
import EftQuant
import EftTensor

/// Quantizes a matrix input by input, spreading each input's rounding error over those that come after it.
package struct GPTQ {
    /// What came out besides the codes.
    package struct Result: Sendable {
        /// The sum of squares of all scaled errors; it is tr(D'(H + damp I)D), D what the weights changed by.
        package let energy: Double
    }

    /// Outputs that one worker treats at a time.
    private static let blockColumns = 128

    /// Bytes of the scaled errors and codes of the largest group, under `.workspace`.
    package static func byteCount(table: EXL2Table, outputs: Int) -> Int {
        (table.groups.map(\.rows).max() ?? 0) * outputs * 5
    }

    private let weights: Matrix
    private let table: EXL2Table
    private let backend: CPUBackend
    private let errors: Matrix
    private let codes: Buffer

    /// Prepares to quantize weights `[K][N]`, inputs in stored order; they become what the codes stand for.
    /// - Throws: `TensorError` when memory does not suffice.
    package init(weights: Matrix, table: EXL2Table, backend: CPUBackend) throws(TensorError) {
        precondition(weights.rows == table.inputs, "groups of another matrix")
        self.weights = weights
        self.table = table
        self.backend = backend
        let rows = table.groups.map(\.rows).max() ?? 0
        errors = try Matrix(
            rows: rows, columns: weights.columns, ledger: backend.ledger, purpose: .workspace)
        codes = try Buffer(
            byteCount: rows * weights.columns, ledger: backend.ledger, purpose: .workspace)
    }

    // MARK: With correction

    /// Quantizes group by group into `packer`.
    /// - Parameter factor: U `[K][K]`, upper triangle.
    /// - Throws: `ConversionError` (`numbers`), `TensorError`.
    package func quantize(
        factor: UnsafePointer<Float>, into packer: EXL2Packer
    ) throws -> Result {
        let (inputs, outputs) = (weights.rows, weights.columns)
        var energy = 0.0
        for (index, group) in table.groups.enumerated() {
            let first = table.firstRows[index]
            let scales = try search(first, group)
            energy += correct(first, group, scales, factor)
            let rest = inputs - first - group.rows
            if rest > 0 {
                // W[rest] -= U[group, rest]' E
                cblas_sgemm(
                    CblasRowMajor, CblasTrans, CblasNoTrans, blasint(rest), blasint(outputs),
                    blasint(group.rows), -1, factor + first * inputs + first + group.rows,
                    blasint(inputs), errors.pointer, blasint(outputs), 1,
                    weights.pointer + (first + group.rows) * outputs, blasint(outputs))
            }
            store(index, group, scales, into: packer)
        }
        return Result(energy: energy)
    }

    private func search(_ first: Int, _ group: EXL2Group) throws -> GroupScales {
        let room = try LedgerEntry(
            ScaleSearch.byteCount(columns: weights.columns, threads: backend.threads),
            ledger: backend.ledger, purpose: .workspace)
        defer { withExtendedLifetime(room) {} }
        return try ScaleSearch.search(
            weights.pointer + first * weights.columns, rows: group.rows, columns: weights.columns,
            bits: group.bits, backend: backend)
    }

    private func store(
        _ index: Int, _ group: EXL2Group, _ scales: GroupScales, into packer: EXL2Packer
    ) {
        let count = group.rows * weights.columns
        packer.setGroup(
            index,
            codes: UnsafeBufferPointer(
                start: codes.base.assumingMemoryBound(to: UInt8.self), count: count),
            scaleCodes: scales.codes, scaleMax: scales.scaleMax)
    }

    /// Quantizes the rows of a group and corrects those that follow within it; returns the sum of squared errors.
    private func correct(
        _ first: Int, _ group: EXL2Group, _ scales: GroupScales, _ factor: UnsafePointer<Float>
    ) -> Double {
        let (inputs, outputs) = (weights.rows, weights.columns)
        let blocks = (outputs + GPTQ.blockColumns - 1) / GPTQ.blockColumns
        var sums = [Double](repeating: 0, count: blocks)
        sums.withUnsafeMutableBufferPointer { sums in
            nonisolated(unsafe) let (sums, factor) = (sums, factor)
            backend.parallelFor(blocks) { block in
                let start = block * GPTQ.blockColumns
                let columns = start..<min(start + GPTQ.blockColumns, outputs)
                for row in 0..<group.rows {
                    let line = factor + (first + row) * inputs + first
                    sums[block] += round(
                        first, row, columns, bits: group.bits, scales.values, pivot: line[row])
                    for later in row + 1..<max(group.rows, row + 1) {
                        subtract(first, row, later, columns, line[later])
                    }
                }
            }
        }
        return sums.reduce(0, +)
    }

    /// Rounds one row: codes, values, and errors divided by the pivot.
    private func round(
        _ first: Int, _ row: Int, _ columns: Range<Int>, bits: Int, _ scales: [Float],
        pivot: Float
    ) -> Double {
        let outputs = weights.columns
        let line = weights.pointer + (first + row) * outputs
        let error = errors.pointer + row * outputs
        let code = codes.base.assumingMemoryBound(to: UInt8.self) + row * outputs
        var sum = 0.0
        scales.withUnsafeBufferPointer { scales in
            for column in columns {
                let rounded = GPTQ.round(line[column], scales[column], bits: bits)
                let value = EXL2Scale.value(code: rounded, bits: bits, scale: scales[column])
                let scaled = (line[column] - value) / pivot
                code[column] = UInt8(rounded)
                line[column] = value
                error[column] = scaled
                sum += Double(scaled) * Double(scaled)
            }
        }
        return sum
    }

    /// W[later] -= factor * E[row]
    private func subtract(
        _ first: Int, _ row: Int, _ later: Int, _ columns: Range<Int>, _ factor: Float
    ) {
        let outputs = weights.columns
        let target = weights.pointer + (first + later) * outputs
        let error = errors.pointer + row * outputs
        for column in columns { target[column] -= factor * error[column] }
    }

    /// The code of a number: clamp(rint(w / s) + 2^(b-1), 0, 2^b - 1); that of zero where the scale is too small.
    private static func round(_ value: Float, _ scale: Float, bits: Int) -> Int {
        let middle = Float(1 << (bits - 1))
        guard scale > 0 else { return Int(middle) }
        // Bounded before it is rounded (NaN too): the bounds are integers, and the result always fits.
        let quotient = value / scale
        let raised = quotient > -middle ? quotient : -middle
        let bounded = raised < middle - 1 ? raised : middle - 1
        return Int((bounded + ScaleSearch.rounder) - ScaleSearch.rounder + middle)
    }

    // MARK: Without correction

    /// Turns the weights into the errors of plain rounding, group by group.
    /// - Throws: `ConversionError` (`numbers`), `TensorError`.
    package func replaceByRoundingErrors() throws {
        let outputs = weights.columns
        for (index, group) in table.groups.enumerated() {
            let first = table.firstRows[index]
            let scales = try search(first, group)
            for row in 0..<group.rows {
                let line = weights.pointer + (first + row) * outputs
                for column in 0..<outputs {
                    let scale = scales.values[column]
                    let code = GPTQ.round(line[column], scale, bits: group.bits)
                    line[column] -= EXL2Scale.value(code: code, bits: group.bits, scale: scale)
                }
            }
        }
    }
}
