// SPDX-License-Identifier: Apache-2.0
// Training a model or an adapter.
import EftConfig
import EftPlanning
import EftTensor
import EftTraining

/// A training run: LoRA, QLoRA or all weights.
///
///     let training = Training(yaml: "qlora.yml", memoryLimit: 8 << 30)
///     for try await update in training.run() {
///         if case .step(let step) = update { print(step.step, step.loss) }
///     }
public struct Training: Sendable {
    /// Most bytes to hold, for each device; empty for one device with the machine's memory less a margin.
    public var memoryLimits: [Int] = []
    /// Worker threads; all processors when nil.
    public var threads: Int?
    /// Where layers are kept in the form in which they are streamed; `~/.cache/eft` when nil.
    public var cacheFolder: String?
    private let read: @Sendable () throws -> AxolotlConfig

    /// Trains as an Axolotl YAML says.
    /// - Parameters:
    ///   - path: the YAML file.
    ///   - overrides: keys that win over the file's, with values as YAML; dots lead into mappings.
    ///   - memoryLimit: most bytes to hold; the machine's memory less a margin when nil.
    public init(yaml path: String, overrides: [String: String] = [:], memoryLimit: Int? = nil) {
        memoryLimits = memoryLimit.map { [$0] } ?? []
        read = {
            let pairs = overrides.sorted { $0.key < $1.key }
            return try AxolotlConfig.read(
                path, overrides: pairs.map { ConfigOverride($0.key, $0.value) })
        }
    }

    /// Trains as Swift values say.
    public init(_ configuration: TrainingConfiguration, memoryLimit: Int? = nil) {
        memoryLimits = memoryLimit.map { [$0] } ?? []
        read = { try configuration.resolved() }
    }

    /// States the memory of the run: reads the configuration, the model's tables and the data, and writes nothing.
    /// - Throws: `EftError`.
    public func plan() async throws(EftError) -> MemoryPlan {
        try await Background.run { flag in
            let job = try job(flag)
            return MemoryPlan(stage(job), limits: limits)
        }
    }

    /// Trains; the run begins when the stream is made.
    ///
    /// A stream that is dropped, or read by a task that is canceled, ends the run after the present micro-batch; what was
    /// reached is saved as a checkpoint, from which the key `resume_from_checkpoint` goes on.
    /// - Returns: what happens, a `finished` update last. Its errors are `EftError`s.
    public func run() -> AsyncThrowingStream<TrainingUpdate, any Error> {
        Background.stream { flag, send in
            let job = try job(flag)
            let plan = MemoryPlan(stage(job), limits: limits)
            send(
                .planned(
                    plan, trainExamples: job.data.train.count,
                    validationExamples: job.data.validation.count, notices: job.notices))
            try plan.requireFit()
            let summary = try job.run(
                onEvent: { send(TrainingUpdate($0)) }, shouldStop: { flag.isRaised })
            send(TrainingUpdate(summary))
        }
    }

    private var limits: [Int] {
        memoryLimits.isEmpty ? [ProcessMemory.defaultLimit] : memoryLimits
    }

    private func job(_ flag: StopFlag) throws -> TrainingJob {
        var options = ModelOptions()
        options.memoryLimits = memoryLimits
        options.threads = threads
        try options.check()
        let config = try read()
        let workers = threads ?? ProcessMemory.processors
        let program = min(ProcessMemory.program(for: .training, threads: workers), limits[0])
        let later = min(ProcessMemory.Work.training.later, program)
        let devices = try CPUBackend.devices(limits: limits, programBytes: program - later) {
            try CPUBackend(ledger: $0, threads: threads, precision: config.precision)
        }
        return try TrainingJob(
            config, devices: devices, program: (program, later),
            dataBytes: { weights, rows in
                ProcessMemory.grown(
                    beyond: program, training: weights, rows: rows, threads: workers,
                    completes: config.training.completesPrompts)
            }, caches: cacheFolder, completions: { try CompletionEngine($0, $1) },
            shouldStop: { flag.isRaised })
    }

    private func stage(_ job: TrainingJob) -> StagePlan {
        var stage = StagePlan(name: "train", placed: job.plan.placed)
        stage.devices[0][.program] = job.programBytes
        stage.disk += (try? job.temporaryBytes) ?? 0
        return stage
    }
}
