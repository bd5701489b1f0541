// SPDX-License-Identifier: Apache-2.0
// From a calibrated machine to seconds of merging, converting and quantizing.
import EftModels
import EftNN
import EftQuant
import EftTensor

extension Estimator {
    // MARK: Merge and convert

    /// Reading files and writing others, one after the other: what merging and converting wait for.
    /// - Parameters:
    ///   - reading: bytes that are read.
    ///   - source: the disk that they are read from, `Calibration.disk(of:)` of its folder.
    ///   - writing: bytes that are written.
    ///   - target: the disk that they are written to.
    /// - Returns: nil when a disk's speed is not known.
    package static func copying(
        reading: Int, from source: Calibration.DiskRates?, writing: Int,
        to target: Calibration.DiskRates?
    ) -> StageEstimate? {
        guard let source, let target else { return nil }
        let seconds = Double(reading) / source.read + Double(writing) / target.write
        return StageEstimate(seconds: seconds, limit: .disk)
    }

    // MARK: Quantize

    /// A quantization to EXL2.
    package struct Quantization: Sendable, Hashable {
        /// Width of the decoder's linear layers.
        package var bits: Int
        /// Width of the head.
        package var headBits: Int
        /// Calibration rows.
        package var rows: Int
        /// Tokens of each.
        package var length: Int
        /// The type of the stored weights.
        package var stored: DType

        /// Makes a quantization.
        package init(bits: Int, headBits: Int, rows: Int, length: Int, stored: DType) {
            self.bits = bits
            self.headBits = headBits
            self.rows = rows
            self.length = length
            self.stored = stored
        }
    }

    /// Seconds of a worker, as measured, for each weight: twice 97 clippings of the search for scales, and the corrections
    /// within a group. Plain loops, whose speed differs little between processors.
    static let searchSeconds = 125e-9
    /// Seconds for each weight of what one worker does alone: decoding, packing, and comparing what was written.
    static let checkSeconds = 36e-9

    /// Quantizing a whole model: each layer runs twice on all calibration rows, then the Hessians of its inputs, their
    /// factors, and GPTQ of each weight.
    /// - Parameters:
    ///   - source: the disk of the model.
    ///   - work: the disk of the work folder.
    /// - Returns: nil when a disk's speed is not known.
    /// - Throws: `ModelError` when EXL2 cannot hold the model's extents.
    package func quantize(
        _ job: Quantization, from source: Calibration.DiskRates?, work: Calibration.DiskRates?
    ) throws -> StageEstimate? {
        precondition(job.rows > 0 && job.length > 0, "no calibration")
        guard let source, let work else { return nil }
        let dense = try DecoderLayouts(description, format: .dense(job.stored))
        let coded = try DecoderLayouts(
            description, format: .exl2(bits: Double(job.bits), headBits: job.headBits))
        // Verbs that only convert compute in f32.
        var exact = self
        exact.precision = .f32
        let attention = exact.attention(rows: job.length, firstPosition: 0)
        let row =
            exact.layers(dense, rows: job.length) + exact.layers(coded, rows: job.length)
            + attention * 2
        var cost = row * Double(job.rows)
        cost += exact.dense(operations: hessianOperations(tokens: job.rows * job.length))
        for layout in dense.linears + [dense.head] { cost += weightCost(layout) }
        let bytes = traffic(dense, coded, tokens: job.rows * job.length)
        let disk = bytes.read / source.read + bytes.written / work.write
        // Files are read and written between computations, not beside them.
        let limit = disk > cost.seconds ? StageEstimate.Limit.disk : cost.estimate().limit
        return StageEstimate(seconds: cost.seconds + disk, limit: limit)
    }

    /// Sums of products of inputs, one triangle, and Cholesky, inverse and Cholesky of each.
    private func hessianOperations(tokens: Int) -> Double {
        func operations(_ size: Int, tokens: Double = Double(tokens)) -> Double {
            let size = Double(size)
            return size * size * tokens + size * size * size * 4 / 3
        }
        let hidden = operations(description.shape.hidden)
        return description.distinctLayers.reduce(hidden) { sum, kind in
            let shape = description.shape(layer: kind.layer)
            // Those of queries, output, gate and down serve their siblings too; each expert's last product has its own,
            // from the tokens that choose it.
            var layer = 2 * hidden + operations(shape.queryWidth)
            if let mixture = shape.mixture {
                let each = Double(tokens * mixture.expertsPerRow) / Double(mixture.experts)
                layer += Double(mixture.experts) * operations(shape.intermediate, tokens: each)
            } else {
                layer += operations(shape.intermediate)
            }
            return sum + layer * Double(kind.count)
        }
    }

    /// GPTQ of a weight: three times K for each weight (its corrections, and two triangular systems for its errors), and
    /// the search for scales.
    private func weightCost(_ layout: WeightLayout) -> ComputeCost {
        let weights = Double(layout.inputs) * Double(layout.outputs)
        let search = Estimator.searchSeconds / Double(calibration.machine.threads)
        return dense(operations: 3 * weights * Double(layout.inputs))
            + ComputeCost(arithmetic: weights * (search + Estimator.checkSeconds))
    }

    /// Bytes read and written: the model and its quantized layers once each, these written twice, and the states of
    /// all rows before each layer.
    private func traffic(
        _ dense: DecoderLayouts, _ coded: DecoderLayouts, tokens: Int
    ) -> (read: Double, written: Double) {
        let layers = coded.byteCount - coded.embedding.byteCount
        let states = Double(tokens) * Double(description.shape.hidden) * 4
        return (
            read: Double(dense.byteCount + layers),
            written: Double(2 * layers + coded.embedding.byteCount)
                + states * Double(description.layers + 1)
        )
    }
}
