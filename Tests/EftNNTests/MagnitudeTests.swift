// SPDX-License-Identifier: Apache-2.0
// DoRA against its definition in 64 bits, with dropout and without.
import EftNN
import EftTensor
import Testing

@Suite struct MagnitudeTests {
    private let rows = 5
    private let inputs = 19
    private let outputs = 37
    private let rank = 3
    private let scale: Float = 0.75
    private let seed: UInt64 = 11

    private func numbers(_ count: Int, _ salt: Int) -> [Float] {
        (0..<count).map { Float(($0 &* 7919 &+ salt &* 104_729) % 1000) / 500 - 1 }
    }

    private func matrix(_ rows: Int, _ columns: Int, _ salt: Int) throws -> Matrix {
        let matrix = try Matrix(rows: rows, columns: columns, ledger: nil)
        matrix.assign(numbers(rows * columns, salt))
        return matrix
    }

    /// A layer with a bias and a trainable adapter in slot 0, and what it is made of.
    private func layer(
        _ backend: CPUBackend, dropout: Float
    ) throws -> (layer: Linear, w: [[Double]]) {
        let weight = try PackedWeight(
            layout: WeightLayout(.f32, inputs: inputs, outputs: outputs), ledger: nil)
        let w = try matrix(outputs, inputs, 1)
        backend.pack(w, into: weight, firstRow: 0)
        let bias = try Buffer(byteCount: outputs * 4, ledger: nil, purpose: .weights)
        for (index, value) in numbers(outputs, 2).enumerated() { bias.floats[index] = value }
        let layer = Linear(name: "layer", ordinal: 3, weight: weight, bias: bias)
        let adapter = try LoRA(
            inputs: inputs, outputs: outputs, rank: rank, scale: scale, dropout: dropout,
            hasMagnitude: true, ledger: nil)
        adapter.a.assign(numbers(rank * inputs, 3))
        adapter.b.assign(numbers(outputs * rank, 4))
        let magnitude = try #require(adapter.magnitude)
        for (index, value) in numbers(outputs, 5).enumerated() {
            magnitude.values.floats[index] = 3 + value
        }
        try adapter.makeTrainable(prefix: "layer", ledger: nil)
        layer.adapters[0] = adapter
        return (layer, rowsOf(w))
    }

    private func rowsOf(_ matrix: Matrix) -> [[Double]] {
        (0..<matrix.rows).map { matrix.rows($0..<$0 + 1).array.map(Double.init) }
    }

    private func product(_ x: [[Double]], _ w: [[Double]]) -> [[Double]] {
        x.map { x in w.map { zip(x, $0).reduce(0) { $0 + $1.0 * $1.1 } } }
    }

    private func transposed(_ x: [[Double]]) -> [[Double]] {
        (x.first ?? []).indices.map { column in x.map { $0[column] } }
    }

    private func expectClose(_ found: [Float], _ wanted: [[Double]], _ what: String) {
        let wanted = wanted.flatMap(\.self)
        let top = wanted.reduce(1e-30) { max($0, abs($1)) }
        let error = zip(found, wanted).reduce(0) { max($0, abs(Double($1.0) - $1.1)) } / top
        #expect(found.count == wanted.count && error < 1e-5, "\(what): \(error)")
    }

    @Test(arguments: [Float(0), 0.25], [true, false])
    func `value and gradients are those of the definition`(
        _ dropout: Float, _ accumulate: Bool
    ) throws {
        let backend = try CPUBackend(threads: 2)
        let (layer, w) = try layer(backend, dropout: dropout)
        let adapter = try #require(layer.adapters[0])
        let scratch = try AdapterScratch(
            backend: backend,
            need: AdapterScratch.Need(
                rows: rows,
                widths: AdapterWidths(rank: rank, changedInputs: inputs, scaledOutputs: outputs),
                backward: true))
        let pass = Pass(
            backend: backend, adapterSegments: [AdapterSegment(rows: 0..<rows, slots: [0])],
            adapterScratch: scratch, dropoutSeed: dropout > 0 ? seed : nil)
        let (x, dy) = (try matrix(rows, inputs, 6), try matrix(rows, outputs, 7))
        let (y, dx) = (try matrix(rows, outputs, 8), try matrix(rows, inputs, 9))
        let (before, dxBefore) = (rowsOf(y), rowsOf(dx))
        try layer.forward(x, into: y, accumulate: accumulate, pass)
        try layer.backward(x, dy: dy, into: dx, accumulate: accumulate, pass)

        // The definition.
        let dropped = try Matrix(rows: rows, columns: inputs, ledger: nil)
        let mask = try Matrix(rows: rows, columns: inputs, ledger: nil)
        dropped.assign(x.array)
        mask.assign([Float](repeating: 1, count: mask.count))
        if dropout > 0 {
            // The seed of a layer, as every form of adapter takes it.
            let own = (seed &+ layer.ordinal) &* 0x9E37_79B9_7F4A_7C15
            for m in [dropped, mask] {
                backend.dropout(m, into: m, probability: dropout, seed: own)
            }
        }
        let (a, b) = (rowsOf(adapter.a), rowsOf(adapter.b))
        let delta = product(b, transposed(a)).map { $0.map { $0 * Double(scale) } }
        let m = numbers(outputs, 5).map { 3 + Double($0) }
        let norms = zip(w, delta).map { row, change in
            zip(row, change).reduce(0) { $0 + ($1.0 + $1.1) * ($1.0 + $1.1) }.squareRoot()
        }
        let factors = zip(m, norms).map { $0 / $1 }
        let (xs, xd, g) = (rowsOf(x), rowsOf(dropped), rowsOf(dy))
        let (base, low) = (product(xd, w), product(product(xd, a), b))
        let bias = numbers(outputs, 2).map(Double.init)
        var wanted = product(xs, w)
        for t in 0..<rows {
            for n in 0..<outputs {
                wanted[t][n] +=
                    bias[n] + (factors[n] - 1) * base[t][n]
                    + factors[n] * Double(scale) * low[t][n]
                    + (accumulate ? before[t][n] : 0)
            }
        }
        expectClose(y.array, wanted, "y")
        let scaled = g.map { zip($0, factors).map { $0 * $1 * Double(scale) } }
        var length = [Double](repeating: 0, count: outputs)
        for t in 0..<rows {
            for n in 0..<outputs {
                length[n] += g[t][n] * (base[t][n] + Double(scale) * low[t][n]) / norms[n]
            }
        }
        let dhidden = product(scaled, transposed(b))
        let db = product(transposed(scaled), transposed(product(xd, a)))
        let da = product(transposed(dhidden), transposed(xd))
        let inner = product(g.map { zip($0, factors).map { $0 * ($1 - 1) } }, transposed(w))
        let outer = product(dhidden, transposed(a))
        let masks = rowsOf(mask)
        var dinput = product(g, transposed(w))
        for t in 0..<rows {
            for k in 0..<inputs {
                dinput[t][k] +=
                    masks[t][k] * (inner[t][k] + outer[t][k]) + (accumulate ? dxBefore[t][k] : 0)
            }
        }
        expectClose(dx.array, dinput, "dx")
        let found = adapter.trained.map { parameter in
            Array(
                UnsafeBufferPointer(
                    start: parameter.gradient.floats, count: parameter.gradient.floatCount))
        }
        #expect(found.count == 3)
        expectClose(found[0], da, "dA")
        expectClose(found[1], db, "dB")
        expectClose(found[2], [length], "dm")
    }

    @Test func `norms follow A and B once a change is noted`() throws {
        let backend = try CPUBackend(threads: 1)
        let (layer, _) = try layer(backend, dropout: 0)
        let adapter = try #require(layer.adapters[0])
        let scratch = try AdapterScratch(
            backend: backend,
            need: AdapterScratch.Need(
                rows: 1, widths: AdapterWidths(rank: rank, scaledOutputs: outputs),
                backward: false))
        let pass = Pass(
            backend: backend, adapterSegments: [AdapterSegment(rows: 0..<1, slots: [0])],
            adapterScratch: scratch)
        let x = try matrix(1, inputs, 6)
        func value() throws -> [Float] {
            let y = try Matrix(rows: 1, columns: outputs, ledger: nil)
            try layer.forward(x, into: y, pass)
            return y.array
        }
        let first = try value()
        adapter.b.zero()
        adapter.magnitude?.noteChange()
        adapter.beginMagnitude(layer.weight, backend)
        let second = try value()
        let plain = try Matrix(rows: 1, columns: outputs, ledger: nil)
        layer.adapters = [:]
        try layer.forward(x, into: plain, pass)
        // Lengths that are the norms change nothing.
        let error = zip(second, plain.array).reduce(0) { max($0, abs($1.0 - $1.1)) }
        #expect(error < 1e-5 && first != second)
    }
}
