// SPDX-License-Identifier: Apache-2.0
// Learning which steps of an answer are right.
import EftModels

/// The mean cross entropy of all labelled tokens of a step's micro-batches together, each label at its own token, as TRL's
/// `PRMTrainer` has it.
struct StepObjective: TrainingObjective {
    /// The same of tokens, with labels in place of the next token.
    private let supervised: SupervisedObjective
    private let labels: Int

    /// - Parameter labels: kinds of steps.
    init(_ supervised: SupervisedObjective, labels: Int) {
        var supervised = supervised
        supervised.predictsNext = false
        self.supervised = supervised
        self.labels = labels
    }

    func accumulate(
        _ batches: [[Int]], step: Int, _ pass: TrainingPass, pause: () throws -> Void
    ) throws -> StepResult {
        try supervised.accumulate(batches, step: step, pass, pause: pause)
    }

    func evaluate(
        _ bins: [[Int]], _ pass: TrainingPass, pause: () throws -> Void
    ) throws -> EvaluationResult {
        var sum = StepSum()
        for indices in bins {
            try pause()
            let micro = MicroBatch(
                indices.map { supervised.validation[$0] }, slots: supervised.slots,
                predictsNext: false)
            let rows = micro.labels.indices.filter { micro.labels[$0] >= 0 }
            let values = try pass.values(
                TrainingRows(micro.batch, labels: micro.labels), rows: rows)
            for (place, row) in rows.enumerated() {
                sum.add(values[place * labels..<(place + 1) * labels], Int(micro.labels[row]))
            }
        }
        return EvaluationResult(
            loss: sum.loss, tokens: sum.count,
            rewards: sum.count > 0 ? RewardReport(accuracy: sum.accuracy) : nil)
    }
}
