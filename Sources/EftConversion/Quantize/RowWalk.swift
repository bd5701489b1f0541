// SPDX-License-Identifier: Apache-2.0
// Calibration rows that go through one layer from pause to pause, each linear layer computed once.
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor

/// What rows leave at the pauses of the layer at hand: on the disk, one row's in memory at a time. It serves one layer after
/// the other, and is gone with the process: a layer that was not finished begins anew.
final class PausedRows {
    /// What is left of a row.
    enum Part {
        /// What attention made, before its last product.
        case attended
        /// What stands before the MLP.
        case middle
        /// What the MLP's last product reads.
        case activated
    }

    private let file: SpillFile
    private let backend: CPUBackend
    /// Where each row begins in each place of parts, in bytes.
    private let places: [[Int]]
    private let isParallel: Bool
    /// Numbers in bf16 on their way to the file and back.
    private let narrow: Buffer

    /// Takes room on the disk, and the memory of `narrowBytes`.
    /// - Throws: `FormatError` where the disk is full, `TensorError` when the memory does not fit.
    init(
        _ model: DecoderDescription, lengths: [Int], folder: String, backend: CPUBackend
    ) throws {
        self.backend = backend
        isParallel = model.shape.isParallel
        var end = 0
        places = PausedRows.tokenBytes(model).map { bytes in
            lengths.map { length in
                defer { end += length * bytes }
                return end
            }
        }
        narrow = try Buffer(
            byteCount: PausedRows.narrowBytes(model, length: lengths.max() ?? 0),
            ledger: backend.ledger, purpose: .activations)
        file = try SpillFile(folder: folder, byteCount: end, cached: true)
    }

    /// Bytes of a token in each place: the MLP's last product reads when attention's is done, but in parallel layers.
    ///
    /// What a product reads is rounded there to 8 bits or to bf16 in any case, and waits in bf16.
    private static func tokenBytes(_ model: DecoderDescription) -> [Int] {
        let (attended, activated) = (widest(.output, model), widest(.down, model))
        return model.shape.isParallel
            ? [2 * activated, 2 * attended]
            : [2 * max(activated, attended), 4 * model.shape.hidden]
    }

    private static func widest(
        _ role: DecoderDescription.Role, _ model: DecoderDescription
    ) -> Int {
        model.largest { model.linear(role, layer: $0).inputs }
    }

    /// Most numbers that are rounded at once.
    private static let narrowCount = 1 << 19

    /// Bytes of memory for rows of so many tokens, under `.activations`.
    static func narrowBytes(_ model: DecoderDescription, length: Int) -> Int {
        2 * min(narrowCount, length * max(widest(.output, model), widest(.down, model)))
    }

    /// Bytes on the disk for so many tokens.
    static func byteCount(_ model: DecoderDescription, tokens: Int) -> Int {
        tokenBytes(model).reduce(0) { $0 + $1 * tokens }
    }

    private func offset(of part: Part, _ row: Int) -> Int {
        switch part {
        case .activated: places[0][row]
        case .attended: places[isParallel ? 1 : 0][row]
        case .middle: places[1][row]
        }
    }

    func write(_ part: Part, _ row: Int, _ values: Matrix) throws {
        try forEachRun(of: part, row, values) { numbers, bytes, place in
            if part != .middle {
                backend.convert(
                    count: numbers.count, from: numbers.baseAddress ?? values.pointer, .f32,
                    to: narrow.base, .bf16)
            }
            nonisolated(unsafe) let bytes = bytes
            try backend.forEachPiece(of: bytes.count) { piece in
                try file.write(
                    UnsafeRawBufferPointer(rebasing: bytes[piece]), at: place + piece.lowerBound)
            }
        }
    }

    func read(_ part: Part, _ row: Int, into values: Matrix) throws {
        try forEachRun(of: part, row, values) { numbers, bytes, place in
            nonisolated(unsafe) let bytes = bytes
            try backend.forEachPiece(of: bytes.count) { piece in
                try file.read(
                    at: place + piece.lowerBound,
                    into: UnsafeMutableRawBufferPointer(rebasing: bytes[piece]))
            }
            if part != .middle {
                backend.convert(
                    count: numbers.count, from: narrow.base, .bf16,
                    to: numbers.baseAddress ?? values.pointer, .f32)
            }
        }
    }

    /// Shows runs of a row's numbers with their bytes in memory as they stand in the file, and the place there.
    private func forEachRun(
        of part: Part, _ row: Int, _ values: Matrix,
        _ body: (
            _ numbers: UnsafeMutableBufferPointer<Float>, _ bytes: UnsafeMutableRawBufferPointer,
            _ place: Int
        ) throws -> Void
    ) throws {
        let all = UnsafeMutableBufferPointer(start: values.pointer, count: values.count)
        let place = offset(of: part, row)
        guard part != .middle else {
            return try body(all, UnsafeMutableRawBufferPointer(all), place)
        }
        for first in stride(from: 0, to: all.count, by: PausedRows.narrowCount) {
            let run = first..<min(first + PausedRows.narrowCount, all.count)
            try body(
                UnsafeMutableBufferPointer(rebasing: all[run]),
                UnsafeMutableRawBufferPointer(start: narrow.base, count: 2 * run.count),
                place + 2 * first)
        }
    }
}

/// Rows on their way through one layer, which stands still before each group of linear layers that share inputs.
struct RowWalk {
    let rows: LayerCalibration
    let index: Int
    let kept: PausedRows
    /// The layer's inputs.
    private let states: HiddenStates
    /// What has quantized linear layers; nil in the unquantized model.
    private let quantizer: LinearQuantizer?

    private var model: DecoderDescription { rows.job.folder.description }
    private var isParallel: Bool { model.shape.isParallel }

    /// Begins with the layer's inputs.
    /// - Parameter quantizer: what has quantized linear layers; nil in the unquantized model.
    init(
        _ rows: LayerCalibration, _ index: Int, kept: PausedRows, quantizer: LinearQuantizer?
    ) throws {
        self.rows = rows
        self.index = index
        self.kept = kept
        self.quantizer = quantizer
        states = try rows.states(index)
    }

    // MARK: Pauses

    /// The pauses, in the order of `QuantizePlan.siblings`.
    static func pauses(_ index: Int, _ model: DecoderDescription) -> [LayerPause] {
        let stages = model.attentionStages(layer: index).count - 1
        let first = (0..<stages).map { LayerPause.projections($0) } + [.output, .feedForward]
        return first + (first.count < QuantizePlan.siblings(index, model).count ? [.last] : [])
    }

    /// The linear layers without which rows cannot come from the pause before to a pause, or to the layer's value (nil).
    static func linears(
        to pause: LayerPause?, _ index: Int, _ model: DecoderDescription
    ) -> [DecoderDescription.LinearShape] {
        let groups = QuantizePlan.siblings(index, model)
        let stages = model.attentionStages(layer: index).count - 1
        let isMixture = model.shape(layer: index).mixture != nil
        switch pause {
        case .projections(let stage): return groups[..<stage].flatMap { $0 }
        case .output: return groups[..<stages].flatMap { $0 }
        case .feedForward: return model.shape.isParallel ? [] : groups[stages]
        case .last:
            guard isMixture else { return groups[stages + 1] }
            return model.sharedRoles.filter { !$0.isRouter && $0 != .sharedDown }
                .map { model.linear($0, layer: index) }
        case nil:
            let attention = Set(groups[...stages].flatMap { $0 }.map(\.name))
            let last =
                isMixture
                ? model.linears(layer: index).filter { !attention.contains($0.name) }
                : groups[stages + 2]
            return last + (model.shape.isParallel ? groups[stages] : [])
        }
    }

    /// The layer with the weights that rows need on their way to a pause, or to its value.
    func layer(to pause: LayerPause?) throws -> DecoderLayer {
        try layer(RowWalk.linears(to: pause, index, model))
    }

    /// The linear layers that come before experts' last products.
    static func linearsOfExperts(
        _ index: Int, _ model: DecoderDescription
    ) -> [DecoderDescription.LinearShape] {
        let roles = model.mlpRoles.filter { $0 != .down }
        return linears(to: nil, index, model).filter {
            $0.role == .router || roles.contains($0.role)
        }
    }

    /// The layer with these.
    func layerOfExperts() throws -> DecoderLayer {
        try layer(RowWalk.linearsOfExperts(index, model))
    }

    /// The layer with all weights.
    func wholeLayer() throws -> DecoderLayer { try layer(model.linears(layer: index)) }

    private func layer(_ linears: [DecoderDescription.LinearShape]) throws -> DecoderLayer {
        let needed = Dictionary(
            linears.map { ($0.name, $0.role.isRouter) }, uniquingKeysWith: { a, _ in a })
        let checkpoint = rows.job.checkpoint
        return try rows.runner.layer(
            index, vectors: checkpoint, needed: { needed[$0] != nil },
            checkpoint: { name in
                guard let quantizer, needed[name] == false else { return checkpoint }
                return try quantizer.written(quantizer.path(name))
            })
    }

    // MARK: Rows

    private func x(_ row: Int) -> Matrix { rows.input.rows(0..<rows.lengths[row]) }

    private func pass(_ row: Int) -> LayerPass {
        rows.runner.state(tokens: rows.lengths[row], .rough(quantized: quantizer != nil))
    }

    /// Brings a row to a pause, from where it stood at the one before.
    /// - Returns: what the linear layers behind it read, until the next row.
    func input(_ row: Int, of layer: DecoderLayer, at pause: LayerPause) throws -> Matrix {
        let (x, state) = (x(row), pass(row))
        switch pause {
        case .projections(let stage):
            try states.read(row, into: x)
            return try layer.projectionInput(stage, x, state)
        case .output:
            try states.read(row, into: x)
            let attended = try layer.attend(x, state)
            try kept.write(.attended, row, attended)
            return attended
        case .feedForward:
            try states.read(row, into: x)
            if !isParallel {
                try kept.read(.attended, row, into: layer.attended(x.rows, state))
                try layer.addAttended(to: x, state)
                try kept.write(.middle, row, x)
            }
            return layer.feedForwardInput(x, state)
        case .last:
            try readMiddle(row, into: x)
            let activated = try layer.activate(x, state)
            if layer.activated(x.rows, state) != nil {
                try kept.write(.activated, row, activated)
            }
            return activated
        }
    }

    /// The layer's value of a row, until the next row.
    func value(_ row: Int, of layer: DecoderLayer) throws -> Matrix {
        let (x, state) = (x(row), pass(row))
        try readMiddle(row, into: x)
        if isParallel { try kept.read(.attended, row, into: layer.attended(x.rows, state)) }
        if let activated = layer.activated(x.rows, state) {
            try kept.read(.activated, row, into: activated)
        }
        try layer.finish(x, state)
        try rows.requireFinite(x, after: index)
        return x
    }

    /// The exact value of the first tokens of a row, until the next one.
    func exactValue(_ row: Int, tokens: Int, of layer: DecoderLayer) throws -> Matrix {
        let x = x(row)
        try states.read(row, into: x)
        let (start, value) = (x.rows(0..<tokens), rows.value.rows(0..<tokens))
        try rows.runner.forward(layer, start, into: value)
        try rows.requireFinite(value, after: index)
        return value
    }

    /// Shows what stands before the MLP or the experts, row by row.
    func forEachMiddle(_ body: (_ middle: Matrix) throws -> Void) throws {
        for row in rows.lengths.indices {
            let x = x(row)
            try readMiddle(row, into: x)
            try body(x)
        }
    }

    private func readMiddle(_ row: Int, into x: Matrix) throws {
        if isParallel { return try states.read(row, into: x) }
        try kept.read(.middle, row, into: x)
    }
}
