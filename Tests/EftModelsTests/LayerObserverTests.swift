// SPDX-License-Identifier: Apache-2.0
// Calibration sees the inputs of linear layers, whether or not the layer's value is computed.
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import Testing

@Suite struct LayerObserverTests {
    /// What an observer was shown: the first of the linear layers that share an input, and that input.
    private struct Sight: Hashable {
        let layer: String
        let input: [Float]
    }

    private final class Sights {
        var all: [Sight] = []
        func add(_ layers: [Linear], _ input: Matrix) {
            all.append(Sight(layer: layers.first?.name ?? "", input: input.array))
        }
    }

    @Test(arguments: ["models/gqa-tied", "architectures/qwen3", "architectures/mixtral"])
    func `the inputs are those of a whole pass`(_ name: String) throws {
        let decoder = try GoldenModel(name).decoder
        let (shape, layer) = (decoder.description.shape, decoder.layers[0])
        let backend = try CPUBackend(threads: 2)
        let rows = 9
        let (x, out) = (
            try Matrix(rows: rows, columns: shape.hidden, ledger: nil),
            try Matrix(rows: rows, columns: shape.hidden, ledger: nil)
        )
        for index in 0..<x.count { x.pointer[index] = Float(index % 13) * 0.1 - 0.6 }
        let rotations = try decoder.description.rotaries.map { rotary in
            let tables = try rotary.tables(rows: rows, ledger: nil)
            rotary.fill(tables, rows: 0..<rows, firstPosition: 0, length: rows)
            return tables
        }
        let pass = Pass(
            backend: backend, adapterSegments: [],
            adapterScratch: try AdapterScratch(
                backend: backend,
                need: AdapterScratch.Need(rows: rows, backward: false)))
        let state = LayerPass(
            batch: DecoderBatch(sequences: [[Int32](repeating: 0, count: rows)]), pass: pass,
            activations: try LayerActivations(
                rows: rows, shape: shape, backward: false, ledger: nil),
            cache: try PassCache(
                pageCount: pageCount(tokens: rows), shape: shape, backward: false, ledger: nil),
            rotations: rotations)
        let (whole, part) = (Sights(), Sights())
        try layer.forward(x, into: out, state) { whole.add($0, $1) }
        try layer.observe(x, middle: out, state) { part.add($0, $1) }
        for expert in 0..<(shape.mixture?.experts ?? 0) {
            try layer.observe(expert: expert, out, state) { part.add($0, $1) }
        }
        #expect(whole.all == part.all)
        #expect(whole.all.count >= 4)
    }
}
