// SPDX-License-Identifier: Apache-2.0
import EftConfig
import EftFormats
import EftQuant
import EftTensor
import EftTestSupport
import Testing

/// The packed matrices of the fixtures, each with its groups as pairs of width and rows.
struct EXL2Matrix: CustomTestStringConvertible, Sendable {
    static let suffixes = ["q_weight", "q_scale", "q_scale_max", "q_groups", "q_invperm"]

    let name: String
    let inputs: Int
    let outputs: Int
    let groups: [EXL2Group]

    var testDescription: String { name }

    static let all: [EXL2Matrix] = (try? load()) ?? []

    static func notes() throws -> ConfigCursor {
        try ConfigCursor(JSONParser.parse(FileSystem.read(Fixtures.path("exl2/matrices.json"))))
    }

    static func file() throws -> any CheckpointReader {
        try SafetensorsFile(path: Fixtures.path("exl2/matrices.safetensors"))
    }

    private static func load() throws -> [EXL2Matrix] {
        let matrices = try notes().required("matrices")
        return try matrices.object().keys.map { name in
            let matrix = try matrices.required(name)
            return EXL2Matrix(
                name: name, inputs: try matrix.required("rows").int(),
                outputs: try matrix.required("columns").int(),
                groups: try matrix.required("groups").elements().map { pair in
                    let numbers = try pair.elements().map { try $0.int() }
                    return EXL2Group(bits: numbers[0], rows: numbers[1])
                })
        }
    }

    /// The tensors of the matrix under the module name `m`.
    func checkpoint() throws -> MemoryCheckpoint {
        var checkpoint = MemoryCheckpoint()
        for suffix in EXL2Matrix.suffixes {
            try checkpoint.copy("\(name)/\(suffix)", from: EXL2Matrix.file(), as: "m.\(suffix)")
        }
        return checkpoint
    }

    func source() throws -> LinearSource {
        try LinearSource(
            module: "m", checkpoint: checkpoint(), inputs: inputs, outputs: outputs)
    }

    /// The values [N][K] of the fixture.
    func expected() throws -> [Float] {
        try transposed(EXL2Matrix.file().floats(of: "\(name)/dequantized"), rows: inputs)
    }
}

struct EXL2Tests {
    @Test func `the fixtures are there`() { #expect(EXL2Matrix.all.count == 8) }

    @Test func `scales are those of the half-precision chain`() throws {
        let vectors = try EXL2Matrix.notes().required("scales").elements()
        for vector in vectors {
            let value = try Float(vector.required("scale_max").double())
            let half = ElementConversion.half(value)
            #expect(try Int(half) == vector.required("half").int())
            let table = EXL2Scale.table(scaleMax: half)
            let expected = try vector.required("by_s")
            for s in try expected.object().keys {
                let index = try #require(Int(s)) - 1
                #expect(try Int(table[index]) == expected.required(s).int(), "\(value) s=\(s)")
            }
        }
        #expect(vectors.count == 3)
    }

    @Test(arguments: EXL2Matrix.all)
    func `values are exact to the last bit`(matrix: EXL2Matrix) throws {
        let source = try matrix.source()
        #expect(source.schemeName == "EXL2")
        let values = try source.values(outputs: 0..<matrix.outputs, inputs: matrix.inputs)
        #expect(try bits(values) == bits(matrix.expected()))
        let part = try source.values(outputs: 5..<19, inputs: matrix.inputs)
        #expect(part == Array(values[5 * matrix.inputs..<19 * matrix.inputs]))
    }

    @Test(arguments: EXL2Matrix.all)
    func `a loaded matrix holds the same values in panels`(matrix: EXL2Matrix) throws {
        let backend = try CPUBackend(threads: 2)
        let source = try matrix.source()
        let weight = try source.load(as: .asStored, backend: backend)
        #expect(try weight.layout == source.layout(as: .asStored))
        #expect(
            weight.layout.format
                == .coded(
                    book: .signed, scales: .exl2,
                    groups: matrix.groups.map { .init(blocks: $0.rows / 32, bits: $0.bits) },
                    permuted: true))
        let held = try weight.values(backend)
        #expect(try bits(rounded(held, to: .f16)) == bits(matrix.expected()))
        #expect(
            try backend.ledger.peak[.workspace] == source.loadScratchBytes(as: .asStored))
        #expect(backend.ledger.current[.workspace] == 0)
        #expect(backend.ledger.current[.weights] == weight.layout.byteCount)
    }

    @Test(arguments: EXL2Matrix.all)
    func `products of a loaded matrix are those of its values`(matrix: EXL2Matrix) throws {
        let backend = try CPUBackend(threads: 2)
        let weight = try matrix.source().load(as: .asStored, backend: backend)
        let held = try weight.values(backend)
        let x = try Matrix(rows: 3, columns: matrix.inputs, ledger: nil)
        x.assign(noise(x.count, seed: 21))
        let y = try Matrix(rows: 3, columns: matrix.outputs, ledger: nil)
        try backend.multiply(x, weight, into: y, accumulate: false)
        let exact = product(x.array, held, inputs: matrix.inputs)
        #expect(relativeError(y.array, exact) < 1e-5)
        let format = try product(x.array, matrix.expected(), inputs: matrix.inputs)
        #expect(relativeError(y.array, format) < 1e-3)
    }

    @Test func `every layer of an EXL2 folder decodes`() throws {
        let folder = try CheckpointFolder.open(Fixtures.path("exl2-model"))
        let expected = try SafetensorsFile(
            path: Fixtures.path("exl2-model/dequantized.safetensors"))
        let backend = try CPUBackend(threads: 2)
        for info in expected.tensors {
            let (k, n) = (info.shape.dims[0], info.shape.dims[1])
            let source = try LinearSource(
                module: info.name, checkpoint: folder, inputs: k, outputs: n)
            let values = try source.values(outputs: 0..<n, inputs: k)
            let wanted = try transposed(expected.floats(of: info.name), rows: k)
            #expect(bits(values) == bits(wanted), "\(info.name)")
            let held = try source.load(as: .asStored, backend: backend).values(backend)
            #expect(bits(rounded(held, to: .f16)) == bits(wanted), "\(info.name)")
        }
        #expect(expected.tensors.count == 8)
    }

    @Test func `a large matrix is loaded in pieces that cut its groups`() throws {
        // 144 packed rows of 64 kB, read in pieces of at most 128; any bits are codes.
        let (n, k) = (16_384, 1024)
        let table: [UInt8] = [5, 0, 0, 0, 4, 0, 80, 0]
        func bytes(_ count: Int, _ seed: UInt64) -> [UInt8] {
            noise(count, seed: seed).map { UInt8(truncatingIfNeeded: Int($0 * 65_536)) }
        }
        var checkpoint = MemoryCheckpoint()
        try checkpoint.set("m.q_weight", .i32, [144, n], bytes(144 * n * 4, 31))
        try checkpoint.set("m.q_groups", .i16, [4], table)
        try checkpoint.set("m.q_scale", .i32, [2, n / 8], bytes(n, 32))
        try checkpoint.set("m.q_scale_max", floats: [0.05, 0.03], [2], as: .f16)
        let inverse = (0..<UInt32(k)).map { $0 * 5 % UInt32(k) }
        try checkpoint.set(
            "m.q_invperm", .i32, [k], inverse.withUnsafeBytes { Array($0) })
        let source = try LinearSource(module: "m", checkpoint: checkpoint, inputs: k, outputs: n)
        let backend = try CPUBackend(threads: 2)
        let weight = try source.load(as: .asStored, backend: backend)
        #expect(backend.ledger.peak[.workspace] == 128 * n * 4)
        #expect(try source.loadScratchBytes(as: .asStored) == 128 * n * 4)
        for outputs in [0..<3, 8190..<8200, n - 2..<n] {
            let out = try Matrix(rows: outputs.count, columns: k, ledger: nil)
            backend.gather(weight, rows: outputs.map { Int32($0) }, into: out)
            let exact = try source.values(outputs: outputs, inputs: k)
            #expect(bits(rounded(out.array, to: .f16)) == bits(exact))
        }
    }

    @Test(arguments: [WeightTarget.f32, .nf4(doubleQuantization: false)])
    func `a quantized base is not quantized or trained again`(target: WeightTarget) throws {
        let source = try #require(EXL2Matrix.all.first).source()
        let error = #expect(throws: FormatError.self) { try source.layout(as: target) }
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("already quantized (EXL2)") == true)
    }
}

struct EXL2PackerTests {
    /// Codes [K][N] in stored order and s [G][N], read from the tensors bit by bit.
    private func unpack(
        _ matrix: EXL2Matrix, _ checkpoint: MemoryCheckpoint
    ) throws -> (codes: [UInt8], scales: [[UInt8]]) {
        let words = try checkpoint.bytes(of: "m.q_weight")
        let padded = try checkpoint.tensor("m.q_weight").shape.dims[1]
        func bit(_ row: Int, _ column: Int, _ index: Int) -> UInt8 {
            let byte = words[((row + index / 32) * padded + column) * 4 + index % 32 / 8]
            return byte >> UInt8(index % 8) & 1
        }
        var codes: [UInt8] = []
        var first = 0
        for group in matrix.groups {
            for row in 0..<group.rows {
                for column in 0..<matrix.outputs {
                    codes.append(
                        (0..<group.bits).reduce(0) {
                            $0 | bit(first, column, row * group.bits + $1) << UInt8($1)
                        })
                }
            }
            first += group.packedRows
        }
        let nibbles = try checkpoint.bytes(of: "m.q_scale")
        let scales = matrix.groups.indices.map { group in
            (0..<matrix.outputs).map { column in
                let byte = nibbles[group * padded / 2 + column / 2]
                return (column % 2 == 0 ? byte & 15 : byte >> 4) + 1
            }
        }
        return (codes, scales)
    }

    private func halves(_ bytes: [UInt8]) -> [UInt16] {
        stride(from: 0, to: bytes.count, by: 2).map {
            UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8
        }
    }

    @Test(arguments: EXL2Matrix.all)
    func `packing gives the bytes of the format`(matrix: EXL2Matrix) throws {
        let checkpoint = try matrix.checkpoint()
        let (codes, scales) = try unpack(matrix, checkpoint)
        let maxima = try halves(checkpoint.bytes(of: "m.q_scale_max"))
        let table = EXL2Table(matrix.groups)
        let ledger = MemoryLedger()
        let backend = try CPUBackend(threads: 2)
        let packer = try EXL2Packer(table: table, outputs: matrix.outputs, ledger: ledger)
        #expect(
            ledger.current[.workspace]
                == EXL2Packer.byteCount(table: table, outputs: matrix.outputs))
        for (index, group) in matrix.groups.enumerated() {
            let first = table.firstRows[index] * matrix.outputs
            codes[first..<first + group.rows * matrix.outputs].withUnsafeBufferPointer {
                packer.setGroup(
                    index, codes: $0, scaleCodes: scales[index], scaleMax: maxima[index],
                    workers: backend)
            }
        }
        let inverse = try checkpoint.bytes(of: "m.q_invperm")
        var permutation = [UInt32](repeating: 0, count: matrix.inputs)
        for input in 0..<matrix.inputs {
            let row = Int(inverse[4 * input]) | Int(inverse[4 * input + 1]) << 8
            permutation[row] = UInt32(input)
        }
        let bias = (0..<UInt16(matrix.outputs)).map { $0 }
        let tensors = try packer.tensors(module: "m", permutation: permutation, bias: bias)
        #expect(tensors.count == 6)
        for tensor in tensors.dropLast() {
            #expect(try tensor.info == checkpoint.tensor(tensor.info.name))
            let expected = try checkpoint.bytes(of: tensor.info.name)
            #expect(Array(tensor.bytes.bytes) == expected, "\(tensor.info.name)")
        }
        #expect(tensors.last?.info.name == "m.bias")
        #expect(tensors.last?.info.shape == Shape(matrix.outputs))
    }

    @Test func `the packing vectors of the format come out`() throws {
        let vectors = try EXL2Matrix.notes().required("packing")
        let backend = try CPUBackend(threads: 1)
        for name in try vectors.object().keys {
            let bits = try #require(Int(name))
            let packer = try EXL2Packer(
                table: EXL2Table([EXL2Group(bits: bits, rows: 32)]), outputs: 1, ledger: nil)
            let codes = (0..<32).map { UInt8((5 * $0 + 3) % (1 << bits)) }
            codes.withUnsafeBufferPointer {
                packer.setGroup(0, codes: $0, scaleCodes: [1], scaleMax: 0x3C00, workers: backend)
            }
            let tensors = try packer.tensors(
                module: "m", permutation: (0..<32).map { UInt32($0) })
            let weight = try #require(tensors.first)
            let words = try vectors.required(name).elements().map { try $0.string() }
            let found = weight.bytes.bytes.bindMemory(to: UInt32.self)
            #expect((0..<bits).map { String(found[$0 * 32], radix: 16) } == words)
            // A padded column: the code of zero everywhere, and the nibble 15.
            #expect(Array(tensors[1].bytes.bytes.prefix(2)) == [0xF0, 0xFF])
            let zero = UInt32(1) << UInt32(bits - 1)
            #expect(found[1] & ((1 << UInt32(bits)) - 1) == zero)
        }
        #expect(try vectors.object().count == 6)
    }
}

struct EXL2GeometryTests {
    @Test(arguments: [
        (
            192, [6, 4, 3], [32, 64, 64], [0.10, 0.25, 0.65], [(6, 32), (4, 64), (3, 64), (3, 32)]
        ),
        (160, [5, 4], [128, 128], [0.10, 0.90], [(5, 128), (4, 32)]),
        (96, [4], [32], [1.0], [(4, 32), (4, 32), (4, 32)]),
        (32, [8, 4], [32, 128], [0.05, 0.95], [(8, 32)]),
        (2048, [4, 3], [1024, 1024], [0.1, 0.9], [(4, 1024), (3, 1024)]),
    ])
    func `rows divide as the converter divides them`(
        inputs: Int, bits: [Int], sizes: [Int], shares: [Double], expected: [(Int, Int)]
    ) throws {
        let groups = EXL2Geometry.groups(
            inputs: inputs, bits: bits, groupSizes: sizes, proportions: shares)
        #expect(groups == expected.map { EXL2Group(bits: $0.0, rows: $0.1) })
    }

    @Test func `sections that leave rows over are refused`() {
        #expect(
            EXL2Geometry.groups(inputs: 256, bits: [4], groupSizes: [32], proportions: [0.5]) == nil
        )
    }

    /// Width of a head, then rows of each section and the number of groups, for 4096 inputs.
    @Test(arguments: [
        (2, [4: 1248, 2: 2848], 128), (3, [4: 640, 3: 3456], 128), (4, [6: 640, 4: 3456], 128),
        (5, [6: 640, 5: 3456], 32), (6, [8: 640, 6: 3456], 32), (8, [8: 4096], 32),
    ])
    func `a head divides as the converter divides it`(
        bits: Int, rows: [Int: Int], count: Int
    ) throws {
        let sections = try #require(EXL2Geometry.head(bits: bits))
        #expect(abs(sections.reduce(0) { $0 + $1.proportion } - 1) < 1e-12)
        let groups = try #require(EXL2Geometry.groups(inputs: 4096, sections: sections))
        #expect(groups.count == count)
        var found: [Int: Int] = [:]
        for group in groups { found[group.bits, default: 0] += group.rows }
        #expect(found == rows)
        let codes = rows.reduce(0) { $0 + $1.key * $1.value } * 32_000
        #expect(
            EXL2Geometry.storedBits(groups: groups, inputs: 4096, outputs: 32_000, bias: true)
                == codes + count * (48 + 4 * 32_000) + 32 * 4096 + 16 * 32_000)
    }

    @Test(arguments: [0, 1, 7, 9, 16])
    func `there is no head of other widths`(bits: Int) {
        #expect(EXL2Geometry.head(bits: bits) == nil)
    }

    @Test(arguments: EXL2Matrix.all)
    func `accounting agrees with the tensors`(matrix: EXL2Matrix) throws {
        let bits = EXL2Geometry.storedBits(
            groups: matrix.groups, inputs: matrix.inputs, outputs: matrix.outputs, bias: false)
        let padding = EXL2Geometry.paddedOutputs(matrix.outputs) - matrix.outputs
        let padded = matrix.groups.reduce(0) { $0 + ($1.rows * $1.bits + 4) * padding }
        #expect(try matrix.source().storedBytes * 8 == bits + padded)
    }
}
