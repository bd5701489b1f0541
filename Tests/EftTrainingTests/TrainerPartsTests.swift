// SPDX-License-Identifier: Apache-2.0
// Smoothed losses and orders by length against transformers.
import EftConfig
import EftFormats
import EftTensor
import EftTestSupport
import Testing

@testable import EftTraining

@Suite struct TrainerPartsTests {
    private func cases(_ name: String) throws -> [ConfigCursor] {
        let document = try ConfigFile.read(Fixtures.path("trainer-parts/cases.json"))
        let cases = try document.required(name).elements()
        #expect(!cases.isEmpty)
        return cases
    }

    private func integers(_ cursor: ConfigCursor, _ key: String) throws -> [Int] {
        try cursor.required(key).elements().map { try $0.int() }
    }

    @Test func `smoothed losses and gradients are those of transformers`() throws {
        let backend = try CPUBackend(threads: 1)
        for golden in try cases("smoothing") {
            let labels = try integers(golden, "labels").map(Int32.init)
            let logits = try Matrix(
                rows: labels.count, columns: golden.required("columns").int(), ledger: nil)
            for (index, number) in try golden.required("logits").doubles().enumerated() {
                logits.pointer[index] = Float(number)
            }
            let learned = labels.filter { $0 >= 0 }.count
            var losses = [Float](repeating: 0, count: labels.count)
            let smoothing = Float(try golden.required("epsilon").double())
            losses.withUnsafeMutableBufferPointer {
                backend.crossEntropy(
                    logits: logits, labels: labels[...], gradientScale: 1 / Float(learned),
                    smoothing: smoothing, losses: $0)
            }
            let loss = Double(losses.reduce(0, +)) / Double(learned)
            let expected = try golden.required("loss").double()
            #expect(abs(loss - expected) < 1e-6 * expected)
            for (index, number) in try golden.required("gradient").doubles().enumerated() {
                #expect(abs(Double(logits.pointer[index]) - number) < 1e-7)
            }
        }
    }

    @Test func `orders by length are those of transformers`() throws {
        for golden in try cases("orders") {
            let order = BatchPlan.groupedByLength(
                try integers(golden, "shuffled"), lengths: try integers(golden, "lengths"),
                batch: try golden.required("batch").int())
            #expect(try integers(golden, "grouped") == order)
        }
    }

    @Test func `micro-batches hold examples of about one length`() throws {
        var settings = TrainingSettings()
        settings.microBatchSize = 4
        settings.numEpochs = 2
        let lengths = (0..<64).map { $0 * 29 % 64 + 1 }
        func spread() throws -> Int {
            let plan = try BatchPlan(lengths: lengths, settings: settings)
            let seen = plan.steps.flatMap { $0.flatMap(\.self) }.sorted()
            #expect(seen == (0..<64).flatMap { [$0, $0] })
            return plan.steps.joined().reduce(0) { sum, batch in
                let batch = batch.map { lengths[$0] }
                return sum + (batch.max() ?? 0) - (batch.min() ?? 0)
            }
        }
        let apart = try spread()
        settings.groupsByLength = true
        #expect(try spread() * 2 < apart)
    }
}
