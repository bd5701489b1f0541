// SPDX-License-Identifier: Apache-2.0
// Vectors of prompts.
import EftNN
import EftTensor

extension EngineCore {
    /// Adds a step's states to the sums of the prompts that are pooled, and ends those that are read.
    /// - Parameter pooled: what `pooledRows` says.
    func pool(_ rows: [ScheduledRows], _ pooled: [Range<Int>], of hidden: Matrix) throws {
        for (part, wanted) in zip(rows, pooled) {
            let group = part.sequence.group
            guard let pooling = group.request.pooling else { continue }
            try add(Array(wanted), of: hidden, to: group)
            if part.readsPrompt { tell(part.sequence, pooling) }
        }
    }

    /// The rows of a batch that go into vectors, for each part of it.
    static func pooledRows(_ rows: [ScheduledRows], _ batch: DecoderBatch) -> [Range<Int>] {
        zip(rows, batch.runs).map { part, run in
            switch part.sequence.group.request.pooling {
            case nil: run.rows.prefix(0)
            case .mean: run.rows
            case .last: part.readsPrompt ? run.rows.suffix(1) : run.rows.prefix(0)
            }
        }
    }

    private func add(_ rows: [Int], of hidden: Matrix, to group: RequestGroup) throws {
        let width = decoder.description.shape.hidden
        if group.pooled.isEmpty { group.pooled = Array(repeating: 0, count: width) }
        for first in stride(from: 0, to: rows.count, by: headRows) {
            let part = Array(rows[first..<min(first + headRows, rows.count)])
            let states = try decoder.states(of: hidden, rows: part, workspace: workspace)
            for row in part.indices {
                for column in 0..<width {
                    group.pooled[column] += states.pointer[row * width + column]
                }
            }
        }
    }

    private func tell(_ sequence: EngineSequence, _ pooling: Pooling) {
        let group = sequence.group
        var vector = group.pooled
        if pooling == .mean {
            let share = 1 / Float(group.request.prompt.count)
            for index in vector.indices { vector[index] *= share }
        }
        group.request.sink.embedded(vector)
        finish(sequence, SampleEnd(reason: .stop, stopToken: nil, error: nil))
    }
}
