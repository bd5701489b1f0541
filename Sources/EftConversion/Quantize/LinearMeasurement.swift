// SPDX-License-Identifier: Apache-2.0
// What quantizing a layer costs under several choices of groups, without writing any of them.
import EftFormats
import EftQuant
import EftTensor

extension LinearQuantizer {
    /// The error of a layer that was quantized on trial.
    package struct Measured: Sendable, Hashable {
        /// tr(D'HD) / tr(W'HW): the share of the output's energy that is lost, D what the weights changed by.
        package let error: Double
        /// tr(D'HD), H a mean over calibration tokens: the squared error of a token's outputs.
        package let energy: Double
        /// The same with each output's share (D'HD)_nn multiplied by its weight; `energy` without weights.
        package let weighted: Double
    }

    /// Most bytes that `measure` takes besides the Hessian, under `.workspace`.
    package static func measuringByteCount(
        inputs: Int, outputs: Int, tables: [EXL2Table], threads: Int
    ) -> Int {
        let gptq = tables.map {
            GPTQ.byteCount(table: $0, outputs: outputs, threads: threads)
        }.max()
        let searching = tables.map {
            GPTQ.searchByteCount(table: $0, outputs: outputs, threads: threads)
        }.max()
        let run = runBytes(inputs: inputs, outputs: outputs)
        // The weights, a copy that is quantized, and the squared changes of each output.
        return 2 * inputs * outputs * 4 + max(run, (gptq ?? 0) + (searching ?? 0)) + outputs * 8
    }

    /// Quantizes a copy of a layer with each table of groups; nothing is packed or written.
    /// - Parameters:
    ///   - target: the layer; its own groups do not matter.
    ///   - hessian: of the layer's inputs, factored.
    ///   - tables: groups to try.
    ///   - columnWeights: what an error of each output counts, `[N]`; all the same when nil.
    /// - Returns: an entry for each table.
    /// - Throws: `ConversionError`, `FormatError`, `TensorError`.
    package func measure(
        _ target: Target, hessian: Hessian, tables: [EXL2Table], columnWeights: [Float]? = nil
    ) throws -> [Measured] {
        precondition(columnWeights.map { $0.count == target.outputs } ?? true, "a weight an output")
        return try naming(target) {
            let (original, weights) = (try matrix(target), try matrix(target))
            try load(try source(target), target, hessian.places, into: original)
            weights.pointer.update(from: original.pointer, count: original.count)
            let norm = try hessian.energy(weights, backend: backend)
            return try tables.map { table in
                weights.pointer.update(from: original.pointer, count: original.count)
                let gptq = try GPTQ(
                    weights: weights, table: table, recipe: recipe, backend: backend)
                let result = try gptq.quantize(factor: hessian.values, into: nil)
                let changes = squaredChanges(original, weights)
                var (energy, weighted) = (0.0, 0.0)
                for output in 0..<target.outputs {
                    let own = max(result.energies[output] - hessian.damp * changes[output], 0)
                    energy += own
                    weighted += own * Double(columnWeights?[output] ?? 1)
                }
                return Measured(
                    error: norm > 0 ? energy / norm : 0, energy: energy * hessian.shareOfToken,
                    weighted: weighted * hessian.shareOfToken)
            }
        }
    }

    /// The squared differences of two matrices, summed over the rows.
    func squaredChanges(_ a: Matrix, _ b: Matrix) -> [Double] {
        let block = 256
        var sums = [Double](repeating: 0, count: a.columns)
        sums.withUnsafeMutableBufferPointer { sums in
            nonisolated(unsafe) let sums = sums
            backend.parallelFor((a.columns + block - 1) / block) { index in
                let columns = index * block..<min((index + 1) * block, a.columns)
                for row in 0..<a.rows {
                    let (x, y) = (a.pointer + row * a.columns, b.pointer + row * a.columns)
                    for column in columns {
                        let change = Double(x[column] - y[column])
                        sums[column] += change * change
                    }
                }
            }
        }
        return sums
    }
}
