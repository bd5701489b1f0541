// SPDX-License-Identifier: Apache-2.0
// Scale search, Hessian factor and GPTQ against the reference's numbers.
import EftConfig
import EftConversion
import EftFormats
import EftQuant
import EftTensor
import EftTestSupport
import Testing

struct GPTQGoldenTests {
    private let backend: CPUBackend

    init() throws { backend = try CPUBackend(ledger: MemoryLedger(), threads: 2) }

    /// Names of matrices in the fixture of scale searches.
    static let groups = [2, 3, 4, 5, 6, 8].flatMap { ["b\($0)_32x16", "b\($0)_64x24"] }

    private func half(_ bytes: [UInt8]) -> [UInt16] {
        stride(from: 0, to: bytes.count, by: 2).map {
            UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8
        }
    }

    @Test(arguments: groups)
    func `the scale search finds the reference's scales`(_ name: String) throws {
        let file = try SafetensorsFile(path: Fixtures.path("exl2-quantizer/groups.safetensors"))
        let x = try file.floats(of: "\(name)/x")
        let info = try file.tensor("\(name)/x")
        let bits = Int(name.dropFirst().prefix(1)) ?? 0
        let found = try x.withUnsafeBufferPointer { buffer in
            try ScaleSearch.search(
                #require(buffer.baseAddress), rows: info.shape.dims[0],
                columns: info.shape.dims[1], bits: bits, backend: backend)
        }
        #expect(try found.codes == file.bytes(of: "\(name)/s"))
        #expect(try [found.scaleMax] == half(file.bytes(of: "\(name)/scale_max")))
        #expect(try found.values == file.floats(of: "\(name)/scales"))
        let index = try file.bytes(of: "\(name)/p_index")
        #expect(found.gridIndex == Int(index[0]))
    }

    @Test func `a group of zeros has scales that decode to zero`() throws {
        let x = [Float](repeating: 0, count: 32 * 16)
        let found = try x.withUnsafeBufferPointer { buffer in
            try ScaleSearch.search(
                #require(buffer.baseAddress), rows: 32, columns: 16, bits: 4, backend: backend)
        }
        #expect(found.values.allSatisfy { $0 == 0 })
        #expect(found.codes.allSatisfy { (1...16).contains($0) })
    }

    @Test func `weights beyond the range of halves are refused`() throws {
        let x = [Float](repeating: 1e9, count: 32 * 16)
        #expect(throws: ConversionError.self) {
            try x.withUnsafeBufferPointer { buffer in
                _ = try ScaleSearch.search(
                    #require(buffer.baseAddress), rows: 32, columns: 16, bits: 4, backend: backend)
            }
        }
    }

    /// The fixture's layer: its Hessian, factored.
    private func hessian(_ file: SafetensorsFile) throws -> Hessian {
        let dims = try file.tensor("layer/x").shape.dims
        let x = try file.floats(of: "layer/x")
        let hessian = try Hessian(size: dims[2], ledger: nil)
        for batch in 0..<dims[0] {
            let matrix = try Matrix(rows: dims[1], columns: dims[2], ledger: nil)
            let count = dims[1] * dims[2]
            matrix.assign(Array(x[batch * count..<(batch + 1) * count]))
            try hessian.add(matrix, backend: backend)
        }
        try hessian.factor(module: "layer", backend: backend)
        return hessian
    }

    @Test func `the Hessian's order and factor are the reference's`() throws {
        let file = try SafetensorsFile(path: Fixtures.path("exl2-quantizer/gptq.safetensors"))
        let hessian = try hessian(file)
        let perm = try file.bytes(of: "layer/perm")
        #expect(
            hessian.permutation.map { Int($0) }
                == stride(from: 0, to: perm.count, by: 4).map { Int(perm[$0]) })
        let wanted = try file.floats(of: "layer/u")
        let largest = wanted.reduce(0) { max($0, abs($1)) }
        for row in 0..<hessian.size {
            for column in row..<hessian.size {
                let place = row * hessian.size + column
                #expect(abs(hessian.values[place] - wanted[place]) < 1e-4 * largest)
            }
        }
    }

    @Test(arguments: [4, 3])
    func `GPTQ gives the reference's matrix`(_ bits: Int) throws {
        let file = try SafetensorsFile(path: Fixtures.path("exl2-quantizer/gptq.safetensors"))
        let hessian = try hessian(file)
        let dims = try file.tensor("layer/w").shape.dims
        let w = try file.floats(of: "layer/w")
        let weights = try Matrix(rows: dims[0], columns: dims[1], ledger: nil)
        func load() {
            let permuted = hessian.permutation.flatMap {
                w[Int($0) * dims[1]..<(Int($0) + 1) * dims[1]]
            }
            weights.assign(permuted)
        }
        let groups = try #require(
            EXL2Geometry.groups(
                inputs: dims[0], sections: [EXL2Section(bits: bits, groupSize: 32, proportion: 1)]))
        let table = EXL2Table(groups)
        let packer = try EXL2Packer(table: table, outputs: dims[1], ledger: nil)
        let gptq = try GPTQ(weights: weights, table: table, backend: backend)
        load()
        let norm = try hessian.energy(weights, backend: backend)
        load()
        try gptq.replaceByRoundingErrors()
        let rounding = try (hessian.energy(weights, backend: backend) / norm).squareRoot()
        load()
        let result = try gptq.quantize(factor: hessian.values, into: packer)
        for tensor in try packer.tensors(module: "b\(bits)", permutation: hessian.permutation) {
            let name = tensor.info.name.replacing("b\(bits).", with: "b\(bits)/")
            #expect(try Array(tensor.bytes.bytes) == file.bytes(of: name), "\(name)")
        }
        // The error that the factor gives, less the damping's share.
        var change = 0.0
        for (row, input) in hessian.permutation.enumerated() {
            for column in 0..<dims[1] {
                let d = weights.pointer[row * dims[1] + column] - w[Int(input) * dims[1] + column]
                change += Double(d) * Double(d)
            }
        }
        let error = ((result.energy - hessian.damp * change) / norm).squareRoot()
        let notes = ConfigCursor(
            try JSONParser.parse(FileSystem.read(Fixtures.path("exl2-quantizer/gptq.json"))))
        let expected = try notes.required("b\(bits)")
        #expect(try abs(error - expected.required("error_gptq").double()) < 1e-4)
        #expect(try abs(rounding - expected.required("error_plain").double()) < 1e-4)
    }
}
