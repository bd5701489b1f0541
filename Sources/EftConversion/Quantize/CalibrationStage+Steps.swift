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
            original = try RowWalk(reference, index, kept: keptOfReference, quantized: nil)
        } else {
            try findWanted(index)
        }
        let walks = Walks(
            quantized: try RowWalk(rows, index, kept: kept, quantized: quantizer.folder),
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
        }
        linears += try quantizeExperts(walks.quantized, advance: advance)
        return (linears, try finish(walks, step))
    }

    /// The values of the unquantized layer on the rows of which errors are told.
    private func findWanted(_ index: Int) throws {
        let layer = try rows.original(index)
        try rows.forEach(rows.states(index), rows: rows.reportedRows) { row, x, y in
            try rows.runner.forward(layer, x, into: y)
            try rows.requireFinite(y, after: index)
            wanted(row)?.copy(y)
        }
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
    /// - Returns: the mean relative error.
    private func finish(_ walks: Walks, _ step: (_ row: Int) throws -> Void) throws -> Double {
        let layer = try walks.quantized.layer(to: nil)
        let unquantized = try walks.original?.layer(to: nil)
        let next = try rows.writer(walks.quantized.index + 1)
        let nextOriginal = try reference?.writer(walks.quantized.index + 1)
        var errors: [Double] = []
        for row in rows.lengths.indices {
            if let original = walks.original, let unquantized {
                let value = try original.value(row, of: unquantized)
                try nextOriginal?.write(value)
                wanted(row)?.copy(value)
            }
            let value = try walks.quantized.value(row, of: layer)
            try next.write(value)
            if let wanted = wanted(row) { errors.append(value.relativeError(to: wanted)) }
            try step(row)
        }
        try nextOriginal?.finish()
        try next.finish()
        return CalibrationStage.mean(errors)
    }
}
