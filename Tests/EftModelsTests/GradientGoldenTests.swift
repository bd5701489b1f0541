// SPDX-License-Identifier: Apache-2.0
// Adapters and gradients against PEFT and PyTorch.
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor
import EftTestSupport
import Testing

@Suite struct GradientGoldenTests {
    /// A golden batch of two sequences with labels.
    struct Batch {
        let sequences: [[Int32]]
        let labels: [Int32]
        let trained: Int

        init(_ golden: any CheckpointReader) throws {
            func integers(_ name: String) throws -> [Int32] {
                let info = try golden.tensor(name)
                return try golden.bytes(of: name).withUnsafeBytes { raw in
                    (0..<info.shape.count).map {
                        Int32(raw.loadUnaligned(fromByteOffset: $0 * 8, as: Int64.self))
                    }
                }
            }
            sequences = try [integers("ids_0"), integers("ids_1")]
            labels = try [integers("labels_0"), integers("labels_1")].flatMap {
                $0.dropFirst() + [-100]
            }
            trained = labels.count { $0 >= 0 }
        }
    }

    /// Mean loss and gradients by name of one pass over a golden batch.
    static func gradients(
        _ decoder: Decoder, _ batch: Batch, slots: [Int], checkpointing: Bool
    ) throws -> (loss: Float, gradients: [String: Parameter]) {
        let rows = batch.labels.count
        let need = TrainingNeed(
            rows: rows, sequences: 2, adapters: decoder.adapterWidths,
            checkpointing: checkpointing ? .memory : .none)
        let pass = try TrainingPass(decoder: decoder, need: need)
        let losses = try pass.run(
            DecoderBatch(sequences: batch.sequences, slots: slots), labels: batch.labels,
            gradientScale: 1 / Float(batch.trained))
        var byName: [String: Parameter] = [:]
        for parameter in decoder.parameters { byName[parameter.name] = parameter }
        return (losses.reduce(0, +) / Float(batch.trained), byName)
    }

    @Test(arguments: ["gqa-tied", "bias", "rslora-patterns"])
    func `an adapter made by PEFT gives PEFT's logits`(_ name: String) throws {
        let base = name == "bias" ? "models/bias" : "models/gqa-tied"
        let model = try GoldenModel(base, golden: "lora/\(name)")
        let slot = try AdapterFile.load(Fixtures.path("lora/\(name)/adapter"), into: model.decoder)
        for index in 0..<3 {
            let ids = try #require(try model.ids(index))
            let expected = try model.golden.floats(of: "logits_\(index)")
            #expect(relativeError(try model.logits([ids], slots: [slot]), expected) < 1e-4)
        }
    }

    @Test(arguments: ["gqa-tied", "bias"], [true, false])
    func `gradients of adapters equal PyTorch's`(_ name: String, _ checkpointing: Bool) throws {
        let model = try GoldenModel("models/\(name)", golden: "lora/\(name)")
        let decoder = model.decoder
        let slot = try AdapterFile.load(Fixtures.path("lora/\(name)/adapter"), into: decoder)
        for linear in decoder.linears {
            try linear.adapters[slot]?.makeTrainable(
                prefix: "base_model.model." + linear.name, ledger: nil)
        }
        let golden = try CheckpointFolder.open(Fixtures.path("lora/\(name)/training.safetensors"))
        let batch = try Batch(golden)
        let (loss, found) = try Self.gradients(
            decoder, batch, slots: [slot], checkpointing: checkpointing)
        #expect(abs(loss - (try golden.floats(of: "loss"))[0]) < 1e-4 * abs(loss))
        #expect(try Self.compareAdapters(found, golden) == 28)
    }

    /// Compares the gradients of A and B with the golden ones; returns how many there are.
    static func compareAdapters(
        _ found: [String: Parameter], _ golden: any CheckpointReader
    ) throws -> Int {
        let wanted = golden.tensors.filter { $0.name.hasPrefix("grad/") }
        for info in wanted {
            let parameter = try #require(found[String(info.name.dropFirst(5))])
            let values = Array(
                UnsafeBufferPointer(start: parameter.gradient.floats, count: info.shape.count))
            let expected = try golden.floats(of: info.name)
            #expect(relativeError(values, expected) < 2e-4, "\(info.name)")
        }
        return wanted.count
    }

    @Test(arguments: ["gqa-tied", "bias"])
    func `gradients of all weights equal PyTorch's`(_ name: String) throws {
        let model = try GoldenModel(
            "models/\(name)", options: LoadOptions(trained: .all))
        let decoder = model.decoder
        try decoder.makeTrainable(.all)
        let golden = try CheckpointFolder.open(Fixtures.path("full/\(name)/training.safetensors"))
        let batch = try Batch(golden)
        let (_, found) = try Self.gradients(decoder, batch, slots: [], checkpointing: true)
        #expect(try Self.compareWeights(found, golden) == decoder.parameters.count)
    }

    /// Compares the gradients of weights with the golden ones; returns how many there are.
    /// - Parameter turned: which of them the checkpoint has as [in][out].
    static func compareWeights(
        _ found: [String: Parameter], _ golden: any CheckpointReader,
        turned: Set<String> = []
    ) throws -> Int {
        let wanted = golden.tensors.filter { $0.name.hasPrefix("grad/") }
        for info in wanted {
            let parameter = try #require(found[String(info.name.dropFirst(5))], "\(info.name)")
            let expected = try golden.floats(of: info.name)
            let values = unpanelled(
                parameter, shape: info.shape.dims, isTurned: turned.contains(parameter.name))
            // A bias of keys that do not rotate moves all scores of a row alike: its gradient is rounding alone.
            if expected.allSatisfy({ abs($0) < 1e-5 }) {
                #expect(values.allSatisfy { abs($0) < 1e-5 }, "\(info.name)")
                continue
            }
            #expect(relativeError(values, expected) < 2e-4, "\(info.name)")
        }
        return wanted.count
    }

    /// A gradient in the order of the checkpoint: [out][in] from panels of 16 outputs.
    private static func unpanelled(
        _ parameter: Parameter, shape: [Int], isTurned: Bool
    ) -> [Float] {
        let gradient = parameter.gradient.floats
        guard parameter.shape.order == .panels else {
            return Array(UnsafeBufferPointer(start: gradient, count: shape.reduce(1, *)))
        }
        if isTurned {
            let panel = WeightLayout(.f32, inputs: shape[0], outputs: shape[1]).panelBytes / 4
            return (0..<shape[0]).flatMap { input in
                (0..<shape[1]).map { gradient[$0 / 16 * panel + input * 16 + $0 % 16] }
            }
        }
        let panel = WeightLayout(.f32, inputs: shape[1], outputs: shape[0]).panelBytes / 4
        return (0..<shape[0]).flatMap { output in
            (0..<shape[1]).map { gradient[output / 16 * panel + $0 * 16 + output % 16] }
        }
    }
}
