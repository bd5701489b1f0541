// SPDX-License-Identifier: Apache-2.0
// Measuring, layer by layer, what each width would cost.
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor

/// Carries measurement rows through the unquantized layers and measures the options of each block.
final class MeasurementStage {
    /// What is told on the way: what was measured, and how many weights were quantized for it.
    typealias Advance = (_ item: String, _ weights: Int) throws -> Void

    /// What the names of the states' files begin with.
    static let stem = "measurement_states-"

    private let job: QuantizeJob
    private let rows: LayerCalibration
    private let quantizer: LinearQuantizer

    private var model: DecoderDescription { job.folder.description }

    /// Most bytes that measuring a linear layer takes besides the Hessians, under `.workspace`.
    static func byteCount(
        _ linear: DecoderDescription.LinearShape, _ recipe: QuantizeRecipe, threads: Int
    ) -> Int {
        let groups = [32, 128].compactMap { size in
            EXL2Geometry.groups(
                inputs: linear.inputs,
                sections: [EXL2Section(bits: 8, groupSize: size, proportion: 1)])
        }
        guard recipe == .exllamav2 else {
            return LinearQuantizer.measuringByteCount(
                inputs: linear.inputs, outputs: linear.outputs,
                tables: groups.map { EXL2Table($0) },
                threads: threads)
        }
        return groups.map {
            LinearQuantizer.byteCount(
                inputs: linear.inputs, outputs: linear.outputs, groups: $0,
                recipe: recipe.rounding, threads: threads)
        }.max() ?? 0
    }

    /// Takes the memory.
    /// - Throws: `TensorError` when it does not fit.
    init(_ job: QuantizeJob, rows: CalibrationRows) throws(TensorError) {
        self.job = job
        self.rows = try LayerCalibration(job, rows: rows, stem: MeasurementStage.stem)
        quantizer = LinearQuantizer(
            checkpoint: job.checkpoint, folder: job.work.candidates,
            recipe: job.plan.options.rounding, backend: job.backend)
    }

    /// Writes the inputs of the first layer.
    func embed(_ rows: CalibrationRows) throws { try self.rows.embed(rows) }

    /// Measures both blocks of a layer; its values become the next one's inputs.
    func measure(
        layer: Int, advance: Advance
    ) throws -> [(key: String, options: [WidthOption])] {
        let name = model.layerName(layer)
        // The tables' recipe compares values; losses are made from Hessians alone.
        var hessians = try rows.collect(
            layer, keepsValues: true, exact: job.plan.options.recipe == .exllamav2
        ) { row, _ in
            try advance("\(name): row \(row + 1) of \(rows.lengths.count)", 0)
        }
        let blocks = WidthBlock.layer(layer, model)
        if job.plan.options.recipe == .exllamav2 {
            return try measureTables(layer, blocks, &hessians, advance)
        }
        let losses = try measureLosses(layer, &hessians, advance)
        return blocks.map { block in
            (block.key, WidthCurve.options(of: block, losses: losses))
        }
    }

    // MARK: Losses of linear layers

    /// What each linear layer can be quantized to, and what that costs, by its projection.
    private func measureLosses(
        _ layer: Int, _ hessians: inout [Hessian?], _ advance: Advance
    ) throws -> [String: [WidthCurve.Point]] {
        let sensitivity = try SafetensorsFile(path: Sensitivity.path(job.work))
        var losses: [String: [WidthCurve.Point]] = [:]
        func add(
            _ linear: DecoderDescription.LinearShape, _ hessian: Hessian,
            _ candidates: [[EXL2Section]]
        ) throws {
            let points = try points(linear, hessian, candidates, sensitivity)
            losses[linear.projection] = WidthCurve.sum(losses[linear.projection], points)
            try advance(linear.name, linear.inputs * linear.outputs)
        }
        for (siblings, position) in zip(QuantizePlan.siblings(layer, model), hessians.indices) {
            guard let hessian = hessians[position], let first = siblings.first else { continue }
            try hessian.factor(module: first.name, recipe: quantizer.recipe, backend: job.backend)
            let candidates = WidthLayouts.candidates(rowWeights: hessian.rowWeights)
            for linear in siblings { try add(linear, hessian, candidates) }
            hessians[position] = nil
        }
        // Like layers of all experts have the same widths, hence the same candidates.
        var candidates: [[EXL2Section]]?
        try rows.forEachExpert(layer) {
            try advance($0, 0)
        } _: { output, hessian in
            try hessian.factor(module: output.name, recipe: quantizer.recipe, backend: job.backend)
            let tested = candidates ?? WidthLayouts.candidates(rowWeights: hessian.rowWeights)
            candidates = tested
            try add(output, hessian, tested)
        }
        return losses
    }

    /// What a linear layer costs at each of some widths.
    private func points(
        _ linear: DecoderDescription.LinearShape, _ hessian: Hessian,
        _ candidates: [[EXL2Section]], _ sensitivity: SafetensorsFile
    ) throws -> [WidthCurve.Point] {
        let layouts = candidates.compactMap { sections in
            EXL2Geometry.groups(inputs: linear.inputs, sections: sections)
                .map { (sections: sections, groups: $0) }
        }
        let measured = try quantizer.measure(
            job.plan.target(linear), hessian: hessian,
            tables: layouts.map { EXL2Table($0.groups) },
            columnWeights: Sensitivity.weights(linear, sensitivity))
        return zip(layouts, measured).map { layout, measured in
            WidthCurve.Point(
                sections: layout.sections,
                bits: EXL2Geometry.storedBits(
                    groups: layout.groups, inputs: linear.inputs, outputs: linear.outputs,
                    bias: linear.hasBias), loss: measured.weighted)
        }
    }

    // MARK: Options of tables

    /// Quantizes with each set of widths of ExLlamaV2's tables, and runs both halves of the layer with each option.
    private func measureTables(
        _ layer: Int, _ blocks: [WidthBlock], _ hessians: inout [Hessian?], _ advance: Advance
    ) throws -> [(key: String, options: [WidthOption])] {
        let tables = [
            ExLlamaV2Tables.attention, ExLlamaV2Tables.mlp(isGated: model.shape.isGated),
        ]
        var candidates: [String: [[EXL2Section]]] = [:]
        for (block, table) in zip(blocks, tables) {
            for (column, projection) in block.projections.enumerated() {
                // An MLP beside experts takes what they take.
                candidates[projection] = table.map { block.column(column, of: $0) }.distinct()
            }
        }
        try job.work.clearCandidates()
        try rows.splitHalves(layer)
        func quantize(_ linear: DecoderDescription.LinearShape, _ hessian: Hessian) throws {
            for (place, sections) in (candidates[linear.projection] ?? []).enumerated() {
                let groups = EXL2Geometry.groups(inputs: linear.inputs, sections: sections)
                let folder = job.work.candidates(place)
                try FileSystem.createFolder(folder)
                _ = try LinearQuantizer(
                    checkpoint: job.checkpoint, folder: folder, backend: job.backend
                ).quantize(job.plan.target(linear, groups: groups ?? []), hessian: hessian)
            }
            try advance(linear.name, linear.inputs * linear.outputs)
        }
        for (siblings, position) in zip(QuantizePlan.siblings(layer, model), hessians.indices) {
            guard let hessian = hessians[position], let first = siblings.first else { continue }
            try hessian.factor(module: first.name, backend: job.backend)
            for linear in siblings { try quantize(linear, hessian) }
            hessians[position] = nil
        }
        try rows.forEachExpert(layer) {
            try advance($0, 0)
        } _: { output, hessian in
            try hessian.factor(module: output.name, backend: job.backend)
            try quantize(output, hessian)
        }
        var result: [(key: String, options: [WidthOption])] = []
        for (place, (block, table)) in zip(blocks, tables).enumerated() {
            let half: DecoderLayer.Half = place == 0 ? .attention : .feedForward
            let options = try table.map { row in
                let sections = Dictionary(
                    block.projections.enumerated().map { ($1, block.column($0, of: row)) },
                    uniquingKeysWith: { a, _ in a })
                let error = try blockError(layer, half, block, sections, candidates)
                return WidthOption(
                    accuracy: max(1e-6, 1 - error), bits: block.storedBits(sections) ?? 0,
                    sections: sections)
            }
            result.append((block.key, options))
            try advance("\(block.key): \(options.count) options", 0)
        }
        try job.work.clearCandidates()
        return result
    }

    /// The mean relative error of a half's value when its projections have such widths.
    private func blockError(
        _ index: Int, _ half: DecoderLayer.Half, _ block: WidthBlock,
        _ sections: [String: [EXL2Section]], _ candidates: [String: [[EXL2Section]]]
    ) throws -> Double {
        let tested = try rows.runner.layer(index, vectors: job.checkpoint) { name in
            guard let linear = block.linears.first(where: { $0.name == name }),
                let place = candidates[linear.projection]?
                    .firstIndex(of: sections[linear.projection] ?? [])
            else { return job.checkpoint }
            let path = FileSystem.join(job.work.candidates(place), name + ".safetensors")
            return try SafetensorsFile(path: path)
        }
        let isWhole = model.shape.isParallel
        let start = half == .attention || isWhole
        let from = try start ? rows.states(index) : rows.states(middleOf: index)
        let end = half == .feedForward || isWhole
        let to = try end ? rows.states(index + 1) : rows.states(middleOf: index)
        var sum = 0.0
        try rows.forEach(from) { row, x, wanted in
            // The halves of a parallel layer are added at once; its error is measured as a whole.
            if isWhole {
                try rows.runner.forward(tested, x, into: x)
            } else {
                try rows.runner.forward(half, of: tested, x, into: x)
            }
            try to.read(row, into: wanted)
            sum += x.relativeError(to: wanted)
        }
        return sum / Double(max(rows.lengths.count, 1))
    }
}
