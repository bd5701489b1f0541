// SPDX-License-Identifier: Apache-2.0
// Training on a base that does not fit: the same adapter, within the budget, or refused.
import EftConfig
import EftFormats
import EftModels
import EftTensor
import EftTestSupport
import EftTraining
import Testing

@Suite struct StreamedTrainingTests {
    /// The least total with which a run of so many resident layers is made.
    private func total(_ job: TrainingJob, resident: Int) throws -> Int {
        let layouts = try job.base.layouts()
        let placement = layouts.streaming(SmallJob.layers - resident)
        var memory = job.plan.placed.total
        memory[.weights] = placement.weightBytes
        memory[.window] = placement.windowBytes
        return memory.total
    }

    @Test(arguments: ["lora", "qlora"], ["llama", "qwen3", "mixtral"])
    func `a streamed run trains the same adapter, bit for bit`(
        _ adapter: String, _ type: String
    ) throws {
        let folder = try SmallJob.workplace(type)
        let targets = type == "mixtral" ? "[q_proj, v_proj, w1, w2]" : "[q_proj, v_proj]"
        let whole = try SmallJob.job(
            SmallJob.config(folder, adapter: adapter, targets: targets, output: "whole"), folder)
        #expect(!whole.plan.placed.placement.isStreaming && whole.streaming == nil)
        let expected = try SmallJob.losses(whole)
        #expect(expected.count == 4 * 2 + 3)
        let saved = try FileSystem.read(folder.file("whole/adapter_model.safetensors"))
        for resident in [0, 1, 3] {
            let output = "streamed-\(resident)"
            let limit = try total(whole, resident: resident)
            let job = try SmallJob.job(
                SmallJob.config(folder, adapter: adapter, targets: targets, output: output),
                folder, limit: limit)
            #expect(job.plan.placed.placement.residentLayers == resident)
            #expect(try SmallJob.losses(job) == expected, "\(resident) resident")
            let file = folder.file(output + "/adapter_model.safetensors")
            #expect(try FileSystem.read(file) == saved)
        }
    }

    @Test func `one byte under the least is refused before any work`() throws {
        let folder = try SmallJob.workplace()
        let whole = try SmallJob.job(SmallJob.config(folder), folder)
        let least = try total(whole, resident: 0)
        let job = try SmallJob.job(SmallJob.config(folder), folder, limit: least)
        #expect(job.plan.placed.total.total == least)
        let error = try #require(throws: TensorError.self) {
            try SmallJob.job(SmallJob.config(folder), folder, limit: least - 1)
        }
        #expect(error.code == .outOfBudget)
        #expect(error.message.contains("even with 0 of 6 layers resident"))
        #expect(error.message.contains("it fits with"))
        // What the data takes is not there for layers.
        #expect(throws: TensorError.self) {
            try SmallJob.job(SmallJob.config(folder), folder, limit: least, dataBytes: 1)
        }
        let other = try SmallJob.job(
            SmallJob.config(folder), folder, limit: least + 1000, dataBytes: 1000)
        #expect(
            other.plan.placed.placement == job.plan.placed.placement && other.programBytes == 1000)
        #expect(!FileSystem.exists(folder.file("out")))
        #expect(!FileSystem.exists(folder.file("caches")))
    }

    @Test func `a streamed run that was stopped goes on without streaming to the same adapter`()
        throws
    {
        let folder = try SmallJob.workplace()
        let whole = try SmallJob.job(SmallJob.config(folder, output: "whole"), folder)
        _ = try SmallJob.losses(whole)
        let limit = try total(whole, resident: 0)
        let job = try SmallJob.job(SmallJob.config(folder, output: "parts"), folder, limit: limit)
        var steps = 0
        let error = try #require(throws: TrainingError.self) {
            try job.run(
                onEvent: { if case .training(.step) = $0 { steps += 1 } },
                shouldStop: { steps >= 2 })
        }
        #expect(error.code == .interrupted)
        let checkpoint = folder.file("parts/checkpoint-2")
        let rest = try SmallJob.job(
            SmallJob.config(folder, output: "parts", "resume_from_checkpoint: \(checkpoint)"),
            folder)
        _ = try rest.run(onEvent: { _ in })
        let name = "adapter_model.safetensors"
        #expect(
            try FileSystem.read(folder.file("whole/" + name))
                == FileSystem.read(folder.file("parts/" + name)))
    }

    @Test func `an interruption while the cache is made leaves what is made`() throws {
        let folder = try SmallJob.workplace()
        let whole = try SmallJob.job(SmallJob.config(folder), folder)
        let job = try SmallJob.job(
            SmallJob.config(folder), folder, limit: total(whole, resident: 0))
        var repacked = 0
        let error = try #require(throws: TrainingError.self) {
            try job.run(
                onEvent: { if case .repacking(let done, _) = $0 { repacked = done } },
                shouldStop: { repacked == 2 })
        }
        #expect(error.code == .interrupted)
        let cache = try #require(job.streaming).cache
        #expect(cache.missing(job.plan.placed.placement.streamed) == [3, 4, 5])
    }

    @Test func `full training is not streamed, and says so`() throws {
        let folder = try SmallJob.workplace()
        let whole = try SmallJob.job(SmallJob.config(folder, adapter: nil), folder)
        let error = try #require(throws: TensorError.self) {
            try SmallJob.job(
                SmallJob.config(folder, adapter: nil), folder,
                limit: whole.plan.placed.total.total - 1)
        }
        #expect(error.code == .outOfBudget)
        #expect(error.message.contains("frozen base of an adapter"))
    }
}
