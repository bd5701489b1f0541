// SPDX-License-Identifier: Apache-2.0
// The time of a whole training is the sum of its passes.
import EftModels
import EftNN
import EftPlanning
import EftTensor
import Testing

@Suite struct TrainingRunTests {
    private static let description = DecoderDescription.small

    /// A machine on which only products and the optimizer take time.
    private let estimator = Estimator(
        calibration: Calibration(
            machine: Calibration.Machine(processor: "", instructionSet: "", threads: 1),
            limits: MachineLimits(
                readBandwidth: 1e9, fmaPeak: 1e9, bf16Peak: 0, int16Peak: 0, int8Peak: 0),
            products: [
                .bf16: Calibration.ProductRates(
                    vectorBytes: 1e12, product: [.f32: 1e9], transposed: [.f32: 5e8])
            ],
            attention: Calibration.AttentionRates(forward: 1e9, backward: 5e8),
            operationSeconds: 0),
        description: Self.description, precision: .f32)

    private func layouts() throws -> DecoderLayouts {
        try DecoderLayouts(Self.description, format: .dense(.bf16))
    }

    private func run(_ steps: [[TrainingRun.MicroBatch]], joined: Int = 1) throws -> TrainingRun {
        let perRank = try layouts().linears.reduce(0) { $0 + $1.inputs + $1.outputs }
        return TrainingRun(
            steps: steps, trainedNumbers: 4 * perRank, isFull: false, checkpointing: true,
            joined: joined)
    }

    private func estimate(_ run: TrainingRun) throws -> TrainingRunEstimate {
        try #require(estimator.trainingRun(run, layouts: layouts(), placement: nil))
    }

    @Test func `equal steps cost as often as a step`() throws {
        let micro = TrainingRun.MicroBatch(sequences: 2, tokens: 96)
        let run = try run(Array(repeating: [micro, micro], count: 5))
        let pass = try #require(
            estimator.trainingBatch(
                Estimator.TrainingBatch(sequences: 2, length: 48, rank: 4, checkpointing: true),
                layouts: layouts()))
        let step =
            2 * pass.seconds + estimator.optimizerStep(trainable: run.trainedNumbers).seconds
        let estimate = try estimate(run)
        #expect(abs(estimate.training - 5 * step) < 1e-9 * estimate.training)
        #expect(estimate.evaluation == 0 && estimate.seconds == estimate.training)
        #expect(abs(estimate.tokensPerSecond * estimate.training - Double(run.tokens)) < 1e-6)
    }

    @Test func `steps of many lengths cost what their tokens cost`() throws {
        let lengths = (1...200).map { 40 + ($0 * 37) % 200 }
        let run = try run(lengths.map { [TrainingRun.MicroBatch(sequences: 1, tokens: $0)] })
        var exact = 0.0
        for length in lengths {
            let pass = try #require(
                estimator.trainingBatch(
                    Estimator.TrainingBatch(
                        sequences: 1, length: length, rank: 4, checkpointing: true),
                    layouts: layouts()))
            exact += pass.seconds
        }
        exact +=
            Double(lengths.count)
            * estimator.optimizerStep(trainable: run.trainedNumbers).seconds
        let training = try estimate(run).training
        #expect(abs(training - exact) < 0.01 * exact, "\(training), \(exact)")
    }

    @Test func `evaluations are passes forward`() throws {
        let micro = TrainingRun.MicroBatch(sequences: 1, tokens: 64)
        var run = try run([[micro]])
        run.validation = [micro, micro]
        run.evaluations = 3
        let estimate = try estimate(run)
        #expect(estimate.evaluation > 0 && estimate.seconds > estimate.training)
        // Six passes forward cost less than six with a backward one.
        #expect(estimate.evaluation < 6 * estimate.training)
        run.evaluations = 6
        let twice = try self.estimate(run)
        #expect(abs(twice.evaluation - 2 * estimate.evaluation) < 1e-9 * twice.evaluation)
    }

    @Test func `a run without steps has no time`() throws {
        #expect(
            try estimator.trainingRun(run([]), layouts: layouts(), placement: nil) == nil)
    }
}
