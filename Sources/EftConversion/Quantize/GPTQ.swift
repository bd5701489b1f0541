// SPDX-License-Identifier: Apache-2.0
// GPTQ (Frantar et al. 2022) with group scales that are found on the weights as they are corrected.
import CEftKernels
import EftQuant
import EftTensor

/// Quantizes a matrix input by input, spreading each input's rounding error over those that come after it.
package struct GPTQ {
    /// What came out besides the codes.
    package struct Result: Sendable {
        /// The sum of squares of each output's scaled errors: the diagonal of D'(H + damp I)D, D what the weights
        /// changed by.
        package let energies: [Double]
        /// Their sum.
        package var energy: Double { energies.reduce(0, +) }
    }

    /// Bytes of the scaled errors and codes of the largest group, of each output's energy, and of the kernel's numbers,
    /// under `.workspace`.
    package static func byteCount(table: EXL2Table, outputs: Int, threads: Int) -> Int {
        let rows = table.largestGroup
        return rows * outputs * 5 + outputs * 8
            + eft_exl2_correct_workspace(threads, rows)
    }

    /// Most bytes of a search for scales, under `.workspace`.
    package static func searchByteCount(table: EXL2Table, outputs: Int, threads: Int) -> Int {
        max(
            ScaleSearch.byteCount(columns: outputs),
            ScaleFit.byteCount(rows: table.largestGroup, columns: outputs, threads: threads),
            ColumnFit.byteCount(rows: table.largestGroup, columns: outputs, threads: threads))
    }

    private let weights: Matrix
    private let table: EXL2Table
    private let recipe: QuantizerRecipe
    private let backend: CPUBackend
    private let errors: Matrix
    private let codes: Buffer
    private let workspace: Buffer

    /// Prepares to quantize weights `[K][N]`, inputs in stored order; they become what the codes stand for.
    /// - Throws: `TensorError` when memory does not suffice.
    package init(
        weights: Matrix, table: EXL2Table, recipe: QuantizerRecipe = .exllamav2,
        backend: CPUBackend
    ) throws(TensorError) {
        precondition(weights.rows == table.inputs, "groups of another matrix")
        self.weights = weights
        self.table = table
        self.recipe = recipe
        self.backend = backend
        let rows = table.largestGroup
        errors = try Matrix(
            rows: rows, columns: weights.columns, ledger: backend.ledger, purpose: .workspace)
        codes = try Buffer(
            byteCount: rows * weights.columns, ledger: backend.ledger, purpose: .workspace)
        workspace = try Buffer(
            byteCount: eft_exl2_correct_workspace(backend.threads, rows), ledger: backend.ledger,
            purpose: .workspace)
    }

    // MARK: With correction

    /// Moves the weights on with the scales of all groups, and tells each output's energy then.
    package typealias Refinement = (_ scales: [GroupScales]) throws -> [Double]

    /// Quantizes group by group, into `packer` where there is one.
    /// - Parameters:
    ///   - factor: U `[K][K]`, upper triangle.
    ///   - refine: is called before anything is packed.
    /// - Throws: `ConversionError` (`numbers`), `TensorError`, and what `refine` throws.
    package func quantize(
        factor: UnsafePointer<Float>, into packer: (any LinearPacker)?, refine: Refinement? = nil
    ) throws -> Result {
        var energies = [Double](repeating: 0, count: weights.columns)
        var kept: [GroupScales] = []
        for (index, group) in table.groups.enumerated() {
            let first = table.firstRows[index]
            let scales = try scales(index, factor)
            correct(first, group, scales, factor, &energies)
            try propagate(index, factor: factor)
            if refine != nil {
                kept.append(scales.stored)
            } else if let packer {
                store(index, group, scales, into: packer)
            }
        }
        guard let refine else { return Result(energies: energies) }
        energies = try refine(kept)
        for (index, group) in table.groups.enumerated() {
            guard let packer else { break }
            encode(index, group, kept[index])
            store(index, group, kept[index], into: packer)
        }
        return Result(energies: energies)
    }

    /// W[rest] -= U[group, rest]' E: what a group's errors leave to the rows behind it.
    /// - Throws: `TensorError` when scratch memory does not suffice.
    package func propagate(
        _ index: Int, factor: UnsafePointer<Float>
    ) throws(TensorError) {
        let (inputs, outputs) = (weights.rows, weights.columns)
        let (first, rows) = (table.firstRows[index], table.groups[index].rows)
        let rest = inputs - first - rows
        guard rest > 0 else { return }
        try backend.gemm(
            rest, outputs, rows, alpha: -1,
            MatrixPart(factor + first * inputs + first + rows, stride: inputs, transposed: true),
            MatrixPart(errors.pointer, stride: outputs),
            addingTo: weights.pointer + (first + rows) * outputs, stride: outputs)
    }

    private func scales(_ index: Int, _ factor: UnsafePointer<Float>) throws -> GroupScales {
        let (first, group) = (table.firstRows[index], table.groups[index])
        guard recipe.scales != .clipping else { return try search(first, group) }
        let weights = (first..<first + group.rows).map { row in
            let pivot = factor[row * self.weights.rows + row]
            return 1 / (pivot * pivot)
        }
        if recipe.scales == .own { return try fitColumns(first, group, weights) }
        return try ScaleFit.search(
            self.weights.pointer + first * self.weights.columns, rows: group.rows,
            columns: self.weights.columns, rowWeights: weights, bits: group.bits,
            backend: backend)
    }

    private func fitColumns(
        _ first: Int, _ group: EXL2Group, _ rowWeights: [Float]
    ) throws -> GroupScales {
        try ColumnFit.search(
            weights.pointer + first * weights.columns, rows: group.rows, columns: weights.columns,
            rowWeights: rowWeights, bits: group.bits, backend: backend)
    }

    private func search(_ first: Int, _ group: EXL2Group) throws -> GroupScales {
        try ScaleSearch.search(
            weights.pointer + first * weights.columns, rows: group.rows, columns: weights.columns,
            bits: group.bits, backend: backend)
    }

    /// The codes of a group whose weights are what codes stand for.
    private func encode(_ index: Int, _ group: EXL2Group, _ scales: GroupScales) {
        let columns = weights.columns
        let middle = Float(1 << (group.bits - 1))
        nonisolated(unsafe) let values = weights.pointer + table.firstRows[index] * columns
        nonisolated(unsafe) let codes = self.codes.base.assumingMemoryBound(to: UInt8.self)
        let steps = scales.decoded(0..<columns)
        backend.parallelFor(group.rows) { row in
            for column in 0..<columns {
                let place = row * columns + column
                let scale = steps[column]
                let code = (scale > 0 ? (values[place] / scale).rounded() : 0) + middle
                codes[place] = code > 0 ? (code < 255 ? UInt8(code) : 255) : 0
            }
        }
    }

    private func store(
        _ index: Int, _ group: EXL2Group, _ scales: GroupScales, into packer: any LinearPacker
    ) {
        let count = group.rows * weights.columns
        packer.take(
            group: index,
            codes: UnsafeBufferPointer(
                start: codes.base.assumingMemoryBound(to: UInt8.self), count: count),
            scales: scales, workers: backend)
    }

    /// Quantizes the rows of a group and corrects those that follow within it; adds to each output's squared errors.
    private func correct(
        _ first: Int, _ group: EXL2Group, _ scales: GroupScales, _ factor: UnsafePointer<Float>,
        _ energies: inout [Double]
    ) {
        let (inputs, outputs) = (weights.rows, weights.columns)
        scales.values.withUnsafeBufferPointer { scales in
            energies.withUnsafeMutableBufferPointer { energies in
                var rounding = eft_exl2_rounding(
                    rows: group.rows, columns: outputs, bits: UInt32(group.bits),
                    scales: scales.baseAddress, factor: factor + first * inputs + first,
                    ldf: inputs, w: weights.pointer + first * outputs,
                    codes: codes.base.assumingMemoryBound(to: UInt8.self), errors: errors.pointer,
                    energies: energies.baseAddress, exact: recipe.isExact)
                eft_exl2_correct(backend.context, &rounding, workspace.base)
            }
        }
    }

    // MARK: Without correction

    /// Turns the weights into the errors of plain rounding, group by group.
    /// - Throws: `ConversionError` (`numbers`), `TensorError`.
    package func replaceByRoundingErrors() throws {
        let outputs = weights.columns
        for (index, group) in table.groups.enumerated() {
            let first = table.firstRows[index]
            let scales =
                try recipe.scales == .own
                ? fitColumns(first, group, [Float](repeating: 1, count: group.rows))
                : search(first, group)
            eft_exl2_losses(
                backend.context, group.rows, outputs, UInt32(group.bits), scales.values,
                recipe.isExact, weights.pointer + first * outputs)
        }
    }
}
