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

    /// Seconds of a worker, as measured, for each weight: the 97 clippings of the search for scales, and the corrections within
    /// a group.
    package static let searchSeconds = 25e-9
    /// Seconds for each weight of what one worker does alone: decoding, packing, and comparing what was written.
    package static let checkSeconds = 36e-9

    /// Quantizing a whole model at one width: each quantized layer runs once on all calibration rows, with activations in
    /// bytes; then the Hessians of its inputs, their factors, and GPTQ of each weight.
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
        var rough = self
        rough.precision = .int8
        let row =
            rough.layers(coded, rows: job.length)
            + rough.attention(rows: job.length, firstPosition: 0)
        var cost = row * Double(job.rows)
        let tokens = job.rows * job.length
        cost += sums(operations: hessianOperations { size, share in share * size * size }, tokens)
        cost += self.dense(
            operations: hessianOperations { size, _ in size * size * size * 2 / 3 })
        for layout in dense.linears + [dense.head] { cost += weightCost(layout) }
        let bytes = traffic(dense, coded, tokens: tokens)
        let disk = bytes.read / source.read + bytes.written / work.write
        // Files are read and written between computations, not beside them.
        let limit = disk > cost.seconds ? StageEstimate.Limit.disk : cost.estimate().limit
        return StageEstimate(seconds: cost.seconds + disk, limit: limit)
    }

    /// Sums over tokens: in bf16 where that is faster than f32. In bytes they are faster still, but need packing.
    private func sums(operations: Double, _ tokens: Int) -> ComputeCost {
        let rates = calibration.rates(.bf16)
        let rate = max(
            rates.operations(.bf16, backward: false), rates.operations(.f32, backward: false))
        return ComputeCost(arithmetic: operations * Double(tokens) / rate)
    }

    /// What the Hessians of all inputs take together.
    /// - Parameter operations: of one, from its size and the share of all tokens that it is of.
    private func hessianOperations(
        _ operations: (_ size: Double, _ share: Double) -> Double
    ) -> Double {
        let hidden = operations(Double(description.shape.hidden), 1)
        return description.distinctLayers.reduce(hidden) { sum, kind in
            let shape = description.shape(layer: kind.layer)
            // Those of queries, output, gate and down serve their siblings too; each expert's last product has its own,
            // from the tokens that choose it.
            var layer = 2 * hidden + operations(Double(shape.queryWidth), 1)
            let inner = Double(shape.intermediate)
            if let mixture = shape.mixture {
                let share = Double(mixture.expertsPerRow) / Double(mixture.experts)
                layer += Double(mixture.experts) * operations(inner, share)
            } else {
                layer += operations(inner, 1)
            }
            return sum + layer * Double(kind.count)
        }
    }

    /// GPTQ of a weight: twice K for each weight (its corrections, and a triangular system for its energy), and the search for
    /// scales.
    private func weightCost(_ layout: WeightLayout) -> ComputeCost {
        let weights = Double(layout.inputs) * Double(layout.outputs)
        let search = Estimator.searchSeconds / Double(calibration.machine.threads)
        return dense(operations: 2 * weights * Double(layout.inputs))
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
