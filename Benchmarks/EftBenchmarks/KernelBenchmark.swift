// SPDX-License-Identifier: Apache-2.0
// Products at TinyLlama's shapes beside the machine's limits.
import EftModels
import EftPlanning
import EftQuant
import EftTensor

/// Times matrix-vector and matrix products.
package enum KernelBenchmark {
    private static let shapes = [(2048, 2048), (2048, 5632), (5632, 2048)]

    /// Runs all: products of one row, and those with EXL2's and GGUF's weights, as generation does them, the others as training.
    package static func run(
        generating: CPUBackend, training: CPUBackend, limits: MachineLimits
    ) throws -> [BenchmarkResult] {
        try vectors(generating, limits)
            + matrices(generating: generating, training: training, limits)
    }

    private struct Form {
        let name: String
        let layout: WeightLayout
        let format: PlannedFormat
    }

    /// Mixes of widths within a matrix, as ExLlamaV2's tables have them.
    private static let mixes: [(name: String, sections: [EXL2Section])] = [
        ("3,2", [(3, 64, 0.1), (2, 64, 0.9)]), ("4,3", [(4, 128, 0.1), (3, 128, 0.9)]),
        ("5,4", [(5, 32, 0.1), (4, 32, 0.9)]),
        ("8,6,5", [(8, 32, 0.05), (6, 128, 0.1), (5, 128, 0.85)]),
    ].map { name, sections in
        (
            name,
            sections.map { EXL2Section(bits: $0.0, groupSize: $0.1, proportion: $0.2) }
        )
    }

    private static func forms(inputs: Int, outputs: Int) -> [Form] {
        let nf4 = DenseScheme.layout(
            stored: .bf16, as: .nf4(doubleQuantization: true), inputs: inputs, outputs: outputs)
        var all = [Form(name: "NF4", layout: nf4, format: .nf4(ends: .bf16))]
        for bits in EXL2Geometry.uniformWidths {
            if let groups = EXL2Geometry.uniform(bits: bits, inputs: inputs) {
                all.append(
                    Form(
                        name: "EXL2 \(bits)-bit",
                        layout: EXL2Table(groups).layout(outputs: outputs),
                        format: .exl2(bits: Double(bits), headBits: bits)))
            }
        }
        for (name, form) in BlockForm.all where ["Q4_0", "Q4_K", "Q6_K"].contains(name) {
            all.append(
                Form(
                    name: "GGUF \(name)", layout: form.layout(inputs: inputs, outputs: outputs),
                    format: .exl2(bits: Double(form.bits), headBits: form.bits)))
        }
        for (name, sections) in mixes {
            guard let groups = EXL2Geometry.groups(inputs: inputs, sections: sections) else {
                continue
            }
            let bits = Double(groups.reduce(0) { $0 + $1.bits * $1.rows }) / Double(inputs)
            all.append(
                Form(
                    name: "EXL2 \(name)-bit", layout: EXL2Table(groups).layout(outputs: outputs),
                    format: .exl2(bits: bits, headBits: 6)))
        }
        for (name, format, dtype) in [
            ("bf16", WeightLayout.Format.bf16, DType.bf16), ("f32", .f32, .f32),
        ] {
            all.append(
                Form(
                    name: name, layout: WeightLayout(format, inputs: inputs, outputs: outputs),
                    format: .dense(dtype)))
        }
        return all
    }

    /// One row; enough copies of the weight that they do not stay in the caches. All forms at one shape, the 4-bit ones
    /// at all.
    private static func vectors(
        _ backend: CPUBackend, _ limits: MachineLimits
    ) throws -> [BenchmarkResult] {
        let chosen = shapes.flatMap { inputs, outputs in
            forms(inputs: inputs, outputs: outputs).filter {
                (inputs, outputs) == (2048, 5632)
                    || ["NF4", "EXL2 4-bit", "GGUF Q4_K"].contains($0.name)
            }
        }
        return try chosen.map { form in
            let layout = form.layout
            let copies = max(1, (192 << 20) / layout.byteCount)
            let weights = try (0..<copies).map {
                try RandomWeights.weight(layout, seed: UInt64($0 + 1), ledger: nil)
            }
            let x = try input(rows: 1, columns: layout.inputs)
            let y = try Matrix(rows: 1, columns: layout.outputs, ledger: nil)
            let seconds = try Stopwatch.median(5) {
                for weight in weights {
                    try backend.multiply(x, weight, into: y, accumulate: false)
                }
            }
            let speed = Double(copies * layout.byteCount) / seconds
            return BenchmarkResult(
                "\(form.name) matrix-vector \(layout.inputs) x \(layout.outputs)", speed / 1e9,
                "GB/s",
                limit: limits.readBandwidth / 1e9, limitName: "read bandwidth")
        }
    }

    private static func matrices(
        generating: CPUBackend, training: CPUBackend, _ limits: MachineLimits
    ) throws -> [BenchmarkResult] {
        var results: [BenchmarkResult] = []
        for (inputs, outputs) in shapes {
            for form in forms(inputs: inputs, outputs: outputs) {
                let isChosen = [
                    "NF4", "EXL2 4-bit", "GGUF Q4_K", "GGUF Q6_K", "bf16", "f32",
                ].contains(form.name)
                // All widths and mixes at one shape, as they generate.
                guard isChosen || (inputs, outputs) == (2048, 5632) else { continue }
                for backward in isChosen ? [false, true] : [false] {
                    let isCoded = form.name.hasPrefix("EXL2") || form.name.hasPrefix("GGUF")
                    let isGenerating = !backward && isCoded
                    let backend = isGenerating ? generating : training
                    // A transposed product is never in integers.
                    let peak = limits.peak(form.format, backward ? .f32 : backend.precision)
                    let speed = try product(backend, form.layout, rows: 512, backward: backward)
                    let direction = backward ? "transposed product" : "product"
                    results.append(
                        BenchmarkResult(
                            "\(form.name) \(direction) 512 x \(inputs) x \(outputs)", speed / 1e9,
                            "GFLOP/s", limit: peak.value / 1e9, limitName: peak.name))
                }
            }
        }
        return results
    }

    private static func product(
        _ backend: CPUBackend, _ layout: WeightLayout, rows: Int, backward: Bool
    ) throws -> Double {
        let weight = try RandomWeights.weight(layout, seed: 3, ledger: nil)
        let x = try input(rows: rows, columns: layout.inputs)
        let y = try input(rows: rows, columns: layout.outputs)
        let seconds = try Stopwatch.median(5) {
            if backward {
                try backend.multiplyTransposed(y, weight, into: x, accumulate: false)
            } else {
                try backend.multiply(x, weight, into: y, accumulate: false)
            }
        }
        return 2 * Double(rows) * Double(layout.inputs) * Double(layout.outputs) / seconds
    }

    private static func input(rows: Int, columns: Int) throws -> Matrix {
        let matrix = try Matrix(rows: rows, columns: columns, ledger: nil)
        for index in 0..<matrix.count { matrix.pointer[index] = Float(index % 17) * 0.01 - 0.08 }
        return matrix
    }
}
