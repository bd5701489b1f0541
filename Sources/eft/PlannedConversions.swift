// SPDX-License-Identifier: Apache-2.0
// Merging, converting and quantizing a model, as those who do it state their need.
import EftConversion
import EftFormats
import EftModels
import EftPlanning
import EftTensor

/// Plans conversions of a model, which may be a bare config.json.
struct PlannedConversions {
    let folder: ModelFolder
    /// Rank of the adapter that is merged.
    let rank: Int
    /// The width to which the model is quantized.
    let bits: Int
    let backend: CPUBackend
    let programBytes: Int
    /// Bytes that each device may hold.
    let limits: [Int]
    /// The machine's speeds; times are left out when nil.
    let speeds: MachineSpeeds?

    private var description: DecoderDescription { folder.description }
    private var program: MemoryTable { MemoryTable([.program: programBytes]) }

    /// Merging, converting, and quantizing.
    func stages() throws -> [StagePlan] {
        let widest = description.distinctLinears.map { $0.inputs + $0.outputs }.max() ?? 0
        let bytes = description.parameterCount * 2
        var merge = StagePlan(
            name: "merge to 16 bits",
            memory: program
                + AdapterMerger.memory(
                    description, adapterBytes: widest * rank * 4, roundTripsNF4: true,
                    backend: backend), disk: bytes, detail: "an adapter of rank \(rank)")
        var convert = StagePlan(
            name: "convert to 16 bits", memory: program + CheckpointConverter.memory, disk: bytes,
            detail: "from as many bytes")
        (merge.kind, convert.kind) = (.merge, .convert)
        let copying = Estimator.copying(
            reading: bytes, from: speeds?.source, writing: bytes, to: speeds?.target)
        (merge.estimate, convert.estimate) = (copying, copying)
        return [merge, convert] + (try quantize().map { [$0] } ?? [])
    }

    /// Quantizing with as many calibration rows as when none are asked for, or with as many as fit; nil for models that
    /// are not quantized: layers with inputs that are no multiple of 32.
    private func quantize() throws -> StagePlan? {
        let usual = QuantizeDefaults(description)
        var plan = try quantize(rows: usual.rows, length: usual.length)
        guard let usualPlan = plan, !usualPlan.fits(limits) else { return plan }
        for (rows, length) in [(50, usual.length), (25, usual.length), (25, 512), (16, 128)]
        where length <= usual.length {
            plan = try quantize(rows: rows, length: length)
            if let plan, plan.fits(limits) { return plan }
        }
        return usualPlan
    }

    private func quantize(rows: Int, length: Int) throws -> StagePlan? {
        let options = QuantizeOptions(
            bits: Double(bits), recipe: .uniform, headBits: Planner.headBits(Double(bits)),
            rows: rows, length: length)
        guard
            let memory = try? QuantizeJob.memory(
                description, options: options, stored: .bf16, backend: backend),
            let layouts = try? DecoderLayouts(
                description, format: .exl2(bits: Double(bits), headBits: options.headBits))
        else { return nil }
        // The output, the same once more in the work folder, and the rows on their way.
        let states = QuantizeJob.stateBytes(
            description, options: options, tokens: rows * length)
        var plan = StagePlan(
            name: "quantize to \(bits) bits", memory: program + memory,
            disk: 2 * layouts.byteCount + states,
            detail: "\(rows) rows of \(length) tokens",
            remedy: "fewer or shorter rows: -r, -l")
        plan.kind = .quantize(bits: bits, rows: rows, length: length)
        let job = Estimator.Quantization(
            bits: bits, headBits: options.headBits, rows: rows, length: length, stored: .bf16)
        plan.estimate = try speeds?.estimator(description)
            .quantize(job, from: speeds?.source, work: speeds?.target)
        return plan
    }
}
