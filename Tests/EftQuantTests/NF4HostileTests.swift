// SPDX-License-Identifier: Apache-2.0
import EftFormats
import EftQuant
import EftTensor
import Testing

/// Damaged and unusual bitsandbytes tensors, each with a word of the error that it must give.
struct NF4HostileTests {
    private static let n = 48
    private static let k = 64
    private static let stateName = "m.weight.quant_state.bitsandbytes__nf4"

    /// A good doubly quantized weight.
    private func checkpoint(nested: Bool = true) throws -> MemoryCheckpoint {
        let (n, k) = (NF4HostileTests.n, NF4HostileTests.k)
        var dense = MemoryCheckpoint()
        try dense.set("m.weight", floats: noise(n * k, seed: 11), [n, k], as: .bf16)
        let matrix = try NF4Matrix(
            quantizing: dense.tensor("m.weight"), of: dense, doubleQuantization: nested,
            backend: CPUBackend(threads: 1))
        var result = MemoryCheckpoint()
        try result.add(NF4Writer.tensors(matrix, module: "m", ledger: nil))
        return result
    }

    private func open(_ checkpoint: MemoryCheckpoint) throws -> LinearSource {
        try LinearSource(
            module: "m", checkpoint: checkpoint, inputs: NF4HostileTests.k,
            outputs: NF4HostileTests.n)
    }

    private func refusal(of checkpoint: MemoryCheckpoint) -> FormatError? {
        #expect(throws: FormatError.self) {
            try open(checkpoint).load(as: .asStored, backend: CPUBackend(threads: 1))
        }
    }

    @Test func `the undamaged weight is read`() throws {
        let backend = try CPUBackend(threads: 1)
        for nested in [true, false] {
            _ = try open(checkpoint(nested: nested)).load(as: .asStored, backend: backend)
        }
    }

    @Test(arguments: [
        (#""nf4""#, #""af4""#, FormatError.Code.unsupported, "quant_type"),
        (#""nf4""#, #""fp4""#, .unsupported, "FP4"),
        (#""blocksize": 64"#, #""blocksize": 0"#, .unsupported, "blocksize"),
        (#""blocksize": 64"#, #""blocksize": -64"#, .unsupported, "blocksize"),
        (#""blocksize": 64"#, #""blocksize": 48"#, .unsupported, "blocksize"),
        (#""blocksize": 64"#, #""blocksize": 8192"#, .unsupported, "blocksize"),
        (#""blocksize": 64"#, #""blocksize": 9223372036854775807"#, .unsupported, "blocksize"),
        (#""blocksize": 64"#, #""blocksize": 128"#, .damaged, "shape"),
        (#""blocksize": 64"#, #""blocksize": "64""#, .damaged, "integer"),
        (#""blocksize": 64, "#, "", .damaged, "blocksize"),
        ("bfloat16", "float8", .unsupported, "dtype"),
        ("[48, 64]", "[64, 48]", .damaged, "[64, 48]"),
        ("[48, 64]", "[3072]", .damaged, "[3072]"),
        ("[48, 64]", "[-48, -64]", .damaged, "[-48, -64]"),
        ("[48, 64]", "48", .damaged, "list"),
        (#""nested_blocksize": 256"#, #""nested_blocksize": 0"#, .unsupported, "nested_blocksize"),
        (#""nested_blocksize": 256"#, #""nested_blocksize": 16"#, .damaged, "nested_absmax"),
        (#""float32""#, #""float64""#, .unsupported, "nested_dtype"),
        (#""nested_offset""#, #""offset""#, .damaged, "nested_offset"),
        (#""nested_offset": "#, #""nested_offset": 1e300, "x": "#, .unsupported, "finite"),
        ("{", "[", .damaged, "line"), ("}", "", .damaged, "'}'"),
    ])
    func `a state that cannot be is refused`(
        text: String, replacement: String, code: FormatError.Code, word: String
    ) throws {
        var checkpoint = try checkpoint()
        let json = String(
            decoding: try checkpoint.bytes(of: NF4HostileTests.stateName), as: UTF8.self)
        let changed = json.replacing(text, with: replacement)
        #expect(json != changed)
        let bytes = Array(changed.utf8)
        try checkpoint.set(NF4HostileTests.stateName, .u8, [bytes.count], bytes)
        let error = refusal(of: checkpoint)
        #expect(error?.code == code, "\(error?.description ?? "")")
        #expect(error?.description.contains(word) == true, "\(error?.description ?? "")")
    }

    @Test(arguments: [
        [], [0xFF, 0xFE], Array("null".utf8), [UInt8](repeating: 0x5B, count: 70_000),
    ])
    func `a state that is no JSON is refused`(bytes: [UInt8]) throws {
        var checkpoint = try checkpoint()
        try checkpoint.set(NF4HostileTests.stateName, .u8, [bytes.count], bytes)
        #expect(refusal(of: checkpoint)?.tensor == NF4HostileTests.stateName)
    }

    @Test(arguments: [
        "weight", "weight.absmax", "weight.quant_map", "weight.nested_absmax",
        "weight.nested_quant_map",
    ])
    func `a missing or shortened tensor is refused by name`(suffix: String) throws {
        let name = "m.\(suffix)"
        let good = try checkpoint()
        var missing = good
        missing.remove(name)
        let error = refusal(of: missing)
        #expect(error?.code == .missing)
        #expect(error?.tensor == name)

        var short = good
        let info = try good.tensor(name)
        try short.set(
            name, info.dtype, [info.shape.count - 1],
            Array(try good.bytes(of: name).dropLast(info.dtype.byteWidth)))
        #expect(refusal(of: short)?.tensor == name)

        var other = good
        try other.set(name, .i16, [1], [0, 0])
        #expect(refusal(of: other)?.tensor == name)
    }

    @Test func `values that are not finite are refused`() throws {
        var plain = try checkpoint(nested: false)
        var scales = try plain.floats(of: "m.weight.absmax")
        scales[20] = .nan
        try plain.set("m.weight.absmax", floats: scales, [scales.count])
        #expect(refusal(of: plain)?.tensor == "m.weight.absmax")

        var nested = try checkpoint()
        try nested.set("m.weight.nested_absmax", floats: [.infinity], [1])
        #expect(refusal(of: nested)?.code == .damaged)
    }

    @Test func `another code book is refused`() throws {
        var checkpoint = try checkpoint()
        var map = NF4Format.values
        map[3] = map[3].nextUp
        try checkpoint.set("m.weight.quant_map", floats: map, [16])
        #expect(refusal(of: checkpoint)?.code == .unsupported)
    }

    @Test func `a state of FP4 that speaks of NF4 is refused`() throws {
        var checkpoint = try checkpoint()
        try checkpoint.copy(
            NF4HostileTests.stateName, from: checkpoint,
            as: "m.weight.quant_state.bitsandbytes__fp4")
        checkpoint.remove(NF4HostileTests.stateName)
        let error = refusal(of: checkpoint)
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("NF4") == true)
    }

    @Test func `codes in a tensor of another type are the same bytes`() throws {
        let good = try checkpoint()
        var stored = good
        let bytes = try good.bytes(of: "m.weight")
        try stored.set("m.weight", .bf16, [bytes.count / 2, 1], bytes)
        let range = 0..<NF4HostileTests.n
        #expect(
            try open(stored).values(outputs: range, inputs: NF4HostileTests.k)
                == open(good).values(outputs: range, inputs: NF4HostileTests.k))
    }
}
