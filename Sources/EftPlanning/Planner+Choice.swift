// SPDX-License-Identifier: Apache-2.0
// In which form a model is best run on the devices that there are.
import EftModels
import EftNN
import EftQuant
import EftTensor

/// The form in which a model is best run.
package struct RunChoice: Sendable, Hashable {
    /// The form of its weights.
    package let kind: StageKind
    /// The memory and the speed.
    package let stage: StagePlan
    /// How keys and values are held, where it is not as was asked for.
    package let kvType: KVType?

    /// The width to which the weights are quantized first; nil when they are not.
    package var bits: Int? { if case .runEXL2(let bits) = kind { bits } else { nil } }
}

extension Planner {
    /// Widths that a plan advises, the best first: 4 bits lose little and are fast, wider ones are slower, narrower ones
    /// lose more.
    private static let advisedWidths = EXL2Geometry.uniformWidths.filter { $0 <= 4 }.reversed()

    /// Whether `eft quantize` takes the model.
    package func isQuantizable(_ subject: PlanSubject) -> Bool {
        subject.isDense
            && (try? DecoderLayouts(description, format: .exl2(bits: 4, headBits: 6))) != nil
    }

    /// The best form that fits: as it is, else quantized, else with layers read from disk.
    /// - Returns: nil when nothing fits.
    package func choice(
        _ report: PlanReport, _ subject: PlanSubject, generation: GenerationNeed
    ) -> RunChoice? {
        let asIs: StageKind = report.stage(.runStored) == nil ? .runDense : .runStored
        let quantized: [StageKind] =
            isQuantizable(subject)
            ? Planner.advisedWidths.map { .runEXL2(bits: $0) } : subject.isDense ? [.runNF4] : []
        let kinds = [asIs] + quantized
        func first(streaming: Bool, of kinds: [StageKind]) -> RunChoice? {
            for kind in kinds {
                guard let stage = report.stage(kind), stage.fits(limits),
                    streaming || stage.streaming == nil
                else { continue }
                return RunChoice(kind: kind, stage: stage, kvType: nil)
            }
            return nil
        }
        return first(streaming: false, of: kinds).map { widened($0, report) }
            ?? withNarrowerKeysAndValues(quantized, generation)
            ?? first(streaming: true, of: quantized + [asIs])
    }

    /// The widest quantization that fits and is no slower than the chosen one: where unpacking takes longer than reading,
    /// wider codes may even be faster.
    private func widened(_ choice: RunChoice, _ report: PlanReport) -> RunChoice {
        guard let bits = choice.bits, let seconds = choice.stage.estimate?.seconds else {
            return choice
        }
        for width in EXL2Geometry.uniformWidths.reversed() where width > bits {
            guard let stage = report.stage(.runEXL2(bits: width)), stage.fits(limits),
                stage.streaming == nil, let time = stage.estimate?.seconds, time <= seconds * 1.02
            else { continue }
            return RunChoice(kind: .runEXL2(bits: width), stage: stage, kvType: nil)
        }
        return choice
    }

    /// A quantization that fits in memory and is at least a fifth faster than a form that is not quantized; nil when
    /// there is none, and when speeds are not known.
    package func faster(
        than choice: RunChoice, _ report: PlanReport, _ subject: PlanSubject
    ) -> RunChoice? {
        guard [.runStored, .runDense].contains(choice.kind), isQuantizable(subject),
            let four = report.stage(.runEXL2(bits: 4)), four.fits(limits), four.streaming == nil
        else { return nil }
        let found = widened(RunChoice(kind: .runEXL2(bits: 4), stage: four, kvType: nil), report)
        guard let before = choice.stage.estimate?.seconds,
            let after = found.stage.estimate?.seconds, after * 1.2 < before
        else { return nil }
        return found
    }

    /// The first of the forms that fits with keys and values in a narrower type than was asked for.
    private func withNarrowerKeysAndValues(
        _ kinds: [StageKind], _ generation: GenerationNeed
    ) -> RunChoice? {
        let forms = kinds.compactMap { kind -> (StageKind, FitCandidate)? in
            let format: PlannedFormat =
                if case .runEXL2(let bits) = kind {
                    .exl2(bits: Double(bits), headBits: Planner.headBits(Double(bits)))
                } else { .nf4(ends: .bf16) }
            guard let layouts = try? DecoderLayouts(description, format: format) else { return nil }
            return (kind, FitCandidate(name: format.name, layouts: layouts))
        }
        let requirements = FitRequirements(
            least: generation.contextLength, most: generation.contextLength,
            kvTypes: FitRequirements.kvTypes(headDim: description.shape.headDim),
            sequences: generation.sequences)
        guard let found = fit(forms.map(\.1), requirements: requirements) else { return nil }
        let (kind, form) = forms[found.candidate]
        let stage = run(name: "run, \(form.name)", layouts: form.layouts, need: found.need)
        return RunChoice(kind: kind, stage: stage, kvType: found.need.kvType)
    }
}

extension PlanReport {
    /// The stage of a kind.
    package func stage(_ kind: StageKind) -> StagePlan? { stages.first { $0.kind == kind } }
}
