// SPDX-License-Identifier: Apache-2.0
// Quantizing a layer step by step: each group of linear layers for inputs that come from the quantized ones before it.
import EftFormats
import EftModels
import EftNN
import EftTensor

extension CalibrationStage {
    /// Rows on their way through a layer, and in the unquantized model where layers make up for those before.
    private struct Walks {
        let quantized: RowWalk
        let original: RowWalk?
    }

    /// Quantizes the linear layers that share inputs, one such group after the other. The rows wait before each group, and go
    /// on with its quantized weights: each product is computed once.
    func quantizeInSteps(
        _ index: Int, _ kept: PausedRows, advance: Advance
    ) throws -> (linears: [QuantizeReport.Linear], error: Double) {
        var original: RowWalk?
        if let reference, let keptOfReference {
            original = try RowWalk(reference, index, kept: keptOfReference, quantizer: nil)
        }
        let walks = Walks(
            quantized: try RowWalk(rows, index, kept: kept, quantizer: quantizer),
            original: original)
        let name = model.layerName(index)
        func step(_ row: Int) throws {
            try advance("\(name): row \(row + 1) of \(rows.lengths.count)", 0)
        }
        var linears: [QuantizeReport.Linear] = []
        let groups = QuantizePlan.siblings(index, model)
        for (pause, siblings) in zip(RowWalk.pauses(index, model), groups) {
            let (hessian, cross) = try collect(
                walks, at: pause, inputs: siblings.first?.inputs ?? 0, step)
            linears += try quantize(siblings, hessian, cross, advance: advance)
            // As behind each layer: buffers of all sizes came and went.
            Heap.giveBack()
        }
        linears += try quantizeExperts(walks.quantized, advance: advance)
        try finish(walks, step)
        return (linears, try error(walks))
    }

    /// The mean relative error of the layer's value on the first tokens of the first rows, computed exactly.
    private func error(_ walks: Walks) throws -> Double {
        let counts = QuantizePlan.reportedTokens(rows.lengths)
        // The unquantized model's states where they are there.
        let plain =
            try walks.original
            ?? RowWalk(rows, walks.quantized.index, kept: walks.quantized.kept, quantizer: nil)
        var errors: [Double] = []
        var first = 0
        func place(_ count: Int) -> Matrix {
            defer { first += count }
            return wanted.rows(first..<first + count)
        }
        do {
            let layer = try plain.wholeLayer()
            for (row, count) in counts.enumerated() {
                place(count).copy(try plain.exactValue(row, tokens: count, of: layer))
            }
        }
        first = 0
        let layer = try walks.quantized.wholeLayer()
        for (row, count) in counts.enumerated() {
            let value = try walks.quantized.exactValue(row, tokens: count, of: layer)
            errors.append(value.relativeError(to: place(count)))
        }
        return CalibrationStage.mean(errors)
    }

    /// Brings all rows to a pause.
    /// - Returns: what the linear layers behind it read, and how that differs from the unquantized model.
    private func collect(
        _ walks: Walks, at pause: LayerPause, inputs: Int, _ step: (_ row: Int) throws -> Void
    ) throws -> (Hessian, CrossHessian?) {
        let (ledger, statistics) = (job.backend.ledger, rows.runner.roughStatistics)
        let hessian = try Hessian(size: inputs, ledger: ledger)
        let layer = try walks.quantized.layer(to: pause)
        guard let original = walks.original else {
            for row in rows.lengths.indices {
                try hessian.add(
                    walks.quantized.input(row, of: layer, at: pause), backend: statistics)
                try step(row)
            }
            return (hessian, nil)
        }
        let cross = try CrossHessian(size: inputs, ledger: ledger)
        let originals = try Matrix(rows: rows.input.rows, columns: inputs, ledger: ledger)
        let unquantized = try original.layer(to: pause)
        for (row, length) in rows.lengths.enumerated() {
            let wanted = originals.rows(0..<length)
            wanted.copy(try original.input(row, of: unquantized, at: pause))
            let input = try walks.quantized.input(row, of: layer, at: pause)
            try hessian.add(input, backend: statistics)
            try cross.add(input, original: wanted, backend: statistics)
            try step(row)
        }
        return (hessian, cross)
    }

    private func quantizeExperts(
        _ walk: RowWalk, advance: Advance
    ) throws -> [QuantizeReport.Linear] {
        guard !QuantizePlan.expertOutputs(walk.index, model).isEmpty else { return [] }
        var linears: [QuantizeReport.Linear] = []
        try rows.collectExperts(walk.index, of: walk.layerOfExperts(), .rough(quantized: true)) {
            try advance($0, 0)
        } forEachRow: {
            try walk.forEachMiddle($0)
        } _: { output, hessian in
            linears += try quantize(output, ofExpert: hessian, advance: advance)
        }
        return linears
    }

    /// Carries all rows to the layer's value, the next layer's inputs.
    private func finish(_ walks: Walks, _ step: (_ row: Int) throws -> Void) throws {
        let next = walks.quantized.index + 1
        if let original = walks.original, let reference {
            try finish(original, to: reference.writer(next)) { _ in }
        }
        try finish(walks.quantized, to: rows.writer(next), step)
    }

    private func finish(
        _ walk: RowWalk, to writer: HiddenStatesWriter, _ step: (_ row: Int) throws -> Void
    ) throws {
        let layer = try walk.layer(to: nil)
        for row in rows.lengths.indices {
            try writer.write(walk.value(row, of: layer))
            try step(row)
        }
        try writer.finish()
    }
}
