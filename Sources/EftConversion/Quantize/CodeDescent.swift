// SPDX-License-Identifier: Apache-2.0
// Coordinate descent over the codes of a quantized matrix, behind GPTQ.
import CEftKernels
import EftFormats
import EftQuant
import EftTensor

/// Moves quantized weights, input by input, to where the loss tr(D'(H + damp I)D) is least with all others as they are; D is
/// what the weights differ by from those that are wanted. Scales stay.
///
/// GPTQ rounds an input when those behind it can still make up for it, and never again. A second look at each, with the
/// errors of all others known, lowers the loss further, and never raises it.
struct CodeDescent {
    /// Columns that are worked on at a time: each column is a problem of its own.
    static let blockColumns = 512

    let hessian: Hessian
    let table: EXL2Table
    let passes: Int
    /// Whether values are not rounded to halves.
    let isExact: Bool
    let backend: CPUBackend
    private let columns: Int

    /// Prepares for weights of groups whose inputs have a Hessian, factored.
    init(
        hessian: Hessian, table: EXL2Table, passes: Int, isExact: Bool = false,
        backend: CPUBackend, columns: Int = blockColumns
    ) {
        self.hessian = hessian
        self.table = table
        self.passes = passes
        self.isExact = isExact
        self.backend = backend
        self.columns = columns
    }

    /// Reads the wanted weights of some outputs, `[K][outputs]` in stored order.
    typealias Wanted = (_ outputs: Range<Int>, _ block: Matrix) throws -> Void

    /// Bytes of the scales and losses that are kept until then, and of a block, under `.workspace`.
    /// - Parameter scaleBytes: those of a group's scale for an output.
    static func byteCount(
        table: EXL2Table, outputs: Int, scaleBytes: Int = 1, threads: Int
    ) -> (kept: Int, block: Int) {
        let width = min(blockColumns, outputs)
        return (
            (scaleBytes * table.groups.count + MemoryLayout<Double>.stride) * outputs,
            (2 * table.inputs + table.largestGroup) * width * 4
                + eft_exl2_correct_workspace(threads, table.largestGroup)
        )
    }

    /// Descends.
    /// - Parameters:
    ///   - weights: what the codes of GPTQ stand for, `[K][N]` in stored order; they become what the new codes stand for.
    ///   - scales: of each group.
    /// - Returns: the loss of each output.
    /// - Throws: what `wanted` throws; `TensorError` when memory does not suffice.
    func run(_ weights: Matrix, _ scales: [GroupScales], wanted: Wanted) throws -> [Double] {
        try hessian.withMatrix { matrix in
            var energies: [Double] = []
            energies.reserveCapacity(weights.columns)
            for first in stride(from: 0, to: weights.columns, by: columns) {
                let outputs = first..<min(first + columns, weights.columns)
                let block = try Block(self, matrix, weights, outputs)
                try wanted(outputs, block.difference)
                try block.begin()
                for _ in 0..<passes { try block.descend(scales) }
                energies += block.energies
            }
            return energies
        }
    }
}

/// Some columns on their way down.
private struct Block {
    /// What the values differ by from the wanted weights; until `begin` these weights.
    let difference: Matrix
    private let descent: CodeDescent
    private let hessian: UnsafePointer<Float>
    private let weights: Matrix
    private let outputs: Range<Int>
    /// (H + damp I) D.
    private let gradient: Matrix
    private let changes: Matrix
    private let workspace: Buffer

    private var inputs: Int { weights.rows }

    init(
        _ descent: CodeDescent, _ hessian: UnsafePointer<Float>, _ weights: Matrix,
        _ outputs: Range<Int>
    ) throws(TensorError) {
        (self.descent, self.hessian, self.weights) = (descent, hessian, weights)
        self.outputs = outputs
        let (ledger, rows) = (descent.backend.ledger, descent.table.largestGroup)
        difference = try Matrix(
            rows: weights.rows, columns: outputs.count, ledger: ledger, purpose: .workspace)
        gradient = try Matrix(
            rows: weights.rows, columns: outputs.count, ledger: ledger, purpose: .workspace)
        changes = try Matrix(
            rows: rows, columns: outputs.count, ledger: ledger, purpose: .workspace)
        workspace = try Buffer(
            byteCount: eft_exl2_correct_workspace(descent.backend.threads, rows), ledger: ledger,
            purpose: .workspace)
    }

    /// Takes the difference and its gradient.
    func begin() throws(TensorError) {
        for row in 0..<inputs {
            let values = weights.pointer + row * weights.columns + outputs.lowerBound
            let line = difference.pointer + row * outputs.count
            for column in 0..<outputs.count { line[column] = values[column] - line[column] }
        }
        gradient.zero()
        try addProduct(hessian, inputs, difference.pointer, to: gradient.pointer)
    }

    /// y += H x for a block of H on its diagonal, of which the lower triangle is there.
    private func addProduct(
        _ block: UnsafePointer<Float>, _ rows: Int, _ x: UnsafePointer<Float>,
        to y: UnsafeMutablePointer<Float>
    ) throws(TensorError) {
        try TriangularProducts(block, size: rows, stride: inputs, backend: descent.backend)
            .addSymmetric(x, to: y, columns: outputs.count)
    }

    /// One pass over all groups.
    func descend(_ scales: [GroupScales]) throws(TensorError) {
        for (index, group) in descent.table.groups.enumerated() {
            let first = descent.table.firstRows[index]
            move(group, first, scales[index])
            try follow(group.rows, first)
        }
    }

    /// The loss of each column.
    var energies: [Double] {
        var sums = [Double](repeating: 0, count: outputs.count)
        for place in 0..<difference.count {
            sums[place % outputs.count] +=
                Double(difference.pointer[place]) * Double(gradient.pointer[place])
        }
        return sums
    }

    private func move(_ group: EXL2Group, _ first: Int, _ scales: GroupScales) {
        let values = scales.decoded(outputs)
        values.withUnsafeBufferPointer { values in
            var task = eft_exl2_descent(
                rows: group.rows, columns: outputs.count, bits: UInt32(group.bits),
                scales: values.baseAddress, hessian: hessian + first * inputs + first, ldh: inputs,
                gradient: gradient.pointer + first * outputs.count,
                w: weights.pointer + first * weights.columns + outputs.lowerBound,
                ldw: weights.columns, changes: changes.pointer, exact: descent.isExact)
            eft_exl2_descend(descent.backend.context, &task, workspace.base)
        }
    }

    /// Brings difference and gradient up to date with what a group's rows moved by.
    private func follow(_ rows: Int, _ first: Int) throws(TensorError) {
        let line = difference.pointer + first * outputs.count
        for place in 0..<rows * outputs.count { line[place] += changes.pointer[place] }
        let (size, width, end) = (inputs, outputs.count, first + rows)
        let own = hessian + first * size
        let moved = MatrixPart(changes.pointer, stride: width)
        try descent.backend.gemm(
            first, width, rows, alpha: 1, MatrixPart(own, stride: size, transposed: true), moved,
            addingTo: gradient.pointer, stride: width)
        try addProduct(own + first, rows, changes.pointer, to: gradient.pointer + first * width)
        try descent.backend.gemm(
            size - end, width, rows, alpha: 1,
            MatrixPart(hessian + end * size + first, stride: size), moved,
            addingTo: gradient.pointer + end * width, stride: width)
    }
}
