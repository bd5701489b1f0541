// SPDX-License-Identifier: Apache-2.0
// Runs that the system gives no more memory than was planned.
import EftConfig
import EftFormats
import EftTestSupport
import Testing

private let prlimit = ["/usr/bin/prlimit", "/bin/prlimit"].first { FileSystem.exists($0) }

@Suite(.enabled(if: prlimit != nil, "prlimit (util-linux) is not there"))
struct HardLimitTests {
    /// What the limit counts beside resident memory: stacks of two threads, of which little is ever touched, at the size
    /// that the shell sets below, and what the allocator holds in reserve.
    private static let margin = 2 << 20
    private static let stackKiB = 256

    /// Runs the program where it may have so many bytes of writable memory of its own.
    private func limited(_ bytes: Int, _ arguments: [String]) throws -> Program {
        let prlimit = try #require(prlimit)
        return try Program(
            path: "/bin/bash",
            [
                "-c", "ulimit -s \(HardLimitTests.stackKiB); exec \"$0\" \"$@\"", "env",
                // Its threads ask for 128 MiB of address space each, again and again until they get it.
                "OPENBLAS_NUM_THREADS=1", prlimit,
                "--data=\(bytes)", Program.path,
            ] + arguments)
    }

    private func planned(_ program: Program) throws -> Int {
        try #require(program.status == 0, "\(program.errors)")
        return try ConfigCursor(JSONParser.parse(program.output))
            .required("peak_memory_planned").int()
    }

    /// Runs a command whole, then streamed under a hard limit of what it is allowed to plan then.
    private func check(_ arguments: [String], percent: Int) throws {
        let whole = try planned(Program(arguments))
        let room = whole / 100 * percent
        let memory = ["--memory", "\(room)"]
        #expect(try planned(Program(arguments + memory)) <= room)
        // Not of what that run planned: the next one may find room for another layer, as the program's own part varies.
        let limit = room + HardLimitTests.margin
        #expect(try planned(limited(limit, arguments + memory)) <= room)
        // The limit is one: what would hold all layers is refused by the system.
        let refused = try limited(limit, arguments)
        #expect(refused.status == 3 && refused.errors.contains("the machine refused"))
    }

    @Test func `a streamed run`() throws {
        let models = try SmallModels(["exl2": .exl2(bits: 4)])
        try check(
            [
                "run", "-m", models.folder.file("exl2"), "-p", "One day", "-t", "3", "--json",
                "--threads", "2", "--cache-dir", models.folder.file("caches"),
            ], percent: 65)
    }

    @Test func `a streamed training step`() throws {
        let models = try SmallModels(["exl2": .exl2(bits: 4)])
        let config = try models.config("out", base: "exl2", SmallModels.lora)
        try check(
            [
                "train", config, "--json", "--threads", "2", "--cache-dir",
                models.folder.file("caches"),
            ], percent: 75)
    }
}
