// SPDX-License-Identifier: Apache-2.0
// Adapters that begin from the base's weights: PiSSA (Meng et al. 2024), OLoRA (Büyükakyüz 2024), LoftQ (Li et al. 2023).
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor

/// Fills A and B of linear layers from their weights, as PEFT does.
///
/// PEFT takes the product that PiSSA and OLoRA begin with away from the weight. Here the weight stays as it is, also where
/// it is streamed, and a second adapter that is not trained takes the product away: its scale is negative. What is saved
/// are both in one of twice the rank, which runs on the base as it is, as PEFT's conversion has it.
struct AdapterStart {
    /// How.
    let initialization: AdapterSettings.Initialization
    /// The base's files, for what NF4 leaves of the weights.
    let folder: ModelFolder
    /// The seed of random vectors.
    let seed: UInt64

    /// Rows that are read at a time.
    private static let rows = 64

    private static func method(
        _ initialization: AdapterSettings.Initialization
    ) -> LowRank.Method? {
        switch initialization {
        case .pissa(nil), .loftq: .singular
        case .pissa(let rounds?): .randomized(rounds: rounds)
        case .olora: .orthogonal
        default: nil
        }
    }

    /// Most bytes that a layer takes for a while; 0 for adapters that do not read weights.
    static func byteCount(
        _ initialization: AdapterSettings.Initialization, inputs: Int, outputs: Int, rank: Int
    ) -> Int {
        guard let method = method(initialization) else { return 0 }
        let part = initialization == .loftq ? min(rows, outputs) * inputs * 4 : 0
        return outputs * inputs * 4
            + max(
                part,
                LowRank.byteCount(method, outputs: outputs, inputs: inputs, rank: rank))
    }

    /// Bytes that the linear-algebra library keeps once it has worked on a layer.
    static func libraryBytes(
        _ initialization: AdapterSettings.Initialization, inputs: Int, outputs: Int, rank: Int,
        threads: Int
    ) -> Int {
        method(initialization).map {
            LowRank.libraryBytes($0, outputs: outputs, inputs: inputs, rank: rank, threads: threads)
        } ?? 0
    }

    /// Fills the adapter of a layer whose weight is in memory, and the one that takes its product away.
    /// - Throws: `TrainingError` (`configuration`) for a rank beyond the weight or a scale that has no root, `TensorError`
    ///   when it does not fit the ledger, `FormatError` when the base cannot be read.
    func fill(
        _ adapter: LoRA, start: LoRA?, of linear: Linear, backend: any Backend
    ) throws {
        guard let method = Self.method(initialization) else { return }
        let (inputs, outputs) = (linear.weight.inputs, linear.weight.outputs)
        guard adapter.rank <= min(inputs, outputs) else {
            throw TrainingError(
                .configuration,
                "an adapter that begins from the weights of \(linear.name) has a rank of \(min(inputs, outputs)) at "
                    + "most, lora_r asks for \(adapter.rank)")
        }
        let w = try Matrix(
            rows: outputs, columns: inputs, ledger: backend.ledger, purpose: .workspace)
        try read(linear, into: w, backend)
        var random = NormalGenerator(seed: mixedSeed(seed, linear.ordinal))
        let lowRank = LowRank(
            outputs: outputs, inputs: inputs, rank: adapter.rank, ledger: backend.ledger)
        let isFound = try lowRank.find(
            method, of: w, a: adapter.a, b: adapter.b,
            random: { Float(random.normal()) })
        guard isFound else {
            throw TrainingError(
                .configuration,
                "the weights of \(linear.name) have no singular values that can be found; are there infinite numbers "
                    + "among them?")
        }
        if case .pissa = initialization {
            guard adapter.scale > 0 else {
                throw TrainingError(
                    .configuration,
                    "peft_init_lora_weights: pissa divides by the scale, which must be above zero; set lora_alpha so"
                )
            }
            let root = 1 / adapter.scale.squareRoot()
            backend.scale(adapter.a, by: root)
            backend.scale(adapter.b, by: root)
        }
        guard let start else { return }
        start.a.pointer.update(from: adapter.a.pointer, count: adapter.a.count)
        start.b.pointer.update(from: adapter.b.pointer, count: adapter.b.count)
    }

    /// The weight row by row, or with LoftQ what the form that it is held in leaves of it.
    private func read(_ linear: Linear, into w: Matrix, _ backend: any Backend) throws {
        func gather(_ range: Range<Int>, into target: Matrix) {
            backend.gather(linear.weight, rows: range.map { Int32($0) }, into: target)
        }
        let ranges = stride(from: 0, to: w.rows, by: Self.rows).map {
            $0..<min($0 + Self.rows, w.rows)
        }
        guard initialization == .loftq, let checkpoint = folder.checkpoint else {
            for range in ranges { gather(range, into: w.rows(range)) }
            return
        }
        let source = try LinearSource(
            module: linear.name, checkpoint: checkpoint, inputs: w.columns, outputs: w.rows)
        let held = try Matrix(
            rows: min(Self.rows, w.rows), columns: w.columns, ledger: backend.ledger,
            purpose: .workspace)
        for range in ranges {
            let (rows, part) = (w.rows(range), held.rows(0..<range.count))
            try source.dequantize(
                outputs: range,
                into: UnsafeMutableBufferPointer(start: rows.pointer, count: rows.count))
            gather(range, into: part)
            backend.addScaled(part, factor: -1, to: rows)
        }
    }
}
