// SPDX-License-Identifier: Apache-2.0
// Importance matrices: both forms of llama-imatrix's files, and what writing GGUF files makes of them.
import EftFormats
import EftGGUF
import EftModels
import EftTensor
import EftTestSupport
import Testing

@testable import EftConversion

struct ImportanceMatrixTests {
    private static let forms = ["granite.gguf", "granite.dat"]
    private let backend: CPUBackend

    init() throws { backend = try CPUBackend(threads: 2) }

    private static func path(_ name: String) -> String { Fixtures.path("gguf/imatrix/\(name)") }

    private static func means() throws -> SafetensorsFile {
        try SafetensorsFile(path: path("means.safetensors"))
    }

    private static func weights(
        _ matrix: ImportanceMatrix, _ name: String, columns: Int, slices: Int = 1
    ) throws -> [Float]? {
        var found = [Float](repeating: .nan, count: columns * slices)
        let isThere = try found.withUnsafeMutableBufferPointer {
            try matrix.weights(of: name, columns: columns, slices: slices, into: $0)
        }
        return isThere ? found : nil
    }

    @Test(arguments: forms)
    func `weights are the file's means, up to a factor`(form: String) throws {
        let matrix = try ImportanceMatrix(path: Self.path(form))
        let means = try Self.means()
        #expect(matrix.names == means.tensors.map(\.name).sorted() && matrix.chunks == 3)
        #expect(matrix.names.count > 5)
        for name in matrix.names {
            let wanted = try means.floats(of: name)
            let found = try #require(
                try Self.weights(matrix, name, columns: wanted.count))
            let mean = wanted.reduce(0, +) / Float(wanted.count)
            for (a, b) in zip(found, wanted) { #expect(abs(a - b / mean) <= 1e-5 * a + 1e-6) }
            let twice = try Self.weights(matrix, name, columns: wanted.count, slices: 2)
            #expect(twice == found + found)
        }
        #expect(try Self.weights(matrix, "blk.0.nothing.weight", columns: 4) == nil)
        #expect(throws: GGUFError.self) {
            try Self.weights(matrix, matrix.names[0], columns: 7)
        }
    }

    private func convert(
        _ folder: TemporaryFolder, _ mix: GGUFMix, _ matrix: String?
    ) throws -> String {
        let path = folder.file("\(mix)-\(matrix ?? "plain").gguf")
        try GGUFConverter(
            ModelFolder.open(Fixtures.path("gguf/models/granite.gguf")), output: path, mix: mix,
            importance: matrix.map { Self.path($0) }, backend: backend
        ).run()
        return path
    }

    @Test(arguments: [GGUFMix.q4_0, .q5_1, .q4_k_m, .iq4_nl, .iq4_xs])
    func `a written file follows the matrix, in either form`(mix: GGUFMix) throws {
        let folder = try TemporaryFolder()
        let files = try ([nil] + Self.forms).map { try convert(folder, mix, $0) }
        let given = try CheckpointFolder.open(Fixtures.path("gguf/models/granite.gguf"))
        let found = try files.map { try CheckpointFolder.open($0) }
        let means = try Self.means()
        let names: [(String, String)] = (0..<2).flatMap { layer in
            [
                ("attn_v", "self_attn.v_proj"), ("ffn_up", "mlp.up_proj"),
                ("ffn_down", "mlp.down_proj"),
            ]
            .map { ("blk.\(layer).\($0).weight", "model.layers.\(layer).\($1).weight") }
        }
        var errors = [Float](repeating: 0, count: files.count)
        for (name, own) in names {
            let (weights, original) = (try means.floats(of: name), try given.floats(of: own))
            for (place, reader) in found.enumerated() {
                for (index, value) in try reader.floats(of: own).enumerated() {
                    let off = value - original[index]
                    errors[place] += weights[index % weights.count] * off * off
                }
            }
        }
        #expect(errors[1] < errors[0] && errors[1] == errors[2], "\(errors)")
        let header = try GGUFHeader(path: files[1])
        #expect(header.metadata["quantize.imatrix.file"]?.text == "granite.gguf")
        #expect(header.metadata["quantize.imatrix.chunks_count"]?.whole == 3)
        #expect(
            header.metadata["quantize.imatrix.entries_count"]?.whole == means.tensors.count)
        let old = try GGUFHeader(path: files[2])
        #expect(old.metadata["quantize.imatrix.dataset"]?.text == "calibration.txt")
        #expect(try GGUFHeader(path: files[0]).metadata["quantize.imatrix.file"] == nil)
    }

    @Test func `a matrix of another model is refused before anything is written`() throws {
        let folder = try TemporaryFolder()
        let output = folder.file("out.gguf")
        let model = try ModelFolder.open(Fixtures.path("gguf/models/granite.gguf"))
        let other = try folder.write("other.dat", Self.dat([("blk.77.x.weight", 1, [1, 2])]))
        let error = try #require(
            #expect(throws: ConversionError.self) {
                try GGUFConverter(
                    model, output: output, mix: .q4_0, importance: other,
                    backend: backend)
            })
        #expect(error.code == .mismatch && error.message.contains("another"))
        #expect(try FileSystem.list(folder.path) == ["other.dat"])
    }

    // MARK: Faults

    private static func bytes(_ number: Int32) -> [UInt8] {
        withUnsafeBytes(of: number.littleEndian) { Array($0) }
    }

    private static func dat(_ entries: [(name: String, calls: Int32, sums: [Float])]) -> [UInt8] {
        bytes(Int32(entries.count))
            + entries.flatMap { entry in
                bytes(Int32(entry.name.utf8.count)) + Array(entry.name.utf8) + bytes(entry.calls)
                    + bytes(Int32(entry.sums.count))
                    + entry.sums.flatMap { bytes(Int32(bitPattern: $0.bitPattern)) }
            }
    }

    @Test func `damaged files are refused, wherever they are cut`() throws {
        let folder = try TemporaryFolder()
        let whole = try FileSystem.read(Self.path("granite.dat"))
        // The last two numbers and the name of the text may be missing, as in old files.
        let needed = whole.count - 8 - "calibration.txt".utf8.count
        for count in stride(from: 0, to: needed, by: 61) {
            let path = try folder.write("cut.dat", Array(whole[..<count]))
            #expect(throws: GGUFError.self) { try ImportanceMatrix(path: path) }
        }
        let old = try folder.write("old.dat", Array(whole[..<needed]))
        #expect(try ImportanceMatrix(path: old).chunks == nil)
        let twice = try folder.write("twice.dat", Self.dat([("a", 1, [1]), ("a", 1, [1])]))
        #expect(throws: GGUFError.self) { try ImportanceMatrix(path: twice) }
        #expect(throws: GGUFError.self) {
            try ImportanceMatrix(path: Fixtures.path("gguf/models/granite.gguf"))
        }
        for sums in [[Float.nan, 1], [-1, 1], [.infinity, 1]] {
            let path = try folder.write("faulty.dat", Self.dat([("a", 1, sums)]))
            let matrix = try ImportanceMatrix(path: path)
            #expect(throws: GGUFError.self) { try Self.weights(matrix, "a", columns: 2) }
        }
        // What was never called counts alike, and no column counts for nothing.
        let empty = try folder.write("empty.dat", Self.dat([("a", 0, [0, 0]), ("b", 1, [0, 2])]))
        let matrix = try ImportanceMatrix(path: empty)
        #expect(try Self.weights(matrix, "a", columns: 2) == [1, 1])
        #expect(try Self.weights(matrix, "b", columns: 2) == [1e-6, 2])
    }
}
