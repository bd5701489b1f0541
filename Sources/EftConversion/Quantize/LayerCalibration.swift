// SPDX-License-Identifier: Apache-2.0
// Calibration rows on their way through one layer, and the Hessians that they leave behind.
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor

/// Runs layers on calibration rows whose states lie on the disk; one row's states are in memory at a time.
final class LayerCalibration {
    /// Runs layers.
    let runner: BlockRunner
    /// Tokens of each row.
    let lengths: [Int]
    let job: QuantizeJob
    /// Places of a row's states and of what becomes of them.
    let input: Matrix
    let value: Matrix
    /// What the names of states begin with.
    private let stem: String

    private var model: DecoderDescription { job.folder.description }

    /// Takes the memory.
    /// - Parameters:
    ///   - stem: what the names of the states' files begin with.
    ///   - runner: one that is there already for such rows.
    /// - Throws: `TensorError` when it does not fit.
    init(
        _ job: QuantizeJob, rows: CalibrationRows, stem: String, runner: BlockRunner? = nil
    ) throws(TensorError) {
        self.job = job
        self.stem = stem
        lengths = rows.rows.map(\.count)
        let (ledger, width) = (job.backend.ledger, job.folder.description.shape.hidden)
        input = try Matrix(rows: rows.longest, columns: width, ledger: ledger)
        value = try Matrix(rows: rows.longest, columns: width, ledger: ledger)
        if let runner {
            self.runner = runner
        } else {
            self.runner = try BlockRunner(
                job.folder.description, length: rows.longest, backend: job.backend)
        }
    }

    // MARK: States

    /// Writes the embeddings of all rows, the inputs of the first layer.
    /// - Parameter weight: the embedding; the source's when nil.
    func embed(_ rows: CalibrationRows, with weight: PackedWeight? = nil) throws {
        try job.embed(rows.rows, name: stem + "0", line: input, weight: weight)
    }

    /// The inputs of a layer.
    func states(_ layer: Int) throws -> HiddenStates {
        try HiddenStates(
            FileSystem.join(job.work.path, "\(stem)\(layer).safetensors"), lengths: lengths,
            width: model.shape.hidden, backend: job.backend)
    }

    /// Begins the inputs of a layer.
    func writer(_ layer: Int) throws -> HiddenStatesWriter {
        try HiddenStatesWriter(
            folder: job.work.path, name: "\(stem)\(layer)", lengths: lengths,
            width: model.shape.hidden)
    }

    // MARK: Layers

    /// The layer with the weights of the source.
    func original(_ index: Int) throws -> DecoderLayer {
        let checkpoint = job.checkpoint
        return try runner.layer(index, vectors: checkpoint) { _ in checkpoint }
    }

    /// Visits the states of all rows, or of the first ones.
    /// - Parameter body: the row, its states, and a place for as many values.
    func forEach(
        _ states: HiddenStates, rows count: Int = .max,
        _ body: (_ row: Int, _ x: Matrix, _ room: Matrix) throws -> Void
    ) throws {
        for (row, length) in lengths.prefix(count).enumerated() {
            let (x, y) = (input.rows(0..<length), value.rows(0..<length))
            try states.read(row, into: x)
            try body(row, x, y)
        }
    }

    /// Runs attention alone, so that there are states between the halves of a layer.
    func splitHalves(_ index: Int) throws {
        let layer = try original(index)
        let writer = try HiddenStatesWriter(
            folder: job.work.path, name: "\(stem)\(index)-middle", lengths: lengths,
            width: model.shape.hidden)
        try forEach(states(index)) { _, x, y in
            // Both halves of a parallel layer read its input.
            if model.shape.isParallel { return try writer.write(x) }
            try runner.forward(.attention, of: layer, x, into: y)
            try writer.write(y)
        }
        try writer.finish()
    }

    /// The states between the halves of a layer.
    func states(middleOf layer: Int) throws -> HiddenStates {
        try HiddenStates(
            FileSystem.join(job.work.path, "\(stem)\(layer)-middle.safetensors"),
            lengths: lengths, width: model.shape.hidden, backend: job.backend)
    }

    /// Runs the unquantized layer for the Hessians of its linear layers.
    /// - Parameters:
    ///   - keepsValues: whether its values become the next layer's inputs.
    ///   - exact: whether these are computed as when the model generates, or in bf16.
    ///   - visits: which rows' values are wanted, when they do not.
    ///   - visit: sees each row, with its value where that is wanted.
    func collect(
        _ index: Int, keepsValues: Bool, exact: Bool = true,
        visits: (_ row: Int) -> Bool = { _ in false },
        visit: (_ row: Int, _ value: Matrix) throws -> Void
    ) throws -> [Hessian?] {
        let hessians = try siblingInputs(index).map {
            try Hessian(size: $0, ledger: job.backend.ledger)
        }
        let layer = try original(index)
        let (order, statistics) = (firstSiblings(layer), runner.statistics)
        let next = keepsValues ? try writer(index + 1) : nil
        try forEach(states(index)) { row, x, y in
            try runner.observe(
                layer, x, into: y, finishing: keepsValues || visits(row), exact: exact
            ) { linears, input in
                guard let place = order.firstIndex(where: { $0 === linears.first }) else { return }
                try hessians[place].add(input, backend: statistics)
            }
            try requireFinite(y, after: index)
            try next?.write(y)
            try visit(row, y)
        }
        try next?.finish()
        return hessians
    }

    /// The inputs of each group of siblings.
    private func siblingInputs(_ layer: Int) -> [Int] {
        QuantizePlan.siblings(layer, model).compactMap { $0.first?.inputs }
    }

    /// The first layer to see the inputs of each group of siblings; of experts' first products the router does.
    private func firstSiblings(_ layer: DecoderLayer) -> [Linear] {
        let attention = layer.projections.stages.compactMap(\.first) + [layer.output]
        return switch layer.feedForward {
        case .mlp(let mlp): attention + mlp.first.prefix(1) + [mlp.down]
        case .mixture(let mixture):
            attention + [mixture.router] + (mixture.shared.map { [$0.mlp.down] } ?? [])
        }
    }

    /// Collects the Hessians of the experts' last products, one at a time, from the states between the halves of the
    /// unquantized layer.
    /// - Parameters:
    ///   - advance: is told each expert before its tokens are seen.
    ///   - body: receives the expert's last product and its Hessian, which is supplemented where few tokens came.
    func forEachExpert(
        _ index: Int, advance: (_ item: String) throws -> Void,
        _ body: (_ output: DecoderDescription.LinearShape, _ hessian: Hessian) throws -> Void
    ) throws {
        let outputs = QuantizePlan.expertOutputs(index, model)
        guard !outputs.isEmpty else { return }
        try splitHalves(index)
        let layer = try original(index)
        let middles = try states(middleOf: index)
        try collectExperts(index, of: layer, .observing, advance: advance) { see in
            try forEach(middles) { _, x, _ in try see(x) }
        } _: {
            try body($0, $1)
        }
    }

    /// Collects the Hessians of the experts' last products, one at a time.
    /// - Parameters:
    ///   - precision: of the pass.
    ///   - forEachRow: shows what stands before the experts, row by row.
    func collectExperts(
        _ index: Int, of layer: DecoderLayer, _ precision: BlockRunner.Precision,
        advance: (_ item: String) throws -> Void,
        forEachRow: (_ see: (_ middle: Matrix) throws -> Void) throws -> Void,
        _ body: (_ output: DecoderDescription.LinearShape, _ hessian: Hessian) throws -> Void
    ) throws {
        let statistics =
            precision.isRough ? runner.roughStatistics : runner.statistics
        for (expert, output) in QuantizePlan.expertOutputs(index, model).enumerated() {
            try advance(output.name)
            let hessian = try Hessian(size: output.inputs, ledger: job.backend.ledger)
            try forEachRow { middle in
                try runner.observe(expert: expert, of: layer, middle, precision) {
                    linears, input in
                    guard linears.first?.name == output.name else { return }
                    try hessian.add(input, backend: statistics)
                }
            }
            hessian.supplement()
            try body(output, hessian)
        }
    }

    /// The Hessian of the head's inputs: of the states behind the last layer, normed.
    func collectHead() throws -> Hessian {
        let norm = try runner.norm(model.finalNorm, job.checkpoint)
        let hessian = try Hessian(size: model.shape.hidden, ledger: job.backend.ledger)
        try forEach(states(model.layers)) { _, x, normed in
            norm.forward(x, into: normed, job.backend)
            try hessian.add(normed, backend: runner.statistics)
        }
        return hessian
    }

    /// Runs a layer; its values become the next one's inputs.
    /// - Parameter visit: sees each row's value.
    func carry(
        _ index: Int, through layer: DecoderLayer,
        visit: (_ row: Int, _ value: Matrix) throws -> Void
    ) throws {
        let next = try writer(index + 1)
        try forEach(states(index)) { row, x, y in
            try runner.forward(layer, x, into: y)
            try requireFinite(y, after: index)
            try next.write(y)
            try visit(row, y)
        }
        try next.finish()
    }

    /// Refuses values that are not finite.
    func requireFinite(_ states: Matrix, after layer: Int) throws(ConversionError) {
        guard job.backend.allFinite(count: states.count, states.pointer, .f32) else {
            throw ConversionError(
                .numbers, "the hidden states behind it hold infinite or NaN values",
                path: job.folder.path, tensor: model.layerName(layer))
        }
    }
}

extension QuantizeJob {
    /// The head's bias; nil where it has none.
    func headBias() throws -> Buffer? {
        guard folder.description.headBias else { return nil }
        return try VectorSource.load(
            folder.description.headName + ".bias", count: folder.description.vocabulary,
            checkpoint: checkpoint, backend: backend)
    }

    /// Writes the embeddings of rows of tokens, as the finished model has them: in f16 where they are not quantized.
    /// - Parameters:
    ///   - line: room for the states of the longest row.
    ///   - weight: a quantized embedding; the source's when nil.
    /// - Throws: `FormatError`, `ConversionError` (`numbers`).
    func embed(
        _ rows: [[Int32]], name: String, line: Matrix, weight: PackedWeight? = nil
    ) throws {
        let (model, width) = (folder.description, line.columns)
        let source = try LinearSource(
            module: model.embeddingName, checkpoint: checkpoint, inputs: width,
            outputs: model.vocabulary)
        let writer = try HiddenStatesWriter(
            folder: work.path, name: name, lengths: rows.map(\.count), width: width)
        for tokens in rows {
            let states = line.rows(0..<tokens.count)
            if let weight {
                backend.gather(weight, rows: tokens, into: states)
            } else {
                try embed(tokens, from: source, into: states)
            }
            if model.embeddingScale != 1 { backend.scale(states, by: model.embeddingScale) }
            try addPositions(to: states)
            guard backend.allFinite(count: states.count, states.pointer, .f32) else {
                throw ConversionError(
                    .numbers, "the embeddings hold values that are infinite or NaN in f16",
                    path: folder.path, tensor: model.embeddingName)
            }
            try writer.write(states)
        }
        try writer.finish()
    }

    /// Adds learned positions as the finished model has them: in f16.
    private func addPositions(to states: Matrix) throws {
        guard let table = folder.description.positions else { return }
        var numbers = [Float](repeating: 0, count: states.columns)
        for row in 0..<states.rows {
            let first = (table.first + row) * states.columns
            try numbers.withUnsafeMutableBufferPointer {
                try checkpoint.readFloats(
                    table.weight, elements: first..<first + states.columns, into: $0)
            }
            let line = states.pointer + row * states.columns
            for column in 0..<states.columns {
                line[column] += ElementConversion.float(
                    half: ElementConversion.half(numbers[column]))
            }
        }
    }

    private func embed(_ tokens: [Int32], from source: LinearSource, into states: Matrix) throws {
        let width = states.columns
        var last: (token: Int32, line: UnsafeMutablePointer<Float>)?
        // Each token's embedding is read once.
        for place in tokens.indices.sorted(by: { tokens[$0] < tokens[$1] }) {
            let (token, line) = (tokens[place], states.pointer + place * width)
            if let last, last.token == token {
                line.update(from: last.line, count: width)
                continue
            }
            try source.dequantize(
                outputs: Int(token)..<Int(token) + 1,
                into: UnsafeMutableBufferPointer(start: line, count: width))
            for column in 0..<width {
                line[column] = ElementConversion.float(half: ElementConversion.half(line[column]))
            }
            last = (token, line)
        }
    }
}
