// SPDX-License-Identifier: Apache-2.0
// All stages from training to running, in one table.
import EftModels
import EftNN
import EftQuant
import EftTensor

extension Planner {
    /// Plans training and running of a model; conversions between are added by those who make them.
    /// - Throws: errors of reading a folder's tables.
    package func report(
        folder: ModelFolder, training: TrainingOptions, generation: GenerationNeed
    ) throws -> PlanReport {
        let stages = try trainings(training) + runs(folder, generation).map(\.stage)
        return PlanReport(stages: stages, limits: limits)
    }

    private func trainings(_ training: TrainingOptions) throws -> [StagePlan] {
        var full = training
        full.rank = 0
        let kinds: [(StageKind, String, PlannedFormat, TrainingOptions)] = [
            (.trainAll, "train, all weights in f32", .dense(.f32), full),
            (.trainLoRA, "train, LoRA on bf16", .dense(.bf16), training),
            (.trainQLoRA, "train, QLoRA on NF4", .nf4(ends: .bf16), training),
        ]
        return try kinds.map { kind, name, format, options in
            var stage = train(
                name: name, layouts: try DecoderLayouts(description, format: format),
                options: options)
            stage.kind = kind
            return stage
        }
    }

    /// A way to run, and the weights that it takes.
    private struct PlannedRun {
        let stage: StagePlan
        let layouts: DecoderLayouts
        let load: LoadNeed
    }

    private func runs(
        _ folder: ModelFolder, _ generation: GenerationNeed
    ) throws -> [PlannedRun] {
        func planned(
            _ kind: StageKind, _ name: String, _ layouts: DecoderLayouts, _ load: LoadNeed
        ) -> PlannedRun {
            var stage = run(name: "run, " + name, layouts: layouts, load: load, need: generation)
            stage.kind = kind
            return PlannedRun(stage: stage, layouts: layouts, load: load)
        }
        var runs: [PlannedRun] = []
        if folder.checkpoint != nil {
            let stored = try DecoderLoader(folder: folder)
            runs.append(
                planned(.runStored, "as stored", try DecoderLayouts(stored), try stored.loadNeed()))
        }
        var formats: [(StageKind, PlannedFormat)] = [
            (.runDense, .dense(.bf16)), (.runNF4, .nf4(ends: .bf16)),
            (.runFP8, .fp8(group: 128, ends: .bf16)),
            (.runGPTQ(bits: 4), .gptq(PlannedFormat.GPTQForm(), ends: .f16)),
        ]
        if folder.checkpoint == nil, let published = try folder.publishedFormat() {
            formats.insert((.runStored, published), at: 0)
        }
        formats += EXL2Geometry.uniformWidths.reversed().map { bits in
            (
                .runEXL2(bits: bits),
                .exl2(bits: Double(bits), headBits: Planner.headBits(Double(bits)))
            )
        }
        for (kind, format) in formats {
            // Layers whose inputs are no multiple of 32 have no EXL2 form.
            guard let layouts = try? DecoderLayouts(description, format: format) else { continue }
            runs.append(planned(kind, format.name, layouts, LoadNeed()))
        }
        return runs
    }

    /// Several requests at once on weights of the form that is best for one, or on 4 bits where that has no room for more.
    /// - Parameter kind: the best form for one request; nil when none fits.
    /// - Throws: errors of reading a folder's tables.
    package func serving(
        _ kind: StageKind?, folder: ModelFolder, generation: GenerationNeed
    ) throws -> StagePlan? {
        var need = generation
        need.sequences = max(8, generation.sequences)
        need.prefillChunk = max(need.prefillChunk, need.sequences)
        let runs = try runs(folder, generation)
        func planned(_ kind: StageKind) -> StagePlan? {
            guard let run = runs.first(where: { $0.stage.kind == kind }) else { return nil }
            let form = run.stage.name.dropFirst("run, ".count)
            var stage = self.run(
                name: "serve \(need.sequences), \(form)", layouts: run.layouts, load: run.load,
                need: need)
            stage.kind = .serve(kind, sequences: need.sequences)
            return stage
        }
        let isDense = try folder.isDense()
        let forms: [StageKind] = [kind, isDense ? .runEXL2(bits: 4) : nil].compactMap(\.self)
        let stages = forms.compactMap(planned)
        return stages.first { $0.fits(limits) && $0.streaming == nil } ?? stages.first
            ?? planned(.runDense)
    }
}
