// SPDX-License-Identifier: Apache-2.0
// From the batches of a whole training run to its seconds.
import EftModels
import EftNN
import EftTensor

/// The batches of a whole training run, and what is trained.
package struct TrainingRun: Sendable, Hashable {
    /// Examples that go through the model together.
    package struct MicroBatch: Sendable, Hashable {
        /// Examples.
        package var sequences: Int
        /// Tokens of all of them.
        package var tokens: Int

        /// Makes a micro-batch.
        package init(sequences: Int, tokens: Int) {
            self.sequences = sequences
            self.tokens = tokens
        }
    }

    /// The micro-batches of each step.
    package var steps: [[MicroBatch]]
    /// The batches in which the validation set is read.
    package var validation: [MicroBatch] = []
    /// How often it is read.
    package var evaluations = 0
    /// Numbers that are trained.
    package var trainedNumbers: Int
    /// Whether all weights are trained; otherwise adapters on linear layers are.
    package var isFull: Bool
    /// Whether layers are computed again in the backward pass.
    package var checkpointing: Bool
    /// Micro-batches that one pass over the weights serves.
    package var joined: Int

    /// Describes a run without a validation set.
    package init(
        steps: [[MicroBatch]], trainedNumbers: Int, isFull: Bool, checkpointing: Bool, joined: Int
    ) {
        self.steps = steps
        self.trainedNumbers = trainedNumbers
        self.isFull = isFull
        self.checkpointing = checkpointing
        self.joined = joined
    }

    /// Tokens of all steps.
    package var tokens: Int { steps.joined().reduce(0) { $0 + $1.tokens } }
}

/// How long a whole training run takes.
package struct TrainingRunEstimate: Sendable, Hashable {
    /// Seconds of all steps.
    package var training: Double
    /// Seconds of all evaluations.
    package var evaluation: Double
    /// Tokens of a second of training.
    package var tokensPerSecond: Double
    /// What takes most of the time of the steps.
    package var limit: StageEstimate.Limit

    /// Seconds of the whole run; loading and saving are left out.
    package var seconds: Double { training + evaluation }
}

extension Estimator {
    /// All steps and evaluations of a training run.
    /// - Returns: nil for a run without steps, and when layers are streamed from a disk of unknown speed.
    package func trainingRun(
        _ run: TrainingRun, layouts: DecoderLayouts, placement: WeightPlacement?
    ) -> TrainingRunEstimate? {
        let rank = run.isFull ? 0 : Estimator.meanRank(run.trainedNumbers, layouts)
        var seconds = 0.0
        var byLimit: [StageEstimate.Limit: Double] = [:]
        for (pass, tokens) in run.passes(run.steps) {
            let batch = TrainingBatch(
                sequences: pass.sequences, length: pass.length, rank: rank,
                checkpointing: run.checkpointing, joined: pass.micros)
            guard let one = trainingBatch(batch, layouts: layouts, placement: placement) else {
                return nil
            }
            let part = one.seconds * Double(tokens) / Double(pass.tokens)
            seconds += part
            byLimit[one.limit, default: 0] += part
        }
        seconds += optimizerStep(trainable: run.trainedNumbers).seconds * Double(run.steps.count)
        guard seconds > 0, let limit = byLimit.max(by: { $0.value < $1.value })?.key else {
            return nil
        }
        var evaluation = 0.0
        for (pass, tokens) in run.passes([run.validation]) {
            guard let one = scoring(pass, layouts: layouts, placement: placement) else {
                return nil
            }
            evaluation += one.seconds * Double(tokens) / Double(pass.tokens)
        }
        return TrainingRunEstimate(
            training: seconds, evaluation: evaluation * Double(run.evaluations),
            tokensPerSecond: Double(run.tokens) / seconds, limit: limit)
    }

    /// The rank of adapters on all linear layers that have so many numbers.
    private static func meanRank(_ numbers: Int, _ layouts: DecoderLayouts) -> Int {
        let perRank = layouts.linears.reduce(0) { $0 + $1.inputs + $1.outputs }
        return max(1, Int((Double(numbers) / Double(max(perRank, 1))).rounded()))
    }

    /// A pass forward with the losses of all its tokens.
    private func scoring(
        _ pass: TrainingRun.Pass, layouts: DecoderLayouts, placement: WeightPlacement?
    ) -> StageEstimate? {
        let rows = pass.sequences * pass.length
        let chunk = LossHead.chunkRows(vocabulary: description.vocabulary, rows: rows)
        let cost =
            layers(layouts, rows: rows)
            + attention(rows: pass.length, firstPosition: 0) * Double(pass.sequences)
            + calibration.product(layouts.head, rows: chunk, precision)
            * (Double(rows) / Double(chunk))
        guard let disk = streaming(placement, .forward, rows: rows) else { return nil }
        return (cost * Double(pass.micros)).estimate(tokens: pass.tokens, disk: disk)
    }
}

extension TrainingRun {
    /// A pass over the weights for `micros` micro-batches alike.
    struct Pass: Hashable {
        let micros: Int
        let sequences: Int
        let length: Int

        var tokens: Int { micros * sequences * length }
    }

    /// Passes that are much alike, each once, with the tokens of all of them.
    ///
    /// Lengths are rounded to a sixteenth, so that a run of millions of steps has some hundred kinds of passes.
    func passes(_ steps: [[MicroBatch]]) -> [(pass: Pass, tokens: Int)] {
        var (kinds, sums): ([Pass], [Pass: Int]) = ([], [:])
        for step in steps {
            for first in stride(from: 0, to: step.count, by: max(joined, 1)) {
                let group = step[first..<min(first + max(joined, 1), step.count)]
                let tokens = group.reduce(0) { $0 + $1.tokens }
                guard tokens > 0 else { continue }
                let sequences = group.reduce(0) { $0 + $1.sequences }
                let each = max(1, (sequences + group.count / 2) / group.count)
                let length = max(1, tokens / (group.count * each))
                let unit = max(1, length / 16)
                let pass = Pass(
                    micros: group.count, sequences: each, length: (length + unit / 2) / unit * unit)
                if sums[pass] == nil { kinds.append(pass) }
                sums[pass, default: 0] += tokens
            }
        }
        return kinds.map { ($0, sums[$0] ?? 0) }
    }
}
