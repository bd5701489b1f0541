// SPDX-License-Identifier: Apache-2.0
// Quantizing layer by layer, on inputs that come from the layers quantized so far.
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// Carries calibration rows from layer to layer and quantizes each layer on the way.
final class CalibrationStage {
    /// What is told after each linear layer: its name and number of weights.
    typealias Advance = (_ item: String, _ weights: Int) throws -> Void

    /// What the names of the states' files begin with.
    static let stem = "hidden_states-"
    /// The same for the states of the unquantized model.
    static let referenceStem = "reference_states-"

    /// How far weights go to make up for the layers before: all the way fits the calibration text's own errors too.
    private static let share: Float = 0.25

    let job: QuantizeJob
    let rows: LayerCalibration
    /// The rows in the unquantized model; nil when nothing makes up for the layers before.
    let reference: LayerCalibration?
    let quantizer: LinearQuantizer
    /// What rows leave at the pauses of a layer, also in the unquantized model; nil where layers run at once.
    let kept: PausedRows?
    let keptOfReference: PausedRows?
    /// Values of the unquantized layer on the first rows, or on their first tokens.
    let wanted: Matrix
    /// Experts that few calibration tokens chose, of the layers since the stage began.
    private(set) var rareExperts: [QuantizeReport.RareExpert] = []

    var model: DecoderDescription { job.folder.description }
    private var backend: CPUBackend { job.backend }

    /// Takes the memory, and room on the disk of the work folder.
    /// - Throws: `TensorError` or `FormatError` when it does not fit.
    init(_ job: QuantizeJob) throws {
        self.job = job
        rows = try LayerCalibration(job, rows: job.calibration, stem: CalibrationStage.stem)
        reference =
            job.plan.options.compensates
            ? try LayerCalibration(
                job, rows: job.calibration, stem: CalibrationStage.referenceStem,
                runner: rows.runner)
            : nil
        let lengths = rows.lengths
        func paused() throws -> PausedRows {
            try PausedRows(
                job.folder.description, lengths: lengths, folder: job.work.path,
                backend: job.backend)
        }
        let pauses = job.plan.options.pauses
        kept = pauses ? try paused() : nil
        keptOfReference = pauses && reference != nil ? try paused() : nil
        wanted = try Matrix(
            rows: job.plan.reported(lengths).reduce(0, +),
            columns: job.folder.description.shape.hidden, ledger: job.backend.ledger)
        quantizer = LinearQuantizer(
            checkpoint: job.checkpoint, folder: job.work.outTensors,
            recipe: job.plan.options.rounding, backend: job.backend)
    }

    /// Writes the inputs of the first layer.
    func embed() throws {
        try rows.embed(
            job.calibration, with: job.plan.embedding.map { try load($0) })
        try reference?.embed(job.calibration)
    }

    // MARK: Layers

    /// Quantizes a layer and carries the rows through it.
    /// - Returns: the linear layers' errors, and the layer's own.
    func quantizeLayer(
        _ index: Int, advance: Advance
    ) throws -> (linears: [QuantizeReport.Linear], error: Double) {
        guard let kept else { return try quantizeAtOnce(index, advance: advance) }
        return try quantizeInSteps(index, kept, advance: advance)
    }

    /// Quantizes linear layers that share inputs.
    func quantize(
        _ siblings: [DecoderDescription.LinearShape], _ hessian: Hessian, _ cross: CrossHessian?,
        advance: Advance
    ) throws -> [QuantizeReport.Linear] {
        guard let first = siblings.first else { return [] }
        try hessian.factor(module: first.name, recipe: quantizer.recipe, backend: backend)
        cross?.order(as: hessian, on: backend)
        return try siblings.map { linear in
            let target = job.plan.target(linear)
            let quantized = try quantizer.quantize(
                target, hessian: hessian, cross: cross, share: CalibrationStage.share)
            try advance(target.name, target.inputs * target.outputs)
            return quantized
        }
    }

    /// Quantizes an expert's last product, and notes it where few tokens chose the expert.
    func quantize(
        _ output: DecoderDescription.LinearShape, ofExpert hessian: Hessian, advance: Advance
    ) throws -> [QuantizeReport.Linear] {
        if hessian.isRare {
            rareExperts.append(.init(name: output.name, tokens: hessian.tokenCount))
        }
        return try quantize([output], hessian, nil, advance: advance)
    }

    /// As ExLlamaV2 does: all Hessians of a layer from its unquantized weights, then all weights, then the layer's values.
    private func quantizeAtOnce(
        _ index: Int, advance: Advance
    ) throws -> (linears: [QuantizeReport.Linear], error: Double) {
        let name = model.layerName(index)
        func step(_ row: Int) throws {
            try advance("\(name): row \(row + 1) of \(rows.lengths.count)", 0)
        }
        var hessians = try rows.collect(
            index, keepsValues: false, visits: { $0 < QuantizePlan.reportRows }
        ) { row, value in
            wanted(row)?.copy(value)
            try step(row)
        }
        var linears: [QuantizeReport.Linear] = []
        for (position, siblings) in QuantizePlan.siblings(index, model).enumerated() {
            guard let hessian = hessians[position] else { continue }
            linears += try quantize(siblings, hessian, nil, advance: advance)
            hessians[position] = nil
        }
        try rows.forEachExpert(index) {
            try advance($0, 0)
        } _: { output, hessian in
            linears += try quantize(output, ofExpert: hessian, advance: advance)
        }
        let layer = try rows.runner.layer(index, vectors: job.checkpoint) { name in
            let path = quantizer.path(name)
            // A mixture's router is not quantized.
            return FileSystem.exists(path) ? try quantizer.written(path) : job.checkpoint
        }
        var errors: [Double] = []
        try rows.carry(index, through: layer) { row, value in
            if let wanted = wanted(row) { errors.append(value.relativeError(to: wanted)) }
            try step(row)
        }
        return (linears, CalibrationStage.mean(errors))
    }

    /// The mean of errors; 0 without any.
    static func mean(_ errors: [Double]) -> Double {
        errors.isEmpty ? 0 : errors.reduce(0, +) / Double(errors.count)
    }

    /// The place of a row's wanted value; nil for rows whose value is not kept.
    private func wanted(_ row: Int) -> Matrix? {
        guard row < QuantizePlan.reportRows else { return nil }
        let first = rows.lengths[..<row].reduce(0, +)
        return wanted.rows(first..<first + rows.lengths[row])
    }

    // MARK: Head

    /// Quantizes the head where the form does, and tells the perplexity of the first rows.
    func quantizeHead(
        advance: Advance
    ) throws -> (QuantizeReport.Linear?, perplexity: Double?) {
        let target = job.plan.head
        let norm = try rows.runner.norm(model.finalNorm, job.checkpoint)
        // A shared one is there since before the layers.
        if job.plan.sharesEmbedding || !job.plan.quantizesHead {
            return (nil, try perplexity(target, norm))
        }
        var hessian: Hessian? = try rows.collectHead()
        try hessian?.factor(module: target.name, recipe: quantizer.recipe, backend: backend)
        guard let factored = hessian else { preconditionFailure("no Hessian of the head") }
        let linear = try quantizer.quantize(target, hessian: factored)
        hessian = nil
        try advance(target.name, target.inputs * target.outputs)
        return (linear, try perplexity(target, norm))
    }

    /// The head as the finished model has it, or another weight that is quantized already.
    private func load(_ target: LinearQuantizer.Target) throws -> PackedWeight {
        let isQuantized = job.plan.quantizesHead
        return try LinearSource(
            module: isQuantized ? target.name : target.source,
            checkpoint: isQuantized
                ? quantizer.written(quantizer.path(target.name)) : job.checkpoint,
            inputs: target.inputs, outputs: target.outputs
        ).load(as: .asStored, backend: backend)
    }

    private func perplexity(_ target: LinearQuantizer.Target, _ norm: Norm) throws -> Double? {
        let head = Linear(
            name: target.name, ordinal: 0, weight: try load(target), bias: try job.headBias())
        let lossHead = try LossHead(
            head: head, transform: job.folder.description.logits,
            rows: job.calibration.longest, backward: false, ledger: backend.ledger)
        var (sum, count) = (0.0, 0)
        try rows.forEach(rows.states(model.layers), rows: QuantizePlan.reportRows) {
            row, x, normed in
            norm.forward(x, into: normed, backend)
            let labels = Array(job.calibration.rows[row].dropFirst()) + [-1]
            let losses = try lossHead.losses(
                hidden: normed, labels: labels, gradientScale: 0, gradient: nil, rows.runner.pass)
            sum += losses.reduce(0.0) { $0 + Double($1) }
            count += labels.count - 1
        }
        guard count > 0, sum.isFinite else { return nil }
        return exp(sum / Double(count))
    }
}

extension Matrix {
    /// Takes over another matrix of the same extents.
    func copy(_ source: Matrix) { pointer.update(from: source.pointer, count: count) }

    /// The Frobenius norm of the difference by that of what was wanted.
    func relativeError(to wanted: Matrix) -> Double {
        var (difference, norm) = (0.0, 0.0)
        for index in 0..<count {
            let (a, b) = (Double(pointer[index]), Double(wanted.pointer[index]))
            difference += (a - b) * (a - b)
            norm += b * b
        }
        return norm > 0 ? (difference / norm).squareRoot() : 0
    }
}
