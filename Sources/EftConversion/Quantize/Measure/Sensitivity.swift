// SPDX-License-Identifier: Apache-2.0
// How much a model's predictions depend on the values of each of its linear layers.
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor

/// Measures sensitivities by one backward pass.
///
/// A small error e of a linear layer's value (one number for each output) changes the prediction by a Kullback-Leibler
/// divergence of about 1/2 e'Fe, F being the Fisher information of that value. Its diagonal is the mean square of the
/// gradient of the summed loss; the labels are the text's own tokens (the empirical Fisher information).
struct Sensitivity {
    /// Tokens of a row at most: longer rows tell little more.
    static let rowLength = 512
    /// Rows at most.
    static let rowCount = 8

    private let job: QuantizeJob
    private let rows: [[Int32]]
    private let runner: BlockRunner
    /// The value of a layer of one row, and its input.
    private let value: Matrix
    private let input: Matrix
    /// Gradients of all rows' states, `[tokens][C]`.
    private let gradients: Matrix

    private var model: DecoderDescription { job.folder.description }
    private var backend: CPUBackend { job.backend }

    /// What the pass holds beside scratch memory, moment by moment.
    static func moments(
        _ description: DecoderDescription, rows: Int, count: Int, layerBytes: Int, headBytes: Int
    ) -> [MemoryTable] {
        let hidden = description.shape.hidden
        let states = (2 + min(count, rowCount)) * rows * hidden * 4
        let sums = description.largest { layer in
            description.linears(layer: layer).reduce(0) { $0 + $1.outputs * 8 }
        }
        let fixed = MemoryTable([
            .activations: states
                + BlockRunner.byteCount(description, length: rows, backward: true)
        ])
        let losses = LossHead.byteCount(
            vocabulary: description.vocabulary, rows: rows, description.logits, backward: true)
        return [
            fixed + MemoryTable([.weights: layerBytes, .workspace: 2 * sums]),
            fixed
                + MemoryTable([
                    .weights: headBytes + description.finalNormBytes, .activations: losses,
                ]),
        ]
    }

    /// Takes the memory.
    /// - Throws: `TensorError` when it does not fit.
    init(_ job: QuantizeJob, rows: CalibrationRows) throws(TensorError) {
        self.job = job
        self.rows = rows.rows.prefix(Sensitivity.rowCount).map {
            Array($0.prefix(Sensitivity.rowLength))
        }
        let longest = self.rows.map(\.count).max() ?? 0
        let (ledger, width) = (job.backend.ledger, job.folder.description.shape.hidden)
        runner = try BlockRunner(
            job.folder.description, length: longest, backward: true, backend: job.backend)
        input = try Matrix(rows: longest, columns: width, ledger: ledger)
        value = try Matrix(rows: longest, columns: width, ledger: ledger)
        gradients = try Matrix(
            rows: self.rows.reduce(0) { $0 + $1.count }, columns: width, ledger: ledger)
    }

    // MARK: File

    /// The file of a job's sensitivities: for each linear layer a tensor `[N]`, 1/2 the mean square of the gradient.
    static func path(_ work: WorkFolder) -> String {
        FileSystem.join(work.path, "sensitivity.safetensors")
    }

    /// The sensitivity to each output of a layer.
    static func weights(
        _ linear: DecoderDescription.LinearShape, _ file: SafetensorsFile
    ) throws -> [Float] {
        var values = [Float](repeating: 0, count: linear.outputs)
        let info = try file.tensor(linear.name)
        guard info.dtype == .f32, info.shape.dims == [linear.outputs] else {
            throw ConversionError(
                .damaged, "the sensitivities are of another model; start anew with -nr",
                path: file.path, tensor: linear.name)
        }
        try values.withUnsafeMutableBytes { try file.read(linear.name, into: $0) }
        return values
    }

    // MARK: Pass

    /// Runs forward and backward and writes the file.
    /// - Parameter advance: is told after each layer.
    func run(advance: (_ item: String) throws -> Void) throws {
        let lengths = rows.map(\.count)
        try job.embed(rows, name: name(0), line: input)
        for layer in 0..<model.layers {
            let body = try original(layer)
            let from = try states(layer)
            let next = try HiddenStatesWriter(
                folder: job.work.path, name: name(layer + 1), lengths: lengths,
                width: model.shape.hidden)
            for (row, length) in lengths.enumerated() {
                let (x, y) = (input.rows(0..<length), value.rows(0..<length))
                try from.read(row, into: x)
                try runner.forward(body, x, into: y)
                try next.write(y)
            }
            try next.finish()
            try advance(model.layerName(layer) + ": sensitivity, forward")
        }
        try score()
        try backward(advance)
        try job.work.removeStates(prefix: Sensitivity.stem, except: nil)
    }

    private static let stem = "sensitivity_states-"
    private func name(_ layer: Int) -> String { Sensitivity.stem + String(layer) }

    private func states(_ layer: Int) throws -> HiddenStates {
        try HiddenStates(
            FileSystem.join(job.work.path, name(layer) + ".safetensors"),
            lengths: rows.map(\.count), width: model.shape.hidden, backend: job.backend)
    }

    private func original(_ layer: Int) throws -> DecoderLayer {
        let checkpoint = job.checkpoint
        return try runner.layer(layer, vectors: checkpoint) { _ in checkpoint }
    }

    private var ranges: [Range<Int>] {
        var first = 0
        return rows.map { row in
            defer { first += row.count }
            return first..<first + row.count
        }
    }

    /// The gradient of the last layer's value.
    private func score() throws {
        let norm = try runner.norm(model.finalNorm, job.checkpoint)
        let source = try LinearSource(
            module: job.plan.headSource, checkpoint: job.checkpoint, inputs: model.shape.hidden,
            outputs: model.vocabulary)
        let head = Linear(
            name: model.headName, ordinal: 0,
            weight: try source.load(as: .asStored, backend: backend), bias: try job.headBias())
        let losses = try LossHead(
            head: head, transform: model.logits, rows: input.rows, backward: true,
            ledger: backend.ledger)
        let last = try states(model.layers)
        gradients.zero()
        for (row, range) in ranges.enumerated() {
            let (x, normed) = (input.rows(0..<range.count), value.rows(0..<range.count))
            try last.read(row, into: x)
            norm.forward(x, into: normed, backend)
            let labels = Array(rows[row].dropFirst()) + [-1]
            // The gradient of the norm's value may take its place: the head reads its rows before it writes them.
            _ = try losses.losses(
                hidden: normed, labels: labels, gradientScale: 1, gradient: normed, runner.pass)
            norm.backward(
                x, dy: normed, into: gradients.rows(range), accumulate: true, backend)
        }
    }

    /// Carries the gradients down through the layers, and writes what they come to at each linear layer.
    private func backward(_ advance: (_ item: String) throws -> Void) throws {
        let layers = Array((0..<model.layers).reversed())
        let infos = try layers.flatMap { layer in
            try model.linears(layer: layer).map {
                try TensorInfo(name: $0.name, dtype: .f32, shape: Shape($0.outputs))
            }
        }
        let writer = try SafetensorsWriter(
            folder: job.work.path, baseName: "sensitivity", tensors: infos, maxShardBytes: .max)
        for layer in layers {
            let body = try original(layer)
            let from = try states(layer)
            let sink = GradientSquares(body.linears)
            for (row, range) in ranges.enumerated() {
                let x = input.rows(0..<range.count)
                try from.read(row, into: x)
                try runner.backward(body, x, gradient: gradients.rows(range), observer: sink)
            }
            for linear in model.linears(layer: layer) {
                let means = sink.means(linear.name, tokens: gradients.rows)
                let weights = means.map { Float(0.5 * $0) }
                guard weights.allSatisfy(\.isFinite) else {
                    throw ConversionError(
                        .numbers, "its gradients hold infinite or NaN values in calibration",
                        path: job.folder.path, tensor: linear.name)
                }
                try weights.withUnsafeBytes { try writer.write(linear.name, $0) }
            }
            try advance(model.layerName(layer) + ": sensitivity, backward")
        }
        try writer.finish()
    }
}

/// Sums up the squares of gradients. Called by one thread at a time, hence unchecked.
private final class GradientSquares: GradientObserver, @unchecked Sendable {
    private var sums: [String: [Double]]

    init(_ linears: [Linear]) {
        sums = Dictionary(
            linears.map { ($0.name, [Double](repeating: 0, count: $0.weight.outputs)) },
            uniquingKeysWith: { first, _ in first })
    }

    func observe(_ layer: Linear, gradient: Matrix) {
        let columns = gradient.columns
        sums[layer.name]?.withUnsafeMutableBufferPointer { sums in
            for row in 0..<gradient.rows {
                let line = gradient.pointer + row * columns
                for column in 0..<columns {
                    let value = Double(line[column])
                    sums[column] += value * value
                }
            }
        }
    }

    /// The mean squares of a layer's gradients over all tokens, those for which an expert does nothing included.
    func means(_ name: String, tokens: Int) -> [Double] {
        (sums[name] ?? []).map { $0 / Double(max(tokens, 1)) }
    }
}
