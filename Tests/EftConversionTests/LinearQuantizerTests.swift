// SPDX-License-Identifier: Apache-2.0
// One layer: mixed widths, files in other folders, and quantizing on trial.
import EftConversion
import EftFormats
import EftModels
import EftQuant
import EftTensor
import EftTestSupport
import Testing

struct LinearQuantizerTests {
    private static let inputs = 256
    private static let outputs = 72

    private let folder: TemporaryFolder
    private let ledger = MemoryLedger()
    private let backend: CPUBackend
    private let quantizer: LinearQuantizer
    private let weights: [Float]

    init() throws {
        folder = try TemporaryFolder()
        backend = try CPUBackend(ledger: ledger, threads: 2)
        var generator = NormalGenerator(seed: 5)
        weights = (0..<LinearQuantizerTests.inputs * LinearQuantizerTests.outputs).map { _ in
            Float(generator.normal()) * 0.1
        }
        let info = try TensorInfo(
            name: "layer.weight", dtype: .f32,
            shape: Shape(LinearQuantizerTests.outputs, LinearQuantizerTests.inputs))
        let writer = try SafetensorsWriter(
            folder: folder.path, baseName: "model", tensors: [info], maxShardBytes: .max)
        try weights.withUnsafeBytes { try writer.write(info.name, $0) }
        try writer.finish()
        quantizer = LinearQuantizer(
            checkpoint: try SafetensorsFile(path: folder.file("model.safetensors")),
            folder: folder.path, backend: backend)
    }

    private func target(_ groups: [EXL2Group]) -> LinearQuantizer.Target {
        LinearQuantizer.Target(
            name: "quantized", source: "layer", inputs: LinearQuantizerTests.inputs,
            outputs: LinearQuantizerTests.outputs, hasBias: false, groups: groups)
    }

    /// The Hessian of tokens whose numbers hang together, factored; and the tokens `[T][K]`.
    private func hessian() throws -> (Hessian, Matrix) {
        let size = LinearQuantizerTests.inputs
        let hessian = try Hessian(size: size, ledger: nil)
        let tokens = try Matrix(rows: 240, columns: size, ledger: nil)
        var generator = NormalGenerator(seed: 9)
        for row in 0..<tokens.rows {
            var last = 0.0
            for column in 0..<size {
                last = 0.6 * last + generator.normal() * (1 + Double(column % 7))
                tokens.pointer[row * size + column] = Float(last)
            }
        }
        for rows in [0..<80, 80..<128, 128..<240] {
            try hessian.add(tokens.rows(rows), backend: backend)
        }
        try hessian.factor(module: "layer", backend: backend)
        return (hessian, tokens)
    }

    /// The mean of the squares of each output of a weight `[N][K]` over the tokens.
    private func energies(_ weight: [Float], _ tokens: Matrix) -> [Double] {
        weight.withUnsafeBufferPointer { weight in
            (0..<LinearQuantizerTests.outputs).map { output -> Double in
                var sum = 0.0
                for token in 0..<tokens.rows {
                    var value = 0.0
                    for input in 0..<tokens.columns {
                        value +=
                            Double(weight[output * tokens.columns + input])
                            * Double(tokens.pointer[token * tokens.columns + input])
                    }
                    sum += value * value
                }
                return sum / Double(tokens.rows)
            }
        }
    }

    /// H_kk of the Hessian, a mean over tokens.
    private func activity(_ input: Int, _ tokens: Matrix) -> Double {
        (0..<tokens.rows).reduce(0.0) { sum, token in
            let value = Double(tokens.pointer[token * tokens.columns + input])
            return sum + value * value / Double(tokens.rows)
        }
    }

    private static let mixtures = [
        [8, 6, 5, 4, 3, 2, 2, 2], [4, 4, 4, 4, 3, 3, 3, 3], [6, 6, 2, 2, 2, 2, 2, 2],
    ].map { $0.map { EXL2Group(bits: $0, rows: 32) } }

    @Test(arguments: mixtures)
    func `quantizing on trial tells the error of the file that would be written`(
        _ groups: [EXL2Group]
    ) throws {
        let (inputs, outputs) = (LinearQuantizerTests.inputs, LinearQuantizerTests.outputs)
        let (hessian, tokens) = try hessian()
        let columnWeights = (0..<outputs).map { Float($0 % 5) + 0.5 }
        let others = [EXL2Group(bits: 3, rows: 128), EXL2Group(bits: 2, rows: 128)]
        let measured = try quantizer.measure(
            target(groups), hessian: hessian, tables: [EXL2Table(others), EXL2Table(groups)],
            columnWeights: columnWeights)
        #expect(measured.count == 2)
        #expect(!FileSystem.exists(quantizer.path("quantized")))
        let other = folder.file("aside")
        try FileSystem.createFolder(other)
        let report = try quantizer.quantize(target(groups), hessian: hessian, folder: other)
        let path = quantizer.path("quantized", in: other)
        let written = try LinearSource(
            module: "quantized", checkpoint: SafetensorsFile(path: path), inputs: inputs,
            outputs: outputs)
        var values = [Float](repeating: 0, count: weights.count)
        try values.withUnsafeMutableBufferPointer {
            try written.dequantize(outputs: 0..<outputs, into: $0)
        }
        let found = energies(zip(weights, values).map { $0 - $1 }, tokens)
        let norm = energies(weights, tokens).reduce(0, +)
        let energy = found.reduce(0, +)
        let weighted = zip(found, columnWeights).reduce(0) { $0 + $1.0 * Double($1.1) }
        #expect(abs(measured[1].energy / energy - 1) < 1e-3)
        #expect(abs(measured[1].weighted / weighted - 1) < 1e-3)
        #expect(abs(measured[1].error / (energy / norm) - 1) < 1e-3)
        #expect(abs(report.error / measured[1].error - 1) < 1e-4)
        #expect(report.error < report.roundingError)
    }

    @Test(arguments: [2, 3, 4, 5, 6, 8])
    func `scales by what errors cost lose less at every width`(_ bits: Int) throws {
        let (hessian, _) = try hessian()
        let better = LinearQuantizer(
            checkpoint: quantizer.checkpoint, folder: folder.path, recipe: .eft, backend: backend)
        let table = EXL2Table([EXL2Group](repeating: EXL2Group(bits: bits, rows: 64), count: 4))
        let errors = try [quantizer, better].map {
            try $0.measure(target(table.groups), hessian: hessian, tables: [table])[0].error
        }
        #expect(errors[1] < errors[0])
        // What is written has gone through the descent, which a trial does without.
        let report = try better.quantize(target(table.groups), hessian: hessian)
        #expect(report.error < errors[1])
    }

    @Test func `weights of nothing have scales of zero`() throws {
        let x = [Float](repeating: 0, count: 32 * 16)
        let found = try x.withUnsafeBufferPointer { buffer in
            try ScaleFit.search(
                #require(buffer.baseAddress), rows: 32, columns: 16,
                rowWeights: [Float](repeating: 1, count: 32), bits: 4, backend: backend)
        }
        #expect(found.values.allSatisfy { $0 == 0 })
        #expect(found.codes.allSatisfy { (1...16).contains($0) })
    }

    @Test func `weights make up for inputs that come from quantized layers`() throws {
        let (size, outputs, rows) = (64, 40, 500)
        var generator = NormalGenerator(seed: 3)
        let hessian = try Hessian(size: size, ledger: nil)
        let cross = try CrossHessian(size: size, ledger: nil)
        let x = try Matrix(rows: rows, columns: size, ledger: nil)
        let original = try Matrix(rows: rows, columns: size, ledger: nil)
        for row in 0..<rows {
            for column in 0..<size {
                let value = generator.normal() * (1 + 0.1 * Double(column))
                original.pointer[row * size + column] = Float(value)
                // Quantized layers scale what they let through, and add noise.
                x.pointer[row * size + column] = Float(0.9 * value + 0.2 * generator.normal())
            }
        }
        let kept = original.array
        try hessian.add(x, backend: backend)
        try cross.add(x, original: original, backend: backend)
        try hessian.factor(module: "layer", backend: backend)
        cross.order(as: hessian, on: backend)
        let w = (0..<size * outputs).map { _ in Float(generator.normal()) }
        let weights = try Matrix(rows: size, columns: outputs, ledger: nil)
        for (row, input) in hessian.permutation.enumerated() {
            for column in 0..<outputs {
                weights.pointer[row * outputs + column] = w[Int(input) * outputs + column]
            }
        }
        try cross.adjust(weights, share: 1, hessian: hessian, backend: backend)
        // The normal equations of the damped least squares, in f64: (H + damp) (W* - W) = C W.
        let places = hessian.places.map { Int($0) }
        for input in stride(from: 0, to: size, by: 9) {
            for column in stride(from: 0, to: outputs, by: 7) {
                var (left, right) = (0.0, 0.0)
                for other in 0..<size {
                    var (h, c) = (input == other ? hessian.damp : 0, 0.0)
                    for row in 0..<rows {
                        let held = Double(x.pointer[row * size + input])
                        let second = Double(x.pointer[row * size + other])
                        h += held * second
                        c += held * (Double(kept[row * size + other]) - second)
                    }
                    let old = Double(w[other * outputs + column])
                    let new = Double(weights.pointer[places[other] * outputs + column])
                    left += h * (new - old)
                    right += c * old
                }
                #expect(abs(left - right) < 2e-3 * max(abs(right), 100))
            }
        }
    }

    @Test func `without weights of outputs all count the same`() throws {
        let (hessian, _) = try hessian()
        let table = EXL2Table(LinearQuantizerTests.mixtures[1])
        let measured = try quantizer.measure(
            target(table.groups), hessian: hessian, tables: [table])
        #expect(abs(measured[0].weighted / measured[0].energy - 1) < 1e-9)
    }

    @Test func `trials take no more memory than they say`() throws {
        let (hessian, _) = try hessian()
        let tables = LinearQuantizerTests.mixtures.map { EXL2Table($0) }
        // Products' scratch, which a plan counts by itself.
        try backend.reserveScratch(
            backend.gemmScratchBytes(
                m: LinearQuantizerTests.inputs, n: LinearQuantizerTests.outputs,
                k: LinearQuantizerTests.inputs))
        let scratch = ledger.current.total
        ledger.resetPeak()
        _ = try quantizer.measure(
            target(tables[0].groups), hessian: hessian, tables: tables)
        let most = LinearQuantizer.measuringByteCount(
            inputs: LinearQuantizerTests.inputs, outputs: LinearQuantizerTests.outputs,
            tables: tables, threads: backend.threads)
        let triangle = TriangularProducts.byteCount(
            size: LinearQuantizerTests.inputs, columns: LinearQuantizerTests.outputs)
        #expect(ledger.peakTotal - scratch <= most + triangle)
        #expect(ledger.peakTotal - scratch > most / 2)
    }

    @Test func `a row's weight is the loss by its rounding once later rows have made up for it`()
        throws
    {
        let (hessian, tokens) = try hessian()
        let size = hessian.size
        // The last stored row has no later ones: its weight is its own entry of the damped Hessian.
        let last = Int(hessian.permutation[size - 1])
        let wanted = activity(last, tokens) / hessian.shareOfToken + hessian.damp
        let weights = hessian.rowWeights
        #expect(weights.count == size)
        #expect(abs(Double(weights[size - 1]) / wanted - 1) < 1e-3)
        // All others lose less than they would alone.
        for (row, input) in hessian.permutation.enumerated() {
            let alone = activity(Int(input), tokens) / hessian.shareOfToken + hessian.damp
            #expect(Double(weights[row]) < alone * 1.001 && weights[row] > 0)
        }
    }
}
