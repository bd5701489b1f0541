// SPDX-License-Identifier: Apache-2.0
// All stages from training to running, in one table.
import EftModels
import EftNN
import EftTensor

extension Planner {
    /// Plans training, running, and the conversions between, of a model.
    /// - Parameter conversions: merging, converting and quantizing, as those who do it state their need.
    /// - Throws: errors of reading a folder's tables.
    package func report(
        folder: ModelFolder, training: TrainingOptions, conversions: [StagePlan],
        generation: GenerationNeed
    ) throws -> PlanReport {
        let stored = try folder.checkpoint.map { _ in try DecoderLoader(folder: folder) }
        let sixteen = try DecoderLayouts(description, format: .dense(.bf16))
        var stages: [StagePlan] = []
        var full = training
        full.rank = 0
        stages.append(
            train(
                name: "train, all weights in f32",
                layouts: try DecoderLayouts(description, format: .dense(.f32)), options: full))
        stages.append(train(name: "train, LoRA on bf16", layouts: sixteen, options: training))
        stages.append(
            train(
                name: "train, QLoRA on NF4",
                layouts: try DecoderLayouts(description, format: .nf4(ends: .bf16)),
                options: training))
        stages += conversions
        if let stored {
            let layouts = try DecoderLayouts(stored)
            stages.append(
                run(
                    name: "run, as stored", layouts: layouts, load: try stored.loadNeed(),
                    need: generation))
        }
        stages.append(run(name: "run, bf16", layouts: sixteen, need: generation))
        for bits in [8, 6, 4, 3, 2.4] {
            let format = PlannedFormat.exl2(bits: bits, headBits: bits == 8 ? 8 : 6)
            // Layers whose inputs are no multiple of 32 have no EXL2 form.
            guard let layouts = try? DecoderLayouts(description, format: format) else { continue }
            stages.append(run(name: "run, \(format.name)", layouts: layouts, need: generation))
        }
        stages.append(try serving(generation))
        return PlanReport(stages: stages, limits: limits)
    }

    /// Several sequences at once, on 4-bit weights where EXL2 can hold them.
    private func serving(_ generation: GenerationNeed) throws -> StagePlan {
        var need = generation
        need.sequences = max(8, generation.sequences)
        need.prefillChunk = max(need.prefillChunk, need.sequences)
        let four = PlannedFormat.exl2(bits: 4, headBits: 6)
        let quantized = try? DecoderLayouts(description, format: four)
        let layouts = try quantized ?? DecoderLayouts(description, format: .dense(.bf16))
        return run(
            name: "serve \(need.sequences), \(quantized == nil ? "bf16" : four.name)",
            layouts: layouts, need: need)
    }
}
