// SPDX-License-Identifier: Apache-2.0
// The steps of a quantization to EXL2 beside the machine's limits.
import EftConversion
import EftPlanning
import EftQuant
import EftTensor

/// Times the steps of GPTQ on a random layer.
package struct QuantizeBenchmark {
    private static let inputs = 2048
    private static let outputs = 2048
    private static let tokens = 2048
    private static let bits = 4
    /// Arithmetic on a number for one clipping: a product with the inverse scale, two bounds, two roundings, a product and
    /// a difference, the power by three products and a root, and the sum.
    private static let searchOperations = 12.0
    private static let clippings = 97.0

    private let backend: CPUBackend
    private let limits: MachineLimits
    private let table: EXL2Table
    private let weights: Matrix

    /// Takes the memory.
    /// - Throws: `TensorError`.
    package init(_ backend: CPUBackend, limits: MachineLimits) throws(TensorError) {
        self.backend = backend
        self.limits = limits
        let groups = EXL2Geometry.uniform(bits: Self.bits, inputs: Self.inputs) ?? []
        table = EXL2Table(groups)
        weights = try Matrix(rows: Self.inputs, columns: Self.outputs, ledger: nil)
        fill(weights, seed: 1)
    }

    /// Runs all steps, then the whole on the same layer.
    /// - Throws: `TensorError`, `ConversionError`.
    package func run() throws -> [BenchmarkResult] {
        var results: [BenchmarkResult] = []
        let hessian = try hessian(&results)
        let gptq = try GPTQ(weights: weights, table: table, backend: backend)
        let packer = try EXL2Packer(table: table, outputs: Self.outputs, ledger: nil)
        let size = Double(Self.inputs * Self.outputs)
        let propagation = try seconds {
            for group in table.groups.indices { try gptq.propagate(group, factor: hessian.values) }
        }
        results.append(
            arithmetic("error propagation", propagation, Double(Self.inputs) * size))
        let search = try seconds {
            for (index, group) in table.groups.enumerated() {
                _ = try ScaleSearch.search(
                    weights.pointer + table.firstRows[index] * Self.outputs, rows: group.rows,
                    columns: Self.outputs, bits: group.bits, backend: backend)
            }
        }
        results.append(
            arithmetic("scale search", search, Self.searchOperations * Self.clippings * size))
        let packing = seconds { pack(packer) }
        results.append(
            BenchmarkResult(
                "packing \(Self.bits)-bit codes", size / packing / 1e9, "GB/s",
                limit: limits.readBandwidth / 1e9, limitName: "read bandwidth"))
        let whole = try seconds {
            fill(weights, seed: 1)
            _ = try gptq.quantize(factor: hessian.values, into: packer)
        }
        results.append(
            BenchmarkResult(
                "GPTQ of a layer \(Self.inputs) x \(Self.outputs)", size / whole / 1e6, "Mweight/s")
        )
        return results
    }

    /// Times the Hessian of random inputs and its factor.
    private func hessian(_ results: inout [BenchmarkResult]) throws -> Hessian {
        let x = try Matrix(rows: Self.tokens, columns: Self.inputs, ledger: nil)
        fill(x, seed: 2)
        let hessian = try Hessian(size: Self.inputs, ledger: nil)
        let size = Double(Self.inputs)
        func add(_ precision: ActivationPrecision, _ limit: Double, _ name: String) throws {
            let statistics = CPUBackend(backend, precision: precision)
            let adding = try seconds { try hessian.add(x, backend: statistics) }
            results.append(
                BenchmarkResult(
                    "Hessian of \(Self.tokens) tokens, \(precision.rawValue)",
                    Double(Self.tokens) * size * size / adding / 1e9, "GFLOP/s",
                    limit: limit / 1e9, limitName: name))
        }
        try add(.f32, limits.fmaPeak, "FMA peak")
        if limits.bf16Peak > 0 { try add(.bf16, limits.bf16Peak, "bf16 peak") }
        if limits.int8Peak > 0 { try add(.int8, limits.int8Peak, "int8 peak") }
        let factoring = try Stopwatch.seconds {
            try hessian.factor(module: "random", backend: backend)
        }
        results.append(arithmetic("factorization", factoring, 2 / 3 * size * size * size))
        return hessian
    }

    private func pack(_ packer: EXL2Packer) {
        let codes = [UInt8](repeating: 5, count: table.largestGroup * Self.outputs)
        let scales = [UInt8](repeating: 9, count: Self.outputs)
        codes.withUnsafeBufferPointer { codes in
            for (index, group) in table.groups.enumerated() {
                packer.setGroup(
                    index,
                    codes: UnsafeBufferPointer(rebasing: codes[..<(group.rows * Self.outputs)]),
                    scaleCodes: scales, scaleMax: 0x3C00, workers: backend)
            }
        }
    }

    private func arithmetic(
        _ name: String, _ seconds: Double, _ operations: Double
    ) -> BenchmarkResult {
        BenchmarkResult(
            name, operations / seconds / 1e9, "GFLOP/s", limit: limits.fmaPeak / 1e9,
            limitName: "FMA peak")
    }

    private func seconds(_ body: () throws -> Void) rethrows -> Double {
        try Stopwatch.median(5, body)
    }
}

/// Fills a matrix with random numbers between -1 and 1.
private func fill(_ matrix: Matrix, seed: UInt64) {
    var random = SplitMix64(seed: seed)
    for index in 0..<matrix.count {
        matrix.pointer[index] = Float(Int64(truncatingIfNeeded: random.next() >> 40)) * 0x1p-23 - 1
    }
}
