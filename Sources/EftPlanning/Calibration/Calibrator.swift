// SPDX-License-Identifier: Apache-2.0
// Measures a machine for its calibration, in a few seconds.
import CEftKernels
import EftModels
import EftNN
import EftQuant
import EftTensor

/// Measures the speeds of a machine.
package struct Calibrator {
    /// Told what is measured next.
    package typealias Progress = (_ what: String) throws -> Void

    /// The weights that are multiplied: as wide as a large model's, as many outputs as time allows.
    private static let inputs = 4096
    private static let mostOutputs = 4096
    /// Rows of a product of many rows.
    private static let rows = 256
    /// Bytes of weights that a one-row product runs over, more than caches hold.
    private static let vectorBytes = 160 << 20
    /// Seconds of repeats for each figure.
    private static let share = 0.02

    private let threads: Int
    private let instructionSet: InstructionSet
    private let progress: Progress

    /// Prepares to measure what a backend's workers can do; none of its memory is used.
    package init(_ backend: CPUBackend, progress: @escaping Progress = { _ in }) {
        threads = backend.threads
        instructionSet = backend.instructionSet
        self.progress = progress
    }

    private func backend(_ precision: ActivationPrecision) throws(TensorError) -> CPUBackend {
        try CPUBackend(threads: threads, precision: precision, instructionSet: instructionSet)
    }

    /// Measures all but disks; takes about 300 MiB for a few seconds.
    /// - Throws: `TensorError` when the memory cannot be had, and what `progress` throws.
    package func measure() throws -> Calibration {
        try progress("memory and arithmetic")
        let backend = try backend(.int16)
        let limits = try MachineLimits(backend)
        var products: [WeightKind: Calibration.ProductRates] = [:]
        for kind in WeightKind.all {
            try progress("products with \(kind.name) weights")
            products[kind] = try rates(kind, limits)
        }
        try progress("attention")
        return Calibration(
            machine: Calibration.Machine(backend), limits: limits, products: products,
            attention: try attention(backend), operationSeconds: try operation(backend))
    }

    // MARK: Products

    private func layout(_ kind: WeightKind, outputs: Int) -> WeightLayout {
        let inputs = Calibrator.inputs
        switch kind {
        case .f32: return WeightLayout(.f32, inputs: inputs, outputs: outputs)
        case .f16: return WeightLayout(.f16, inputs: inputs, outputs: outputs)
        case .bf16: return WeightLayout(.bf16, inputs: inputs, outputs: outputs)
        case .nf4:
            return DenseScheme.layout(
                stored: .bf16, as: .nf4(doubleQuantization: true), inputs: inputs, outputs: outputs)
        case .exl2(let bits):
            guard let groups = EXL2Geometry.uniform(bits: bits, inputs: inputs) else {
                preconditionFailure("a width that EXL2 does not have")
            }
            return EXL2Table(groups).layout(outputs: outputs)
        }
    }

    /// Precisions that make a difference to products with a form of weights on this level.
    private func precisions(_ kind: WeightKind, backward: Bool) -> [ActivationPrecision] {
        var all = [ActivationPrecision.f32]
        if kind != .f32, kind != .f16, instructionSet == .avx512BF16 { all.append(.bf16) }
        if case .exl2 = kind, !backward { all += [.int16, .int8] }
        return all
    }

    private func rates(
        _ kind: WeightKind, _ limits: MachineLimits
    ) throws -> Calibration.ProductRates {
        // Fewer outputs where a product would take more than some hundredths of a second.
        var outputs = Calibrator.mostOutputs
        while outputs > 64, operations(outputs) > limits.fmaPeak * Calibrator.share { outputs /= 2 }
        let layout = layout(kind, outputs: outputs)
        let weight = try RandomWeights.weight(layout, seed: 3, ledger: nil)
        let x = try input(rows: Calibrator.rows, columns: layout.inputs)
        let y = try input(rows: Calibrator.rows, columns: layout.outputs)
        var rates = Calibration.ProductRates(
            vectorBytes: try vectorRate(kind), product: [:], transposed: [:])
        for precision in precisions(kind, backward: false) {
            let backend = try backend(precision)
            let seconds = try Stopwatch.best(within: Calibrator.share) {
                try backend.multiply(x, weight, into: y, accumulate: false)
            }
            rates.product[precision] = operations(outputs) / seconds
        }
        for precision in precisions(kind, backward: true) {
            let backend = try backend(precision)
            let seconds = try Stopwatch.best(within: Calibrator.share) {
                try backend.multiplyTransposed(y, weight, into: x, accumulate: false)
            }
            rates.transposed[precision] = operations(outputs) / seconds
        }
        return rates
    }

    private func operations(_ outputs: Int) -> Double {
        2 * Double(Calibrator.rows) * Double(Calibrator.inputs) * Double(outputs)
    }

    /// Bytes per second of one row over different weights, one after the other.
    private func vectorRate(_ kind: WeightKind) throws -> Double {
        let layout = layout(kind, outputs: Calibrator.mostOutputs)
        let copies = max(1, Calibrator.vectorBytes / layout.byteCount)
        let weights = try (0..<copies).map {
            try RandomWeights.weight(layout, seed: UInt64($0 + 1), ledger: nil)
        }
        let backend = try backend(.int16)
        let x = try input(rows: 1, columns: layout.inputs)
        let y = try Matrix(rows: 1, columns: layout.outputs, ledger: nil)
        let seconds = try Stopwatch.best(within: Calibrator.share) {
            for weight in weights { try backend.multiply(x, weight, into: y, accumulate: false) }
        }
        return Double(copies * layout.byteCount) / seconds
    }

    private func input(rows: Int, columns: Int) throws -> Matrix {
        let matrix = try Matrix(rows: rows, columns: columns, ledger: nil)
        for index in 0..<matrix.count { matrix.pointer[index] = Float(index % 17) * 0.01 - 0.08 }
        return matrix
    }

    // MARK: The rest

    /// A sequence of 512 tokens in a layer of common shape, in f32.
    private func attention(_ backend: CPUBackend) throws -> Calibration.AttentionRates {
        let tokens = 512
        let shape = DecoderShape(
            hidden: 1024, intermediate: 1024, heads: 16, kvHeads: 4, headDim: 64, normEpsilon: 1e-5)
        let cache = try PassCache(
            pageCount: pageCount(tokens: tokens), shape: shape, backward: true, ledger: nil)
        let batch = DecoderBatch(sequences: [[Int32](repeating: 0, count: tokens)])
        let runs = cache.attentionRuns(layer: 0, batch: batch)
        let form = shape.attention(kvType: .f32)
        let q = try input(rows: tokens, columns: shape.queryWidth)
        let out = try input(rows: tokens, columns: shape.queryWidth)
        let lse = try Matrix(rows: tokens, columns: shape.heads, ledger: nil)
        let keys = try input(rows: tokens, columns: shape.keyWidth)
        for run in runs {
            backend.writeKV(form, k: keys, v: keys, firstPosition: 0, pages: run.pages)
        }
        let forward = Stopwatch.best(within: Calibrator.share) {
            backend.attention(form, runs: runs, q: q, out: out, lse: lse)
        }
        let dq = try input(rows: tokens, columns: shape.queryWidth)
        let backward = Stopwatch.best(within: Calibrator.share) {
            cache.zeroGradients()
            backend.attentionBackward(
                form, runs: runs, q: q, out: out, lse: lse, dout: q, dq: dq)
        }
        let operations = shape.attentionOperations(rows: tokens, firstPosition: 0)
        return Calibration.AttentionRates(
            forward: operations / forward,
            backward: AttentionCost.backwardFactor * operations / backward)
    }

    /// Seconds of a product of one row with a weight so small that it stays in the caches.
    private func operation(_ backend: CPUBackend) throws -> Double {
        let layout = layout(.exl2(bits: 4), outputs: 16 * threads)
        let weight = try RandomWeights.weight(layout, seed: 1, ledger: nil)
        let x = try input(rows: 1, columns: layout.inputs)
        let y = try Matrix(rows: 1, columns: layout.outputs, ledger: nil)
        let repeats = 64
        return try Stopwatch.best(within: Calibrator.share) {
            for _ in 0..<repeats { try backend.multiply(x, weight, into: y, accumulate: false) }
        } / Double(repeats)
    }
}
