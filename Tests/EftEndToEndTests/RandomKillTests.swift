// SPDX-License-Identifier: Apache-2.0
// The program killed at random moments, again and again: what comes out is what comes out of a run left alone.
import EftBenchmarks
import EftConfig
import EftFormats
import EftTensor
import EftTestSupport
import Testing

struct RandomKillTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// Runs a command whole, and with another output while it is killed at moments that a seed draws, in the time that
    /// the whole run took; the last run is left to finish.
    /// - Parameters:
    ///   - afterwards: arguments of the last run, when they differ.
    /// - Returns: the program's outputs, of the run left alone and of the last one.
    private func killed(
        _ arguments: (_ output: String) -> [String], times: Int = 6, seed: UInt64,
        afterwards: (() -> [String])? = nil
    ) throws -> (whole: Program, last: Program) {
        let start = ContinuousClock.now
        let whole = try Program(arguments("whole"))
        let duration = ContinuousClock.now - start
        try #require(whole.status == 0, "\(whole.errors)")
        var random = SplitMix64(seed: seed)
        for _ in 0..<times {
            // Runs that go on where others were killed are shorter.
            let share = Double.random(in: 0.05...0.8, using: &random)
            try Program.kill(arguments("killed"), after: duration * share)
        }
        let last = try Program(afterwards?() ?? arguments("killed"))
        try #require(last.status == 0, "\(last.errors)")
        return (whole, last)
    }

    private func sameFiles() throws {
        #expect(try folder.tree("whole") == folder.tree("killed"))
    }

    /// A model that takes a moment to read and write, with the demo's tokenizer.
    private func writeModel(_ format: ShapeWriter.Format) throws -> String {
        let shape = NamedShape(
            name: "kill", vocabulary: 2048, hidden: 256, intermediate: 704, layers: 24, heads: 8,
            kvHeads: 4, headDim: 32, ropeTheta: 10000, context: 512, tied: false)
        let model = folder.file("model")
        try ShapeWriter(shape, format: format).write(to: model) { _, _ in }
        for name in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"] {
            try FileSystem.copy("Examples/demo/model/\(name)", to: "\(model)/\(name)")
        }
        return model
    }

    @Test(arguments: [
        [], ["--gradient_checkpointing", "offload_disk", "--optimizer", "paged_adamw_32bit"],
    ])
    func `streamed training`(_ more: [String]) throws {
        // Many layers: what the program holds besides differs by half a MiB from run to run.
        let model = try writeModel(.bf16)
        func arguments(_ output: String) -> [String] {
            [
                "train", "Examples/demo/qlora.yml", "--base_model", model, "--output_dir",
                folder.file(output), "--max_steps", "6", "--saves_per_epoch", "30",
                "--micro_batch_size", "1",
                "--gradient_accumulation_steps", "2", "--auto_resume_from_checkpoints", "true",
                "--evals_per_epoch", "0",
            ] + more
        }
        let free = try Program(arguments("free") + ["--json"])
        try #require(free.status == 0, "\(free.errors)")
        let planned = try ConfigCursor(JSONParser.parse(free.output))
            .required("peak_memory_planned").int()
        func streamed(_ output: String) -> [String] {
            arguments(output) + [
                "--memory", "\((planned >> 20) - 4)MiB", "--cache-dir",
                folder.file(output + "-cache"),
            ]
        }
        let (whole, last) = try killed(streamed, seed: 7) {
            let names = (try? FileSystem.list(folder.file("killed"))) ?? []
            let isBegun = names.contains { $0.hasPrefix("checkpoint-") && !$0.hasSuffix("partial") }
            return streamed("killed") + (isBegun ? ["--resume_from_checkpoint", "true"] : [])
        }
        #expect(whole.errors.contains("streaming: ") && last.errors.contains("streaming: "))
        let name = "/adapter_model.safetensors"
        let expected = try FileSystem.read(folder.file("free" + name))
        #expect(try FileSystem.read(folder.file("whole" + name)) == expected)
        #expect(try FileSystem.read(folder.file("killed" + name)) == expected)
        // Beside the results a kill may leave a small file's temporary twin, and what was being removed of an old checkpoint.
        func results(_ output: String) throws -> [String] {
            try FileSystem.list(folder.file(output))
                .filter { !$0.hasSuffix(".tmp") && !$0.hasPrefix("checkpoint-") }
        }
        let names = try results("killed")
        #expect(try names == results("whole"), "\(names)")
    }

    @Test func `a streamed run, whose cache is half written`() throws {
        let model = try writeModel(.bf16)
        let common = ["run", "-m", model, "-p", "One day", "-t", "4", "--json"]
        func answer(_ program: Program) throws -> [Int] {
            let cursor = ConfigCursor(try JSONParser.parse(program.output))
            return try cursor.required("tokens").elements().map { try $0.int() }
        }
        let free = try Program(common)
        let planned = try ConfigCursor(JSONParser.parse(free.output))
            .required("peak_memory_planned").int()
        func streamed(_ output: String) -> [String] {
            common + ["--memory", "\(planned / 100 * 70)", "--cache-dir", folder.file(output)]
        }
        let (whole, last) = try killed(streamed, seed: 11) {
            // What a run leaves that was killed while it wrote a layer that the last one does not stream.
            for cache in (try? FileSystem.list(folder.file("killed"))) ?? [] {
                _ = try? folder.plainWrite("killed/\(cache)/layer-99.panels.partial", [1, 2, 3])
            }
            return streamed("killed")
        }
        #expect(try answer(whole) == answer(free))
        #expect(try answer(last) == answer(free))
        // Which layers are streamed may differ: the program does not hold the same to the byte each time.
        let (expected, found) = (try folder.tree("whole"), try folder.tree("killed"))
        #expect(!found.keys.contains { $0.hasSuffix(OutputFile.partialSuffix) })
        for (name, bytes) in found where expected[name] != nil { #expect(bytes == expected[name]) }
        #expect(expected.keys.contains { $0.hasSuffix(".panels") && found[$0] != nil })
    }

    @Test func `a quantization`() throws {
        func arguments(_ output: String) -> [String] {
            [
                "quantize", "-i", "Examples/demo/model", "-o", folder.file(output + "-work"),
                "-cf", folder.file(output), "-b", "4", "-c", "Examples/demo/calibration.txt", "-r",
                "4", "-l", "64",
            ]
        }
        _ = try killed(arguments, seed: 13)
        try sameFiles()
    }

    @Test func `a conversion`() throws {
        let model = try writeModel(.bf16)
        _ = try killed(
            {
                ["convert", model, folder.file($0), "--dtype", "f32", "--max-shard-size", "2MB"]
            }, seed: 17)
        try sameFiles()
    }

    @Test func `a merge`() throws {
        let train = try Program(
            "train", "Examples/demo/qlora.yml", "--max_steps", "1", "--output_dir",
            folder.file("adapter"))
        try #require(train.status == 0, "\(train.errors)")
        _ = try killed(
            {
                [
                    "merge", "--base", "Examples/demo/model", "--adapter",
                    folder.file("adapter"), "-o", folder.file($0), "--dtype", "f32",
                    "--max-shard-size", "500KB",
                ]
            }, seed: 19)
        try sameFiles()
    }
}
