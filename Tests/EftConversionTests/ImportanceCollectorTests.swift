// SPDX-License-Identifier: Apache-2.0
// Importance matrices that are collected: sums of squares of what linear layers read, against PyTorch.
import EftFormats
import EftGGUF
import EftModels
import EftTensor
import EftTestSupport
import Testing

@testable import EftConversion

struct ImportanceCollectorTests {
    private let backend: CPUBackend

    init() throws { backend = try CPUBackend(threads: 2) }

    /// The golden sequences of a fixture.
    private static func sequences(_ name: String) throws -> [[Int32]] {
        let golden = try SafetensorsFile(
            path: Fixtures.path("architectures/\(name)/golden.safetensors"))
        return try golden.tensors.map(\.name).filter { $0.hasPrefix("ids_") }.sorted().map {
            try golden.bytes(of: $0).withUnsafeBytes { raw in
                stride(from: 0, to: raw.count, by: 8).map {
                    Int32(raw.loadUnaligned(fromByteOffset: $0, as: Int64.self))
                }
            }
        }
    }

    /// Reads a fixture's sequences and writes what was collected.
    private func collect(
        _ folder: ModelFolder, _ name: String, to output: String
    ) throws {
        let collector = try ImportanceCollector(folder, output: output, backend: backend)
        let decoder = try DecoderLoader(folder: folder).load(backend: backend)
        let sequences = try Self.sequences(name)
        let longest = sequences.map(\.count).max() ?? 0
        let pass = try ObservationPass(decoder: decoder, rows: longest)
        for tokens in sequences { try pass.run(tokens) { collector.add($0, $1) } }
        try collector.write(text: "text.txt", chunks: sequences.count, length: longest)
    }

    @Test(arguments: ["qwen3", "qwen3-moe"])
    func `sums and counts are those of the inputs in PyTorch`(name: String) throws {
        let temporary = try TemporaryFolder()
        let tokenizer = try GGUFRecipe.make(name, in: temporary)
        let folder = try ModelFolder.open(
            GGUFWrittenArchitectureTests.folder(name, tokenizer: tokenizer, in: temporary))
        let output = temporary.file("imatrix.gguf")
        try collect(folder, name, to: output)

        let header = try GGUFHeader(path: output)
        #expect(header.metadata["general.type"]?.text == "imatrix")
        let bytes = try FileSystem.read(output)
        let expected = try SafetensorsFile(
            path: Fixtures.path("gguf/imatrix/\(name)-inputs.safetensors"))
        #expect(Set(header.tensors.map(\.name)) == Set(expected.tensors.map(\.name)))
        for tensor in header.tensors {
            let wanted = try expected.floats(of: tensor.name)
            let found = bytes[tensor.bytes].withUnsafeBytes { raw in
                (0..<raw.count / 4).map {
                    raw.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self)
                }
            }
            #expect(tensor.dims == (try #require(expected.find(tensor.name))).shape.dims)
            let top = wanted.max() ?? 0
            let isCount = tensor.name.hasSuffix(".counts")
            #expect(top > 0)
            #expect(
                zip(found, wanted).allSatisfy { abs($0 - $1) <= (isCount ? 0 : 1e-4 * top) },
                "\(tensor.name)")
        }
        let matrix = try ImportanceMatrix(path: output)
        #expect(try matrix.chunks == Self.sequences(name).count)
        #expect(matrix.names.count * 2 == header.tensors.count)
        // It serves for what it was collected for.
        try GGUFConverter(
            folder, output: temporary.file("model.gguf"), mix: .q4_0, importance: output,
            backend: backend
        ).run()
    }

    @Test func `a model that is not written as GGUF is refused, and nothing is left`() throws {
        let temporary = try TemporaryFolder()
        #expect(throws: ConversionError.self) {
            try ImportanceCollector(
                ModelFolder.open(Fixtures.path("architectures/gpt2")),
                output: temporary.file("imatrix.gguf"), backend: backend)
        }
        #expect(try FileSystem.list(temporary.path).isEmpty)
    }
}
