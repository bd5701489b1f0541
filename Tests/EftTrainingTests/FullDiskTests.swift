// SPDX-License-Identifier: Apache-2.0
// Training runs whose disk fills up: what they leave, and how they go on.
import EftConfig
import EftFormats
import EftModels
import EftTensor
import EftTestSupport
import EftTraining
import Testing

#if canImport(Glibc)
    import Glibc
#endif

/// Lets no file grow beyond some bytes, in this process and for good.
private func limitFiles(to bytes: UInt) {
    signal(SIGXFSZ, SIG_IGN)
    var limit = rlimit(rlim_cur: bytes, rlim_max: .max)
    #if canImport(Glibc)
        setrlimit(__rlimit_resource_t(1), &limit)
    #endif
}

/// Ends the process when a condition does not hold.
private func demand(_ condition: Bool, _ what: @autoclosure () -> String) {
    guard !condition else { return }
    let line = Array("\(what())\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
    exit(3)
}

/// A place with a base model, data and configurations.
private struct Workplace {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try TinyModel.write(to: folder, name: "base")
        try folder.write("rows.jsonl", TinyModel.rows(24))
        let model = try ModelFolder.open(folder.file("base"), needsWeights: false)
        let backend = try CPUBackend(threads: 1)
        let decoder = try Decoder.random(model.description, seed: 5, backend: backend)
        try DecoderSaver(decoder: decoder, backend: backend, dtype: .bf16)
            .save(to: folder.file("base"))
    }

    /// Runs four steps, with a checkpoint after every second.
    func run(adapter: Bool = true, _ lines: String = "") throws {
        let shape =
            adapter ? "adapter: lora\nlora_r: 4\nlora_alpha: 8\nlora_target_linear: true\n" : ""
        let text = """
            base_model: \(folder.file("base"))
            datasets: [{path: \(folder.file("rows.jsonl")), type: alpaca}]
            output_dir: \(folder.file("out"))
            sequence_len: 384
            micro_batch_size: 2
            learning_rate: 0.01
            max_steps: 4
            save_steps: 2
            float32: true
            \(shape)\(lines)
            """
        let config = try AxolotlConfig(
            ConfigCursor(YAMLParser.parse(text, file: "c.yml"), file: "c.yml"))
        let backend = try CPUBackend(ledger: MemoryLedger(), threads: 1, precision: .f32)
        _ = try TrainingJob(config, devices: [backend]).run(onEvent: { _ in })
    }

    /// The error of a run that cannot write.
    func failure(adapter: Bool = true, _ lines: String = "") -> FormatError? {
        do { try run(adapter: adapter, lines) } catch { return error as? FormatError }
        return nil
    }

    /// What was trained, as files and bytes.
    func results() throws -> [String: FileImage] {
        try folder.tree("out").filter {
            $0.key != "training_log.jsonl" && $0.key != "axolotl_config.yml"
        }
    }
}

struct FullDiskTests {
    @Test(arguments: [("adapter_model.safetensors", true), ("model.safetensors", false)])
    func `a full disk at the end loses neither the older result nor the checkpoints`(
        _ name: String, _ adapter: Bool
    ) throws {
        let place = try Workplace()
        try place.run(adapter: adapter)
        let older = try place.results()
        try place.folder.link("out/\(name).partial", to: "/dev/full")
        let error = try #require(place.failure(adapter: adapter, "weight_decay: 0.5"))
        #expect(error.code == .io)
        #expect(error.message.contains("No space left"))
        #expect(error.message.contains("make room"))
        #expect(
            error.message.contains(
                "--resume-from-checkpoint \(place.folder.file("out/checkpoint-4"))"))
        let now = try place.results()
        #expect(now.keys == older.keys)
        for key in now.keys where !key.hasPrefix("checkpoint-") { #expect(now[key] == older[key]) }
        #expect(TrainingCheckpoint.list(place.folder.file("out")).map(\.step) == [2, 4])
        // With room again, the last checkpoint makes the result.
        try place.run(adapter: adapter, "weight_decay: 0.5\nresume_from_checkpoint: true")
        let after = try place.results()
        #expect(after[name] != older[name])
        #expect(after[name] == after["checkpoint-4/\(name)"])
    }

    @Test func `a checkpoint that does not fit is not there, and the older one is`() async {
        // In a process of its own: the limit on the size of files holds for all of it.
        await #expect(processExitsWith: .success) {
            let (place, fresh) = (try Workplace(), try Workplace())
            try place.run()
            let (older, out) = (try place.results(), place.folder.file("out"))
            let adapter = older["checkpoint-4/adapter_model.safetensors"]?.bytes.count ?? 0
            let state = older["checkpoint-4/trainer_state.safetensors"]?.bytes.count ?? 0
            demand(adapter > 1000 && state > adapter + 2000, "\(adapter), \(state)")
            // The adapter of the new checkpoint fits, its state does not; and then neither does.
            for limit in [state - 1000, adapter - 500] {
                limitFiles(to: UInt(limit))
                let error = place.failure("weight_decay: 0.5")
                demand(error?.code == .io, "\(String(describing: error))")
                demand(
                    error?.message.contains("too large") == true
                        && error?.message.contains("After step 2") == true,
                    "\(error?.message ?? "")")
                demand(try place.results() == older, "the older results changed")
                demand(TrainingCheckpoint.list(out).map(\.step) == [2, 4], "checkpoints are lost")
            }
            // The first checkpoint of another place: nothing is there to go on with.
            let error = fresh.failure()
            demand(
                error?.message.contains("nothing was saved before") == true,
                "\(String(describing: error))")
            demand(TrainingCheckpoint.list(fresh.folder.file("out")).isEmpty, "half a checkpoint")
            let left = try fresh.results().keys
            demand(left.isEmpty, "left \(left)")
        }
    }

    @Test func `a checkpoint takes the place of one with strange things in it`() throws {
        let place = try Workplace()
        try FileSystem.createFolder(place.folder.file("out/checkpoint-2/nested"))
        try FileSystem.createFolder(place.folder.file("out/checkpoint-2.partial"))
        try place.folder.write("out/checkpoint-2.partial/trainer_state.json", "left by a crash")
        try place.run()
        #expect(TrainingCheckpoint.list(place.folder.file("out")).map(\.step) == [2, 4])
        #expect(!FileSystem.exists(place.folder.file("out/checkpoint-2.partial")))
        #expect(!FileSystem.exists(place.folder.file("out/checkpoint-2/nested")))
        // What is not the program's is moved aside, not removed.
        #expect(FileSystem.exists(place.folder.file("out/checkpoint-2.older/nested")))
    }

    @Test func `an output that cannot be made is refused by name`() throws {
        let place = try Workplace()
        try place.folder.write("out", "a file")
        let error = try #require(place.failure())
        #expect(error.code == .io && error.path == place.folder.file("out"))
        #expect(try FileSystem.read(place.folder.file("out")) == Array("a file".utf8))
    }
}
