// SPDX-License-Identifier: Apache-2.0
// Widths that are chosen by what a model may take when it runs.
import EftBenchmarks
import EftConfig
import EftFormats
import EftTestSupport
import Testing

struct FitTests {
    private static let shape = NamedShape(
        name: "fit", vocabulary: 1024, hidden: 256, intermediate: 512, layers: 4, heads: 4,
        kvHeads: 2, headDim: 64, ropeTheta: 10000, context: 1024, tied: false)

    /// The width that is chosen, or the exit status.
    private func bits(_ models: SmallModels, _ options: [String]) throws -> (Double?, Int) {
        let program = try Program(
            [
                "quantize", "-i", models.folder.file("dense"), "-o", models.folder.file("work"),
                "-cf", models.folder.file("out"), "--dry-run",
            ] + options)
        let line = program.errors.split(separator: "\n").first { $0.hasPrefix("fit: ") }
        let word = line?.dropFirst("fit: ".count).prefix { $0 != " " }
        return (word.flatMap { Double($0) }, Int(program.status))
    }

    @Test func `more memory gives more bits, and too little is refused`() throws {
        let models = try SmallModels(["dense": .bf16], shape: Self.shape)
        let (most, status) = try bits(models, ["--fit", "24GiB", "--context", "1024"])
        #expect(status == 0)
        let widest = try #require(most)
        #expect(widest > 6)
        #expect(try bits(models, ["--fit", "2x12GiB"]).0 == widest)
        let (none, refusal) = try bits(models, ["--fit", "8MiB"])
        #expect(none == nil && refusal == 3)
        // The size is of the model that runs; --memory bounds the quantization.
        #expect(try bits(models, ["--fit", "24GiB", "--memory", "8MiB"]).1 == 3)
    }
}
