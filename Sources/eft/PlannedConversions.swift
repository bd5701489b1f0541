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
    let backend: CPUBackend
    let programBytes: Int
    /// The machine's speeds; times are left out when nil.
    let speeds: MachineSpeeds?

    private var description: DecoderDescription { folder.description }
    private var program: MemoryTable { MemoryTable([.program: programBytes]) }

    /// Merging, converting, and quantizing to 4 bits.
    func stages() throws -> [StagePlan] {
        let widest = description.linears(layer: 0).map { $0.inputs + $0.outputs }.max() ?? 0
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
        let copying = Estimator.copying(
            reading: bytes, from: speeds?.source, writing: bytes, to: speeds?.target)
        (merge.estimate, convert.estimate) = (copying, copying)
        return [merge, convert] + (try quantize().map { [$0] } ?? [])
    }

    /// Quantizing to 4 bits with as many calibration rows as when none are asked for; nil where layers have inputs that
    /// are no multiple of 32, which have no EXL2 form.
    private func quantize() throws -> StagePlan? {
        let length = min(2048, description.contextLength)
        let options = QuantizeOptions(bits: 4, headBits: 6, length: length)
        guard
            let memory = try? QuantizeJob.memory(
                description, options: options, stored: .bf16, backend: backend),
            let layouts = try? DecoderLayouts(description, format: .exl2(bits: 4, headBits: 6))
        else { return nil }
        // The output, the same once more in the work folder, and two generations of hidden states.
        let states = 2 * options.rows * length * description.shape.hidden * 4
        var plan = StagePlan(
            name: "quantize to 4 bits", memory: program + memory,
            disk: 2 * layouts.byteCount + states,
            detail: "\(options.rows) rows of \(length) tokens",
            remedy: "fewer or shorter rows: -r, -l")
        let job = Estimator.Quantization(
            bits: options.bits, headBits: options.headBits, rows: options.rows, length: length,
            stored: .bf16)
        plan.estimate = try speeds?.estimator(description)
            .quantize(job, from: speeds?.source, work: speeds?.target)
        return plan
    }
}
