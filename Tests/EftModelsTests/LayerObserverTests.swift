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

    /// A layer, rows, and room for its value.
    private struct World {
        let layer: DecoderLayer
        let x: Matrix
        let out: Matrix
        let state: LayerPass
        /// What else must live.
        private let decoder: Decoder

        init(_ name: String, layer index: Int = 0) throws {
            let decoder = try GoldenModel(name).decoder
            self.decoder = decoder
            let shape = decoder.layers[index].shape
            let backend = try CPUBackend(threads: 2)
            let rows = 9
            x = try Matrix(rows: rows, columns: shape.hidden, ledger: nil)
            out = try Matrix(rows: rows, columns: shape.hidden, ledger: nil)
            for index in 0..<x.count { x.pointer[index] = Float(index % 13) * 0.1 - 0.6 }
            let rotations = try decoder.description.rotaries.map { rotary in
                let tables = try rotary.tables(rows: rows, ledger: nil)
                rotary.fill(tables, rows: 0..<rows, firstPosition: 0, length: rows)
                return tables
            }
            let pass = Pass(
                backend: backend, adapterSegments: [],
                adapterScratch: try AdapterScratch(
                    backend: backend, need: AdapterScratch.Need(rows: rows, backward: false)))
            layer = decoder.layers[index]
            let most = decoder.description.shape
            state = LayerPass(
                batch: DecoderBatch(sequences: [[Int32](repeating: 0, count: rows)]), pass: pass,
                activations: try LayerActivations(
                    rows: rows, shape: most, backward: false, ledger: nil),
                cache: try PassCache(
                    pageCount: pageCount(tokens: rows), shape: most, backward: false, ledger: nil),
                rotations: rotations)
        }
    }

    @Test(arguments: [
        "models/gqa-tied", "architectures/qwen3", "architectures/mixtral",
        "architectures/qwen2-moe", "architectures/gemma2", "architectures/phi",
        "architectures/gpt-neox", "architectures/cohere", "architectures/falcon-new",
        "architectures/deepseek-v2", "architectures/deepseek-v3", "architectures/gpt-oss",
        "architectures/granite", "architectures/olmo2", "architectures/qwen3-next",
        "architectures/opt",
    ])
    func `a pass in pieces gives the inputs and the value of a whole one`(_ name: String) throws {
        for index in 0..<2 {
            let world = try World(name, layer: index)
            let (layer, x, state) = (world.layer, world.x, world.state)
            let (start, whole) = (x.array, Sights())
            try layer.forward(x, into: world.out, state) { whole.add($0, $1) }
            let wanted = world.out.array
            func expect(_ input: Matrix, _ linear: Linear?) throws {
                let found = try #require(whole.all.first { $0.layer == linear?.name })
                #expect(input.array == found.input, "\(found.layer)")
            }
            for (stage, linears) in layer.projections.stages.enumerated() {
                x.fill(start)
                try expect(layer.projectionInput(stage, x, state), linears.first)
            }
            x.fill(start)
            let attended = try layer.attend(x, state)
            try expect(attended, layer.output)
            let keptAttended = attended.array
            x.fill(start)
            layer.attended(x.rows, state).fill(keptAttended)
            if !layer.shape.isParallel { try layer.addAttended(to: x, state) }
            let middle = x.array
            let (first, last): (Linear?, Linear?) =
                switch layer.feedForward {
                case .mlp(let mlp): (mlp.first.first, mlp.down)
                case .mixture(let mixture): (mixture.router, mixture.shared?.mlp.down)
                }
            try expect(layer.feedForwardInput(x, state), first)
            x.fill(middle)
            var activated: [Float] = []
            if last != nil {
                let values = try layer.activate(x, state)
                try expect(values, last)
                activated = values.array
            }
            // Other rows go through the layer meanwhile.
            x.fill(start.map { -$0 })
            try layer.forward(x, into: world.out, state)
            x.fill(middle)
            layer.attended(x.rows, state).fill(keptAttended)
            layer.activated(x.rows, state)?.fill(activated)
            try layer.finish(x, state)
            #expect(x.array == wanted, "\(name), layer \(index)")
        }
    }

    @Test(arguments: ["models/gqa-tied", "architectures/qwen3", "architectures/mixtral"])
    func `the inputs are those of a whole pass`(_ name: String) throws {
        let world = try World(name)
        let (layer, x, out, state) = (world.layer, world.x, world.out, world.state)
        let (whole, part) = (Sights(), Sights())
        try layer.forward(x, into: out, state) { whole.add($0, $1) }
        try layer.observe(x, middle: out, state) { part.add($0, $1) }
        for expert in 0..<(layer.shape.mixture?.experts ?? 0) {
            try layer.observe(expert: expert, out, state) { part.add($0, $1) }
        }
        #expect(whole.all == part.all)
        #expect(whole.all.count >= 4)
    }
}

extension Matrix {
    fileprivate func fill(_ values: [Float]) { pointer.update(from: values, count: count) }
}
