// SPDX-License-Identifier: Apache-2.0
import EftConfig
import EftFormats
import EftQuant
import EftTensor
import EftTestSupport
import Testing

/// One case of the fixtures of bitsandbytes.
struct NF4Case: CustomTestStringConvertible, Sendable {
    let name: String
    let rows: Int
    let columns: Int
    let dtype: DType

    var testDescription: String { name }

    static let all: [NF4Case] = {
        guard let file = try? NF4Case.file() else { return [] }
        return file.tensors.compactMap { info in
            guard info.name.hasSuffix("/input") else { return nil }
            return NF4Case(
                name: String(info.name.dropLast("/input".count)), rows: info.shape.dims[0],
                columns: info.shape.dims[1], dtype: info.dtype)
        }
    }()

    static func file() throws -> any CheckpointReader {
        try SafetensorsFile(path: Fixtures.path("nf4/nf4.safetensors"))
    }

    /// A checkpoint with the case's values as `m.weight`.
    func checkpoint() throws -> MemoryCheckpoint {
        var checkpoint = MemoryCheckpoint()
        try checkpoint.copy("\(name)/input", from: NF4Case.file(), as: "m.weight")
        return checkpoint
    }

    /// The case quantized by Eft.
    func matrix(doubleQuantization: Bool, _ backend: CPUBackend) throws -> NF4Matrix {
        let checkpoint = try checkpoint()
        return try NF4Matrix(
            quantizing: checkpoint.tensor("m.weight"), of: checkpoint,
            doubleQuantization: doubleQuantization, backend: backend)
    }
}

struct NF4Tests {
    private let backend: CPUBackend
    private let fixture: any CheckpointReader

    init() throws {
        backend = try CPUBackend(threads: 2)
        fixture = try NF4Case.file()
    }

    @Test func `the fixtures are there`() { #expect(NF4Case.all.count == 20) }

    @Test func `the tables are those of bitsandbytes`() throws {
        #expect(try NF4Format.values == fixture.floats(of: "map/nf4"))
        #expect(try bits(NF4Format.nestedMap) == bits(fixture.floats(of: "map/dynamic_signed")))
    }

    @Test(arguments: NF4Case.all)
    func `codes and scales are those of bitsandbytes`(test: NF4Case) throws {
        let matrix = try test.matrix(doubleQuantization: false, backend)
        #expect(try Array(matrix.packed.bytes) == fixture.bytes(of: "\(test.name)/packed"))
        #expect(try Array(matrix.absmax.bytes) == fixture.bytes(of: "\(test.name)/absmax"))
    }

    @Test(arguments: NF4Case.all)
    func `doubly quantized scales are those of bitsandbytes`(test: NF4Case) throws {
        guard fixture.find("\(test.name)/absmax_u8") != nil else { return }
        let matrix = try test.matrix(doubleQuantization: true, backend)
        let nested = try #require(matrix.nested)
        let offset = try #require(fixture.floats(of: "\(test.name)/nested_offset").first)
        #expect(abs(nested.offset - offset) <= offset.ulp)
        #expect(try Array(nested.codes.bytes) == fixture.bytes(of: "\(test.name)/absmax_u8"))
        guard nested.offset == offset else { return }
        #expect(try Array(nested.absmax.bytes) == fixture.bytes(of: "\(test.name)/nested_absmax"))
        #expect(try Array(matrix.absmax.bytes) == fixture.bytes(of: "\(test.name)/absmax_nested"))
    }

    @Test(arguments: NF4Case.all, [false, true])
    func `a written weight reads back, exactly and in panels`(test: NF4Case, double: Bool) throws {
        let matrix = try test.matrix(doubleQuantization: double, backend)
        var written = MemoryCheckpoint()
        try written.add(NF4Writer.tensors(matrix, module: "m", ledger: nil))
        let (n, k) = (test.rows, test.columns)
        let source = try LinearSource(module: "m", checkpoint: written, inputs: k, outputs: n)
        #expect(source.schemeName == "NF4")
        #expect(source.storedBytes == written.tensors.reduce(0) { $0 + $1.byteCount })

        let exact = try source.values(outputs: 0..<n, inputs: k)
        let name = "\(test.name)/\(double ? "dequantized_nested" : "dequantized")"
        if fixture.find(name) != nil, try !double || sameOffset(matrix, test) {
            #expect(try bits(exact) == bits(fixture.floats(of: name)))
        }
        let stored = try source.load(as: .asStored, backend: backend)
        let held = try stored.values(backend)
        #expect(bits(rounded(held, to: test.dtype)) == bits(exact))

        let dense = try LinearSource(
            module: "m", checkpoint: test.checkpoint(), inputs: k, outputs: n)
        let target = WeightTarget.nf4(doubleQuantization: double)
        #expect(try dense.layout(as: target) == source.layout(as: .asStored))
        let quantized = try dense.load(as: target, backend: backend)
        #expect(try bits(quantized.values(backend)) == bits(held))
    }

    private func sameOffset(_ matrix: NF4Matrix, _ test: NF4Case) throws -> Bool {
        try matrix.nested?.offset == fixture.floats(of: "\(test.name)/nested_offset").first
    }

    @Test func `any range of outputs decodes to the same values`() throws {
        let test = try #require(NF4Case.all.first { $0.name == "s40x100_bf16" })
        var written = MemoryCheckpoint()
        let matrix = try test.matrix(doubleQuantization: true, backend)
        try written.add(NF4Writer.tensors(matrix, module: "m", ledger: nil))
        let source = try LinearSource(module: "m", checkpoint: written, inputs: 100, outputs: 40)
        let all = try source.values(outputs: 0..<40, inputs: 100)
        for range in [0..<1, 1..<2, 3..<17, 39..<40, 7..<7] {
            let part = try source.values(outputs: range, inputs: 100)
            #expect(part == Array(all[range.lowerBound * 100..<range.upperBound * 100]))
        }
    }

    @Test(arguments: [32, 96, 128, 4096])
    func `blocks of other sizes are read`(blockSize: Int) throws {
        // The block size divides neither a row nor a panel; groups are the runs in common.
        for (n, k) in [(35, 64), (33, 96), (5, 33), (20, 160)] {
            var checkpoint = MemoryCheckpoint()
            let count = n * k
            let packed = noise((count + 1) / 2, seed: 7).map { UInt8(($0 + 1) * 127) }
            let absmax = noise((count + blockSize - 1) / blockSize, seed: 8).map { abs($0) + 0.1 }
            try checkpoint.set("m.weight", .u8, [packed.count, 1], packed)
            try checkpoint.set("m.weight.absmax", floats: absmax, [absmax.count])
            try checkpoint.set("m.weight.quant_map", floats: NF4Format.values, [16])
            let state = NF4State(blockSize: blockSize, dtype: .f32, shape: [n, k], nested: nil)
            let json = Array(state.json.utf8)
            try checkpoint.set(
                "m.weight.quant_state.bitsandbytes__nf4", .u8, [json.count], json)
            let source = try LinearSource(
                module: "m", checkpoint: checkpoint, inputs: k, outputs: n)
            let expected = (0..<count).map { element in
                let byte = packed[element / 2]
                let code = element % 2 == 0 ? byte >> 4 : byte & 15
                return NF4Format.values[Int(code)] * absmax[element / blockSize]
            }
            #expect(try bits(source.values(outputs: 0..<n, inputs: k)) == bits(expected))
            let weight = try source.load(as: .asStored, backend: backend)
            #expect(try bits(weight.values(backend)) == bits(expected))
        }
    }

    @Test(arguments: [
        (128, 64, DType.bf16, 2), (96, 64, .bf16, 1), (96, 96, .f32, 3), (4096, 4096, .f16, 128),
        (64, 4096, .f32, 2), (100, 64, .bf16, 0), (100, 64, .f16, 0), (33, 64, .f32, 0),
    ])
    func `rows that divide in blocks of 32 are held as codes`(
        inputs: Int, blockSize: Int, original: DType, blocks: Int
    ) {
        let layout = NF4Format.layout(
            inputs: inputs, outputs: 20, blockSize: blockSize, original: original)
        guard case .coded(let book, let scales, let groups, let permuted) = layout.format else {
            #expect(blocks == 0)
            let formats: [DType: WeightLayout.Format] = [.bf16: .bf16, .f16: .f16, .f32: .f32]
            #expect(layout.format == formats[original])
            return
        }
        #expect(book == .nf4 && scales == .f32 && !permuted)
        #expect(groups.allSatisfy { $0.bits == 4 && $0.blocks == blocks })
        #expect(groups.count == inputs / 32 / blocks)
    }

    @Test func `products of a loaded weight are those of its values`() throws {
        let test = try #require(NF4Case.all.first { $0.name == "s130x128_bf16" })
        let source = try LinearSource(
            module: "m", checkpoint: test.checkpoint(), inputs: 128, outputs: 130)
        let weight = try source.load(
            as: .nf4(doubleQuantization: true), backend: backend)
        let values = try weight.values(backend)
        let x = try Matrix(rows: 3, columns: 128, ledger: nil)
        x.assign(noise(3 * 128, seed: 9))
        let y = try Matrix(rows: 3, columns: 130, ledger: nil)
        try backend.multiply(x, weight, into: y, accumulate: false)
        #expect(relativeError(y.array, product(x.array, values, inputs: 128)) < 1e-5)
    }
}

struct NF4CheckpointTests {
    private let folder: any CheckpointReader
    private let source: any CheckpointReader
    private let expected: any CheckpointReader
    private let backend: CPUBackend

    init() throws {
        folder = try SafetensorsFile(path: Fixtures.path("nf4-model/bnb-4bit/model.safetensors"))
        source = try SafetensorsFile(path: Fixtures.path("nf4-model/source/model.safetensors"))
        expected = try SafetensorsFile(path: Fixtures.path("nf4-model/dequantized.safetensors"))
        backend = try CPUBackend(threads: 2)
    }

    @Test func `a bitsandbytes checkpoint decodes to the last bit`() throws {
        for info in expected.tensors {
            let (n, k) = (info.shape.dims[0], info.shape.dims[1])
            let linear = try LinearSource(
                module: String(info.name.dropLast(".weight".count)), checkpoint: folder, inputs: k,
                outputs: n)
            #expect(linear.schemeName == "NF4")
            let values = try linear.values(outputs: 0..<n, inputs: k)
            #expect(try bits(values) == bits(expected.floats(of: info.name)), "\(info.name)")
            let held = try linear.load(as: .asStored, backend: backend).values(backend)
            #expect(bits(rounded(held, to: .bf16)) == bits(values), "\(info.name)")
        }
        #expect(expected.tensors.count == 7)
    }

    @Test func `quantizing its source writes the same checkpoint`() throws {
        for info in expected.tensors {
            let matrix = try NF4Matrix(
                quantizing: source.tensor(info.name), of: source, doubleQuantization: true,
                backend: backend)
            let module = String(info.name.dropLast(".weight".count))
            let tensors = try NF4Writer.tensors(matrix, module: module, ledger: nil)
            let names = folder.tensors.map(\.name).filter { $0.hasPrefix(info.name) }
            #expect(tensors.map(\.info.name).sorted() == names.sorted())
            for tensor in tensors {
                #expect(try tensor.info == folder.tensor(tensor.info.name))
                let theirs = try folder.bytes(of: tensor.info.name)
                #expect(Array(tensor.bytes.bytes) == theirs, "\(tensor.info.name)")
            }
        }
    }

    @Test(arguments: [WeightTarget.f32, .nf4(doubleQuantization: true)])
    func `a quantized base is not quantized or trained again`(target: WeightTarget) throws {
        let linear = try LinearSource(
            module: "model.layers.0.mlp.up_proj", checkpoint: folder, inputs: 64, outputs: 96)
        for attempt in [
            { _ = try linear.layout(as: target) }, { _ = try linear.loadScratchBytes(as: target) },
            { _ = try linear.load(as: target, backend: backend) },
        ] {
            let error = #expect(throws: FormatError.self) { try attempt() }
            #expect(error?.code == .unsupported)
            #expect(error?.message.contains("already quantized") == true)
        }
    }
}
