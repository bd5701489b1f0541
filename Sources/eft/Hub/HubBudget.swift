// SPDX-License-Identifier: Apache-2.0
// Whether a model can be used within the budget at all, before its weights are fetched.
import EftCommandLine
import EftFormats
import EftHub
import EftModels
import EftPlanning
import EftTensor

/// Refuses to fetch what would not fit afterwards.
enum HubBudget {
    /// The verbs that need to know the model's architecture, and that hold it in memory.
    private static let verbs: Set<String> = ["run", "chat", "eval", "serve", "train"]

    /// Plans a model from its configuration and the tables of its weights.
    ///
    /// The verb itself plans again with what it is asked for; here is refused what fits in no form, however short its
    /// texts.
    /// - Throws: `BudgetError`, `ModelError` for an architecture that is not known, `HubError`.
    static func require(
        _ fetcher: HubFetcher, _ name: HubName, _ arguments: ParsedArguments
    ) throws {
        guard verbs.contains(arguments.command.name), arguments.declares("memory") else { return }
        let skeleton: HubSkeleton
        do throws(HubError) { skeleton = try fetcher.skeleton(name) } catch {
            // A hub that gives no parts of files gives them whole.
            guard error.code == .unsupported else { throw error }
            return
        }
        // An adapter has no configuration of a model.
        guard FileSystem.exists(FileSystem.join(skeleton.path, "config.json")) else { return }
        let folder = try ModelFolder.open(skeleton.path, needsWeights: false, scores: true)
        let devices = try DeviceBudget(arguments)
        let backend = try CommonOptions.backend(arguments, limit: .max)
        let planner = Planner(
            description: folder.description, limits: devices.limits,
            weightLimits: devices.weightLimits,
            programBytes: ProcessMemory.program(for: .generation, threads: backend.threads),
            backend: backend)
        let training = Planner.TrainingOptions(
            rank: 1, sequenceLen: 16, microBatchSize: 1, microBatches: 1)
        let report = try planner.report(
            folder: folder, training: training,
            generation: GenerationNeed(contextLength: 16, sequences: 1, kvType: .bf16))
        guard !report.stages.contains(where: { $0.fits(devices.limits) }),
            let least = report.stages.min(by: { $0.over(devices.limits) < $1.over(devices.limits) })
        else { return }
        throw BudgetError(
            description:
                "\(name) does not fit the budget in any form, and nothing of its weights was fetched; the "
                + "least is '\(least.name)', for which this is enough: \(planner.enough(least))")
    }
}
