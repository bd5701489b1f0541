// SPDX-License-Identifier: Apache-2.0
// Event files: their bytes, and what runs write into them.
import EftConfig
import EftFormats
import EftTestSupport
import Testing

@testable import EftTraining

@Suite struct TensorBoardTests {
    /// A record as `tensorboard` 2.21 and torch's SummaryWriter write it.
    @Test func `a record has the bytes that TensorBoard's own writer makes`() {
        let record = EventRecord.scalars([("train/loss", 0.5)], step: 3, time: 2)
        let event: [UInt8] =
            [9, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x10, 3, 0x2A, 19, 0x0A, 17, 0x0A, 10]
            + Array("train/loss".utf8) + [0x15, 0, 0, 0, 0x3F]
        #expect(Array(record[12..<record.count - 4]) == event)
        #expect(Array(record.prefix(8)) == [UInt8(event.count), 0, 0, 0, 0, 0, 0, 0])
        #expect(EventRecord.masked([UInt8](0..<32)) == 0x951F_7892)
    }

    @Test(arguments: [
        ("loss", "train/loss"), ("grad_norm", "train/grad_norm"), ("eval_loss", "eval/loss"),
        ("rewards/margins", "train/rewards/margins"),
        ("eval_rewards/margins", "eval/rewards/margins"),
    ])
    func `tags are those of transformers`(_ key: String, _ tag: String) {
        #expect(TensorBoardLog.tag(key) == tag)
    }

    /// The event files below a folder, in order.
    private func files(_ folder: TemporaryFolder, _ path: String) throws -> [String] {
        try FileSystem.list(folder.file(path)).flatMap { name in
            let inner = FileSystem.join(path, name)
            return FileSystem.isFolder(folder.file(inner)) ? try files(folder, inner) : [inner]
        }
    }

    @Test func `a run writes what its log has, and a resumed one goes on beside it`() throws {
        let folder = try SmallJob.workplace()
        let keys = "use_tensorboard: true"
        _ = try SmallJob.losses(SmallJob.job(SmallJob.config(folder, keys), folder))
        let first = try files(folder, "out/runs")
        try #require(first.count == 1)
        #expect(FileSystem.name(of: first[0]).hasPrefix("events.out.tfevents."))
        let again = keys + "\nresume_from_checkpoint: \(folder.file("out/checkpoint-2"))"
        _ = try SmallJob.losses(SmallJob.job(SmallJob.config(folder, again), folder))
        let both = try files(folder, "out/runs")
        try #require(both.count == 2 && both[0] == first[0])
        #expect(FileSystem.folder(of: both[0]) == FileSystem.folder(of: both[1]))
        let whole = try EventFile(folder.file(both[0])).events
        let rest = try EventFile(folder.file(both[1])).events
        #expect(whole.first?.version == "brain.Event:2" && rest.first?.version == "brain.Event:2")
        #expect(rest.map(\.session).compactMap(\.self) == [1])
        #expect(rest.dropFirst().allSatisfy { $0.step >= 3 })
        let log = try JSONLines(folder.file("out/training_log.jsonl")).readAll()
        var steps: [Int] = []
        for line in log {
            let (step, entries) = (try line.int("step", default: 0), try line.object().entries)
            steps.append(step)
            let events = (step > 2 ? rest : whole).filter { $0.step == step }
            for (key, node) in entries where key != "step" {
                let value = try #require(node.number)
                let tag = TensorBoardLog.tag(key)
                #expect(events.contains { $0.scalars[tag] == Float(value) }, "\(tag) of \(step)")
            }
        }
        #expect(steps == [0, 1, 2, 2, 3, 4, 4])
        let last = try #require(whole.last)
        #expect(last.scalars.keys.contains("train/train_loss"))
    }

    @Test func `the folder can be chosen, and nothing is written unasked`() throws {
        let folder = try SmallJob.workplace()
        let keys = "use_tensorboard: true\nlogging_dir: \(folder.file("events/mine"))"
        _ = try SmallJob.losses(SmallJob.job(SmallJob.config(folder, keys), folder))
        #expect(try files(folder, "events/mine").count == 1)
        #expect(!FileSystem.exists(folder.file("out/runs")))
        _ = try SmallJob.losses(SmallJob.job(SmallJob.config(folder, output: "other"), folder))
        #expect(!FileSystem.exists(folder.file("other/runs")))
    }
}
