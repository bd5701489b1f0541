// SPDX-License-Identifier: Apache-2.0
// What goes to the disk, and what is served by one pass over the weights, changes no number.
import EftFormats
import EftModels
import EftTensor
import EftTestSupport
import EftTraining
import Testing

@Suite struct SpilledTrainingTests {
    private func result(_ job: TrainingJob, _ folder: TemporaryFolder, _ output: String) throws
        -> (losses: [Double], adapter: [UInt8])
    {
        let losses = try SmallJob.losses(job)
        return (losses, try FileSystem.read(folder.file(output + "/adapter_model.safetensors")))
    }

    @Test(
        arguments: ["lora", "qlora"],
        [
            ("true", "optimizer: paged_adamw_32bit"), ("offload_disk", ""),
            ("offload_disk", "optimizer: paged_adamw_8bit"),
        ])
    func `inputs and moments on the disk train the same adapter`(
        _ adapter: String, _ words: (String, String)
    ) throws {
        let (checkpointing, lines) = words
        let folder = try SmallJob.workplace()
        let expected = try result(
            SmallJob.job(SmallJob.config(folder, adapter: adapter, output: "plain"), folder),
            folder, "plain")
        let job = try SmallJob.job(
            SmallJob.config(
                folder, adapter: adapter, output: "out", checkpointing: checkpointing, lines),
            folder)
        let found = try result(job, folder, "out")
        #expect(found.losses == expected.losses && found.adapter == expected.adapter)
        let left = try FileSystem.list(folder.file("out")).filter { $0.hasPrefix(".eft") }
        #expect(left.isEmpty)
    }

    @Test func `a run with paged moments goes on where it was stopped`() throws {
        let folder = try SmallJob.workplace()
        let paged = "optimizer: paged_adamw_32bit"
        let whole = try result(
            SmallJob.job(SmallJob.config(folder, output: "whole", paged), folder), folder, "whole")
        var steps = 0
        let first = try SmallJob.job(SmallJob.config(folder, output: "out", paged), folder)
        #expect(throws: TrainingError.self) {
            try first.run(
                onEvent: { if case .training(.step) = $0 { steps += 1 } },
                shouldStop: { steps == 3 })
        }
        // Without paging, so that what was saved is what any run reads.
        let again = try SmallJob.job(
            SmallJob.config(folder, output: "out", "resume_from_checkpoint: true"), folder)
        let found = try result(again, folder, "out")
        #expect(found.adapter == whole.adapter)
    }

    @Test(arguments: ["true", "offload_disk"], [2, 3, 5])
    func `one pass over the weights serves several micro-batches`(
        _ checkpointing: String, _ accumulation: Int
    ) throws {
        // The demo's layers are large beside a few short rows.
        let folder = try TemporaryFolder()
        let words = (0..<12).map { #"{"text": "Tale \#($0) of a fox."}"# }
        try folder.write("tales.jsonl", words.joined(separator: "\n"))
        func job(_ output: String, limit: Int = .max) throws -> TrainingJob {
            try SmallJob.job(
                SmallJob.config(
                    folder, output: output, accumulation: accumulation,
                    checkpointing: output == "whole" ? "true" : checkpointing,
                    base: Fixtures.packageRoot + "/Examples/demo/model",
                    data: "{path: \(folder.file("tales.jsonl")), type: completion}"), folder,
                limit: limit)
        }
        let whole = try job("whole")
        let expected = try result(whole, folder, "whole")
        #expect(whole.plan.joined == 1)
        // Not enough for all layers, more than enough for the rows of all micro-batches.
        let joined = try job("out", limit: whole.plan.placed.total.total * 9 / 10)
        #expect(joined.plan.placed.placement.isStreaming && joined.plan.joined == accumulation)
        let found = try result(joined, folder, "out")
        #expect(found.losses == expected.losses && found.adapter == expected.adapter)
    }

    @Test func `a full disk is said before the first step`() throws {
        let folder = try SmallJob.workplace()
        let backend = try CPUBackend(threads: 1)
        let model = try ModelFolder.open(folder.file("base"))
        let decoder = try DecoderLoader(folder: model).load(backend: backend)
        let need = TrainingNeed(
            rows: 1 << 12, sequences: 1, checkpointing: .disk)
        let error = try #require(throws: FormatError.self) {
            try TrainingPass(decoder: decoder, need: need, spillFolder: folder.file("nowhere"))
        }
        #expect(error.code == .io && error.message.contains("temporary"))
    }
}
