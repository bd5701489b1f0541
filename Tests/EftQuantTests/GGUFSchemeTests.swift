// SPDX-License-Identifier: Apache-2.0
// Blocks of GGUF's types in panels: values, products and gradients against what the blocks stand for.
import CEftKernels
import EftConfig
import EftFormats
import EftGGUF
import EftQuant
import EftTensor
import EftTestSupport
import Testing

/// A checkpoint of one matrix `m.weight` of random blocks.
private struct BlockCheckpoint: CheckpointReader {
    let path = "blocks"
    let tensors: [TensorInfo]
    let opaqueTensors: [OpaqueTensor] = []
    let metadata: [String: String] = [:]
    let type: GGUFTensorType
    let values: [Float]
    var blocks: [UInt8]
    private let columns: Int

    init(_ type: GGUFTensorType, rows: Int, columns: Int, halves: [Int]) throws {
        var random = SplitMix64(seed: UInt64(type.rawValue) + 100)
        let count = rows * columns / type.blockSize
        var blocks = (0..<count * type.blockBytes).map { _ in
            UInt8.random(in: 0...255, using: &random)
        }
        for block in 0..<count {
            for half in halves { blocks[block * type.blockBytes + half] &= 0xB7 }
            // Exponents of MXFP4 around 1.
            if type == .mxfp4 { blocks[block * type.blockBytes] = 120 + UInt8(block % 8) }
        }
        var values = [Float](repeating: 0, count: rows * columns)
        #expect(eft_gguf_values(type.rawValue, count, blocks, &values))
        self.type = type
        self.values = values
        self.blocks = blocks
        self.columns = columns
        tensors = [
            try TensorInfo(name: "m.weight", dtype: .f32, shape: Shape(rows, columns))
        ]
    }

    func find(_ name: String) -> TensorInfo? { name == "m.weight" ? tensors[0] : nil }

    func read(
        _ name: String, bytes range: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        values.withUnsafeBytes {
            target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[range]))
        }
    }

    func withBytes<R>(
        of name: String, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        try values.withUnsafeBytes(body)
    }

    func releasePages(of name: String) {}

    func blockType(of name: String) -> GGUFTensorType? { find(name) == nil ? nil : type }

    func readBlocks(
        _ name: String, rows: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        let width = columns / type.blockSize * type.blockBytes
        blocks.withUnsafeBytes {
            target.copyMemory(
                from: UnsafeRawBufferPointer(
                    rebasing: $0[rows.lowerBound * width..<rows.upperBound * width]))
        }
    }
}

struct GGUFSchemeTests {
    private static let (n, k) = (37, 512)

    /// The types with the high bytes of the half-precision numbers in their blocks.
    private static func types() throws -> [(GGUFTensorType, [Int])] {
        let file = Fixtures.path("gguf/types/types.json")
        let types = try ConfigCursor(JSONParser.parse(FileSystem.read(file))).required("types")
        return try types.object().keys.compactMap { name in
            let entry = try types.required(name)
            let halves = try entry.required("halves").elements().map { try $0.int() }
            return GGUFTensorType(rawValue: UInt32(try entry.required("type").int())).map {
                ($0, halves)
            }
        }
    }

    private func source(_ checkpoint: BlockCheckpoint) throws -> LinearSource {
        try LinearSource(module: "m", checkpoint: checkpoint, inputs: Self.k, outputs: Self.n)
    }

    @Test(arguments: try types())
    private func `panels hold what blocks stand for`(type: (GGUFTensorType, [Int])) throws {
        let checkpoint = try BlockCheckpoint(
            type.0, rows: Self.n, columns: Self.k, halves: type.1)
        let source = try source(checkpoint)
        #expect(source.schemeName == "GGUF" && source.formName == type.0.name)
        #expect(source.storedBytes == checkpoint.blocks.count)
        let ledger = MemoryLedger()
        let backend = try CPUBackend(ledger: ledger, threads: 2)
        let weight = try source.load(as: .asStored, backend: backend)
        #expect(try weight.layout == source.layout(as: .asStored))
        #expect(try ledger.current[.weights] == source.layout(as: .asStored).byteCount)
        #expect(try ledger.peak[.workspace] <= source.loadScratchBytes(as: .asStored))
        let out = try Matrix(rows: Self.n, columns: Self.k, ledger: nil)
        backend.gather(weight, rows: (0..<Int32(Self.n)).map { $0 }, into: out)
        // Codes with a scale are exact, halves have 11 bits.
        var step: Float = 0x1p-11
        if case .coded = weight.layout.format {
            step = 0
            // Scales of blocks are bytes where the file has six bits.
            let padded = Double(weight.layout.panels * 16) / Double(Self.n)
            let held = Double(weight.layout.byteCount - weight.layout.tableBytes)
            #expect(held <= 1.04 * padded * Double(source.storedBytes))
        }
        for (start, part) in zip(
            stride(from: 0, to: checkpoint.values.count, by: 32),
            stride(from: 32, through: checkpoint.values.count, by: 32))
        {
            let expected = checkpoint.values[start..<part]
            let top = expected.map(abs).max() ?? 0
            let offset = zip(out.array[start..<part], expected).map { abs($0 - $1) }.max() ?? 0
            #expect(offset <= step * max(top, 0x1p-13), "\(type.0.name) at \(start)")
        }
        for target in [WeightTarget.f32, .nf4(doubleQuantization: false)] {
            let other = try source.load(as: target, backend: backend)
            #expect(try other.layout == source.layout(as: target))
        }
        #expect(
            try source.load(as: .f32, backend: backend).values(backend) == checkpoint.values)
    }

    @Test(arguments: try types(), InstructionSet.available)
    private func `products and gradients are those of the values`(
        type: (GGUFTensorType, [Int]), level: InstructionSet
    ) throws {
        let checkpoint = try BlockCheckpoint(
            type.0, rows: Self.n, columns: Self.k, halves: type.1)
        let backend = try CPUBackend(threads: 2, precision: .f32, instructionSet: level)
        let weight = try source(checkpoint).load(as: .asStored, backend: backend)
        let values = checkpoint.values
        // Numbers that are held in half precision are off by up to one part in 2048.
        var tolerance = 2e-4
        if case .f16 = weight.layout.format { tolerance += 0x1p-11 }
        for rows in [1, 3, 40] {
            let x = try Matrix(rows: rows, columns: Self.k, ledger: nil)
            let y = try Matrix(rows: rows, columns: Self.n, ledger: nil)
            let dx = try Matrix(rows: rows, columns: Self.k, ledger: nil)
            for (index, value) in noise(rows * Self.k, seed: 9).enumerated() {
                x.pointer[index] = value
                dx.pointer[index] = 1
            }
            try backend.multiply(x, [weight], into: [y], accumulate: false)
            for row in 0..<rows {
                for output in 0..<Self.n {
                    var (sum, size) = (0.0, 0.0)
                    for input in 0..<Self.k {
                        let term =
                            Double(x.pointer[row * Self.k + input])
                            * Double(values[output * Self.k + input])
                        sum += term
                        size += abs(term)
                    }
                    let found = Double(y.pointer[row * Self.n + output])
                    #expect(abs(found - sum) <= tolerance * size, "\(rows) rows")
                }
            }
            try backend.multiplyTransposed(y, weight, into: dx, accumulate: true)
            for row in 0..<rows {
                for input in stride(from: 0, to: Self.k, by: 7) {
                    var (sum, size) = (1.0, 1.0)
                    for output in 0..<Self.n {
                        let term =
                            Double(y.pointer[row * Self.n + output])
                            * Double(values[output * Self.k + input])
                        sum += term
                        size += abs(term)
                    }
                    let found = Double(dx.pointer[row * Self.k + input])
                    #expect(abs(found - sum) <= tolerance * size, "\(rows) rows")
                }
            }
            // A row has the same bits alone, and so has a pair that is gated at once.
            let one = try Matrix(rows: 1, columns: Self.n, ledger: nil)
            try backend.multiply(
                x.rows(rows - 1..<rows), [weight], into: [one], accumulate: false)
            #expect(bits(one.array) == bits(y.rows(rows - 1..<rows).array))
            let gated = try Matrix(rows: rows, columns: Self.n, ledger: nil)
            let other = try Matrix(
                rows: min(rows, backend.gatedRows), columns: Self.n, ledger: nil)
            let isDone = try backend.multiplyGated(
                x, gate: weight, up: weight, .relu, into: gated, scratch: other)
            #expect(isDone == (backend.instructionSet != .scalar))
            let wanted = y.array.map { isDone ? max($0, 0) * $0 : 0 }
            #expect(bits(gated.array) == bits(wanted))
        }
    }

    @Test func `scales that are not finite are refused`() throws {
        let halves: [(GGUFTensorType, [Int])] = [
            (.q4_0, [1]), (.q4_1, [1, 3]), (.q5_0, [1]), (.q5_1, [1, 3]), (.q8_0, [1]),
            (.q2_K, [81, 83]), (.q3_K, [109]), (.q4_K, [1, 3]), (.q5_K, [1, 3]), (.q6_K, [209]),
            (.mxfp4, [0]),
        ]
        for (type, half) in halves.flatMap({ type, all in all.map { (type, $0) } }) {
            var checkpoint = try BlockCheckpoint(
                type, rows: Self.n, columns: Self.k,
                halves: halves.first { $0.0 == type }?.1 ?? [])
            checkpoint.blocks[checkpoint.blocks.count - type.blockBytes + half] =
                type == .mxfp4 ? 0xFF : 0x7C
            let source = try source(checkpoint)
            let error = #expect(throws: FormatError.self) {
                try source.load(as: .asStored, backend: CPUBackend(threads: 1))
            }
            #expect(error?.code == .damaged && error?.tensor == "m.weight")
        }
    }
}
