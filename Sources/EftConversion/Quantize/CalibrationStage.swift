// SPDX-License-Identifier: Apache-2.0
// The hidden states of all calibration rows, on their way through the layers.
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

    /// Inputs of the next layer, `[tokens of all rows][C]`.
    let states: Matrix
    private let job: QuantizeJob
    private let runner: BlockRunner
    private let quantizer: LinearQuantizer
    /// Values of the unquantized layer on the first rows.
    private let wanted: Matrix
    /// The tokens of each row.
    private let ranges: [Range<Int>]

    private var model: DecoderDescription { job.folder.description }
    private var backend: CPUBackend { job.backend }

    /// Takes the memory.
    /// - Throws: `TensorError` when it does not fit.
    init(_ job: QuantizeJob) throws(TensorError) {
        self.job = job
        let rows = job.calibration.rows
        var ranges: [Range<Int>] = []
        for row in rows {
            let first = ranges.last?.upperBound ?? 0
            ranges.append(first..<first + row.count)
        }
        self.ranges = ranges
        let width = job.folder.description.shape.hidden
        states = try Matrix(
            rows: job.calibration.tokenCount, columns: width, ledger: job.backend.ledger)
        let kept = rows.prefix(QuantizePlan.reportRows).reduce(0) { $0 + $1.count }
        wanted = try Matrix(rows: kept, columns: width, ledger: job.backend.ledger)
        runner = try BlockRunner(
            job.folder.description, length: job.calibration.longest, backend: job.backend)
        quantizer = LinearQuantizer(
            checkpoint: job.checkpoint, folder: job.work.outTensors, backend: job.backend)
    }

    // MARK: Embedding

    /// Looks up all tokens; each row of the embedding is read once.
    /// - Throws: `FormatError`, `ConversionError` (`numbers`).
    func embed() throws {
        let width = model.shape.hidden
        let source = try LinearSource(
            module: model.embeddingName, checkpoint: job.checkpoint, inputs: width,
            outputs: model.vocabulary)
        let tokens = Array(job.calibration.rows.joined())
        var last: (token: Int32, line: UnsafeMutablePointer<Float>)?
        for place in tokens.indices.sorted(by: { tokens[$0] < tokens[$1] }) {
            let (token, line) = (tokens[place], states.pointer + place * width)
            if let last, last.token == token {
                line.update(from: last.line, count: width)
                continue
            }
            // The embedding of the finished model is in f16.
            try source.dequantize(
                outputs: Int(token)..<Int(token) + 1,
                into: UnsafeMutableBufferPointer(start: line, count: width))
            for column in 0..<width {
                line[column] = ElementConversion.float(half: ElementConversion.half(line[column]))
            }
            last = (token, line)
        }
        try requireFinite(after: model.embeddingName)
    }

    private func requireFinite(after name: String) throws(ConversionError) {
        guard backend.allFinite(count: states.count, states.pointer, .f32) else {
            throw ConversionError(
                .numbers, "the hidden states behind it hold infinite or NaN values",
                path: job.folder.path, tensor: name)
        }
    }

    // MARK: Layers

    /// Quantizes a layer and carries the rows through it.
    /// - Returns: the linear layers' errors, and the layer's own.
    func quantizeLayer(
        _ index: Int, advance: Advance
    ) throws -> (linears: [QuantizeReport.Linear], error: Double) {
        var hessians = try collect(index, advance)
        var linears: [QuantizeReport.Linear] = []
        for (roles, position) in zip(QuantizePlan.siblings, hessians.indices) {
            guard let hessian = hessians[position] else { continue }
            try hessian.factor(module: model.linear(roles[0], layer: index).name)
            for role in roles {
                let target = job.plan.target(model.linear(role, layer: index))
                linears.append(try quantizer.quantize(target, hessian: hessian))
                try advance(target.name, target.inputs * target.outputs)
            }
            hessians[position] = nil
        }
        let error = try carry(index, advance)
        return (linears, error)
    }

    /// Runs the unquantized layer for the Hessians of its linear layers, and keeps its first values.
    private func collect(_ index: Int, _ advance: Advance) throws -> [Hessian?] {
        let hessians = try QuantizePlan.siblings.map { roles in
            try Hessian(
                size: model.linear(roles[0], layer: index).inputs, ledger: backend.ledger)
        }
        let checkpoint = job.checkpoint
        let layer = try runner.layer(index, vectors: checkpoint) { _ in checkpoint }
        guard case .mlp(let mlp) = layer.feedForward else {
            preconditionFailure("a plan is made for layers with one MLP only")
        }
        let order = [layer.query, layer.output, mlp.gate, mlp.down]
        // A layer's value may take the place of its input only on the second run.
        let scrap = try Matrix(
            rows: job.calibration.longest, columns: model.shape.hidden, ledger: backend.ledger)
        for (row, range) in ranges.enumerated() {
            let keeps = range.upperBound <= wanted.rows
            let out = keeps ? wanted.rows(range) : scrap.rows(0..<range.count)
            try runner.observe(
                layer, states.rows(range), into: out, finishing: keeps
            ) { linears, input in
                guard let place = order.firstIndex(where: { $0 === linears.first }) else { return }
                hessians[place].add(input)
            }
            try advance("\(model.layerName(index)): row \(row + 1) of \(ranges.count)", 0)
        }
        return hessians
    }

    /// Runs the quantized layer; its values become the states. Returns the mean relative error of the first rows.
    private func carry(_ index: Int, _ advance: Advance) throws -> Double {
        let layer = try runner.layer(index, vectors: job.checkpoint) { name in
            try SafetensorsFile(path: quantizer.path(name))
        }
        var errors: [Double] = []
        for (row, range) in ranges.enumerated() {
            let x = states.rows(range)
            try runner.forward(layer, x, into: x)
            if range.upperBound <= wanted.rows {
                errors.append(relativeError(x, wanted.rows(range)))
            }
            try advance("\(model.layerName(index)): row \(row + 1) of \(ranges.count)", 0)
        }
        try requireFinite(after: model.layerName(index))
        return errors.isEmpty ? 0 : errors.reduce(0, +) / Double(errors.count)
    }

    /// Frobenius norm of the difference by that of what was wanted.
    private func relativeError(_ found: Matrix, _ wanted: Matrix) -> Double {
        var (difference, norm) = (0.0, 0.0)
        for index in 0..<found.count {
            let (a, b) = (Double(found.pointer[index]), Double(wanted.pointer[index]))
            difference += (a - b) * (a - b)
            norm += b * b
        }
        return norm > 0 ? (difference / norm).squareRoot() : 0
    }

    // MARK: Head

    /// Quantizes the head, and tells the perplexity of the first rows.
    func quantizeHead(
        advance: Advance
    ) throws -> (QuantizeReport.Linear, perplexity: Double?) {
        let target = job.plan.head
        let norm = try runner.norm(model.finalNorm, job.checkpoint)
        let normed = try Matrix(
            rows: job.calibration.longest, columns: model.shape.hidden, ledger: backend.ledger)
        var hessian: Hessian? = try Hessian(size: target.inputs, ledger: backend.ledger)
        for range in ranges {
            let x = normed.rows(0..<range.count)
            norm.forward(
                states.rows(range), into: x, epsilon: model.shape.normEpsilon, backend)
            hessian?.add(x)
        }
        try hessian?.factor(module: target.name)
        guard let factored = hessian else { preconditionFailure("no Hessian of the head") }
        let linear = try quantizer.quantize(target, hessian: factored)
        hessian = nil
        try advance(target.name, target.inputs * target.outputs)
        return (linear, try perplexity(target, norm, normed))
    }

    private func perplexity(
        _ target: LinearQuantizer.Target, _ norm: Norm, _ normed: Matrix
    ) throws -> Double? {
        let source = try LinearSource(
            module: target.name, checkpoint: SafetensorsFile(path: quantizer.path(target.name)),
            inputs: target.inputs, outputs: target.outputs)
        let head = Linear(
            name: target.name, ordinal: 0,
            weight: try source.load(as: .asStored, backend: backend), bias: nil)
        let lossHead = try LossHead(
            head: head, rows: job.calibration.longest, ledger: backend.ledger)
        var (sum, count) = (0.0, 0)
        for (row, range) in zip(job.calibration.rows, ranges).prefix(QuantizePlan.reportRows) {
            let x = normed.rows(0..<range.count)
            norm.forward(
                states.rows(range), into: x, epsilon: model.shape.normEpsilon, backend)
            let labels = Array(row.dropFirst()) + [-1]
            let losses = try lossHead.losses(
                hidden: x, labels: labels, gradientScale: 0, gradient: nil, runner.pass)
            sum += losses.reduce(0.0) { $0 + Double($1) }
            count += row.count - 1
        }
        guard count > 0, sum.isFinite else { return nil }
        return exp(sum / Double(count))
    }
}
