// SPDX-License-Identifier: Apache-2.0
// The conclusion of a plan: how to run, fine-tune and serve a model here.
import EftModels
import EftQuant
import EftTensor

extension Planner {
    /// What to do with a model on these devices.
    /// - Parameters:
    ///   - choice: the form in which it is best run; nil when none fits.
    ///   - training: advice about a run whose data is known; QLoRA in general when nil.
    package func conclusion(
        _ report: PlanReport, _ subject: PlanSubject, choice: RunChoice?,
        training: PlanConclusion.Item? = nil
    ) -> PlanConclusion {
        let writer = ConclusionWriter(
            planner: self, report: report, subject: subject, choice: choice)
        let items = [training] + writer.running + [training == nil ? writer.training : nil]
        return PlanConclusion(
            headline: writer.headline, items: items.compactMap(\.self) + writer.serving)
    }
}

/// Puts a plan in words.
private struct ConclusionWriter {
    let planner: Planner
    let report: PlanReport
    let subject: PlanSubject
    let choice: RunChoice?

    private var limits: [Int] { planner.limits }

    var headline: String {
        let size = formatBytes(planner.description.parameterCount.multipliedFor16Bits)
        let count = PlanReport.count(planner.description.parameterCount)
        return "\(planner.description.architecture), \(count) parameters (\(size) in 16 bits), "
            + "within \(report.budget)"
    }

    // MARK: Running

    var running: [PlanConclusion.Item] {
        guard let choice else { return [nothingFits] }
        var items = [run(choice)]
        if let faster, let bits = faster.bits {
            items.append(
                PlanConclusion.Item(
                    "Faster, at some loss: quantized to \(bits) bits, \(speed(faster.stage)). "
                        + quantizing(bits),
                    [quantize(bits), run(quantizedFolder(bits), [])]))
        }
        return items
    }

    /// A faster form than the chosen one, which is advised besides.
    private var faster: RunChoice? {
        choice.flatMap { planner.faster(than: $0, report, subject) }
    }

    /// Whether the advice so far has made the model of a width.
    private func isMade(_ bits: Int) -> Bool {
        choice?.bits == bits || faster?.bits == bits
    }

    private func run(_ choice: RunChoice) -> PlanConclusion.Item {
        let stage = choice.stage
        var options = choice.kvType.map { ["--kv-cache-dtype", $0.rawValue] } ?? []
        var text: String
        var commands: [[String]] = []
        var folder = subject.model
        switch choice.kind {
        case .runEXL2(let bits):
            text = "Run it quantized to \(bits) bits: \(speed(stage))."
            if bits == 2 { text += " A model loses much at 2 bits." + fourBitsFromDisk }
            if let wider = wider(than: bits, choice) { text += " " + wider }
            text += " " + quantizing(bits)
            commands.append(quantize(bits))
            folder = quantizedFolder(bits)
        case .runNF4:
            text = "Run it held in NF4: \(speed(stage))."
            options.append("--load-in-4bit")
        case .runDense: text = "Run it in 16 bits: \(speed(stage))."
        default: text = "Run it as it is: \(speed(stage))."
        }
        if let kvType = choice.kvType {
            text += " Keys and values are held as \(kvType.rawValue), to make room for the context."
        }
        if stage.streaming != nil {
            text =
                "It does not fit in memory in any form that can be made, so \(layersFromDisk(stage)) "
                + "for each token. " + text
        }
        commands.append(run(folder, options))
        if !subject.hasWeights { text += " There are no weights here yet." }
        return PlanConclusion.Item(text, commands)
    }

    /// What 4 bits cost where they do not fit in memory.
    private var fourBitsFromDisk: String {
        guard let four = report.stage(.runEXL2(bits: 4)), four.fits(limits),
            four.streaming != nil
        else { return "" }
        return " At 4 bits (-b 4) \(layersFromDisk(four)) for each token, \(speed(four))."
    }

    /// Widths above the advised one that fit too.
    private func wider(than bits: Int, _ choice: RunChoice) -> String? {
        guard choice.kvType == nil, choice.stage.streaming == nil else { return nil }
        for width in EXL2Geometry.uniformWidths.reversed() where width > bits {
            guard let stage = report.stage(.runEXL2(bits: width)), stage.fits(limits),
                stage.streaming == nil
            else { continue }
            return "Nearer to the original: \(width) bits (-b \(width)) fit too, \(speed(stage))."
        }
        return nil
    }

    private var nothingFits: PlanConclusion.Item {
        var kinds: [StageKind] = [report.stage(.runStored) == nil ? .runDense : .runStored]
        if subject.isDense { kinds.append(.runNF4) }
        if planner.isQuantizable(subject) {
            kinds += EXL2Geometry.uniformWidths.map { .runEXL2(bits: $0) }
        }
        let stages = kinds.compactMap(report.stage)
        guard let least = stages.min(by: { $0.memory.total < $1.memory.total }) else {
            return PlanConclusion.Item("It cannot be run here.")
        }
        let form = least.name.dropFirst("run, ".count)
        let options = planner.enough(least)
        return PlanConclusion.Item(
            "It cannot be run within \(report.budget). The least is \(formatBytes(least.memory.total)), "
                + "with weights in the form \(form) and layers read from disk: \(options)")
    }

    // MARK: Quantizing

    private func quantizedFolder(_ bits: Int) -> String { subject.derived("\(bits)bit") }

    private var quantizeStage: (plan: StagePlan, rows: Int, length: Int)? {
        for stage in report.stages {
            if case .quantize(_, let rows, let length) = stage.kind { return (stage, rows, length) }
        }
        return nil
    }

    private func quantizing(_ bits: Int) -> String {
        guard let (plan, _, _) = quantizeStage else { return "" }
        guard plan.fits(limits) else {
            return "Quantizing itself needs \(formatBytes(plan.memory.total)), more than there is: "
                + "do it on another machine, or with more --memory."
        }
        guard let seconds = plan.estimate?.seconds else { return "It is quantized once." }
        return "Quantizing takes \(PlanReport.duration(seconds)), once."
    }

    private func quantize(_ bits: Int) -> [String] {
        var words = [
            "quantize", "-i", subject.model, "-o", subject.derived("work"), "-cf",
            quantizedFolder(bits), "-b", "\(bits)",
        ]
        if bits == 8 { words += ["-hb", "8"] }
        if let (_, rows, length) = quantizeStage {
            let usual = QuantizeDefaults(planner.description)
            if rows != usual.rows { words += ["-r", "\(rows)"] }
            if length != usual.length { words += ["-l", "\(length)"] }
        }
        if let (plan, _, _) = quantizeStage, !plan.fits(limits) {
            return words + ["--memory", "\((plan.memory.total >> 20) + 1)MiB"]
        }
        return words + subject.budget
    }

    private func run(_ folder: String, _ options: [String]) -> [String] {
        let context = subject.context.map { ["--max-seq-len", "\($0)"] } ?? []
        let verb = subject.isChat ? ["chat", folder] : ["run", folder, "Once upon a time"]
        return verb + options + context + subject.budget
    }

    // MARK: Training

    var training: PlanConclusion.Item? {
        guard let stage = report.stage(.trainQLoRA) else { return nil }
        guard stage.fits(limits) else {
            return PlanConclusion.Item(
                "Fine-tuning does not fit: \(PlanReport.shortfall(stage, limits)).")
        }
        var text = "Fine-tune it with QLoRA: "
        if let seconds = stage.estimate?.seconds {
            text += "\(PlanReport.duration(seconds)) a step of \(subject.stepTokens) tokens, "
        }
        text += "in \(formatBytes(stage.memory.total))"
        if stage.streaming != nil { text += "; \(layersFromDisk(stage)) in each pass" }
        if let sixteen = report.stage(.trainLoRA), sixteen.fits(limits), sixteen.streaming == nil,
            subject.isDense
        {
            let step = sixteen.estimate.map { ", \(PlanReport.duration($0.seconds)) a step" } ?? ""
            text += ". LoRA on the 16-bit weights fits too\(step)"
        }
        text +=
            ". qlora.yml is an Axolotl configuration; with --dataset FILE this plan shows one for your "
            + "data, and the time of the whole training."
        return PlanConclusion.Item(text, [["train", "qlora.yml"] + subject.budget])
    }

    // MARK: Serving

    var serving: [PlanConclusion.Item] {
        guard choice != nil else { return [] }
        for stage in report.stages {
            guard case .serve(let kind, let sequences) = stage.kind, stage.fits(limits) else {
                continue
            }
            var folder = subject.model
            var options: [String] = []
            var commands: [[String]] = []
            if case .runEXL2(let bits) = kind {
                guard planner.isQuantizable(subject) else { continue }
                folder = quantizedFolder(bits)
                if !isMade(bits) { commands.append(quantize(bits)) }
            } else if kind == .runNF4 {
                options = ["--load-in-4bit"]
            }
            let form = stage.name.split(separator: ", ").last.map(String.init) ?? ""
            var text =
                "Serve \(sequences) requests at once, \(form): \(speed(stage)), all together."
            if stage.streaming != nil { text += " Of it \(layersFromDisk(stage)) in each step." }
            commands.append(["serve", "-m", folder] + options + subject.budget)
            return [PlanConclusion.Item(text, commands)]
        }
        return []
    }

    // MARK: Words

    /// The speed, where it is known, and the memory.
    private func speed(_ stage: StagePlan) -> String {
        let memory = formatBytes(stage.memory.total)
        guard let speed = stage.estimate?.tokensPerSecond else { return "in \(memory)" }
        return "\(PlanReport.rate(speed)) tokens/s in \(memory)"
    }

    private func layersFromDisk(_ stage: StagePlan) -> String {
        guard let placement = stage.placement else { return "layers are read from disk" }
        guard placement.expertCount == 0 else {
            return
                "of \(placement.expertCount) experts \(placement.expertSlots) are in memory, and the others that are "
                + "chosen are read from disk (at most \(formatBytes(placement.forwardReads())))"
        }
        return "\(placement.streamed.count) of \(placement.layers) layers are read from disk"
    }
}

/// The calibration that `eft quantize` takes when none is asked for.
package struct QuantizeDefaults: Sendable, Hashable {
    /// Rows.
    package let rows = 100
    /// Tokens of each.
    package let length: Int

    /// The defaults for a model.
    package init(_ description: DecoderDescription) {
        length = min(2048, description.contextLength)
    }
}

extension Int {
    /// Bytes of so many 16-bit numbers.
    fileprivate var multipliedFor16Bits: Int { multipliedReportingOverflow(by: 2).partialValue }
}
