// SPDX-License-Identifier: Apache-2.0
// Vectors of prompts.
import EftNN
import EftTensor

extension EngineCore {
    /// Adds a step's states to the sums of the prompts that are pooled, and ends those that are read.
    func pool(_ rows: [ScheduledRows], _ batch: DecoderBatch, _ hidden: Matrix) throws {
        for (part, run) in zip(rows, batch.runs) {
            let group = part.sequence.group
            guard let pooling = group.request.pooling else { continue }
            let isRead = part.sequence.computed + part.count == group.request.prompt.count
            let wanted =
                pooling == .mean
                ? run.rows : isRead ? run.rows.suffix(1) : run.rows.prefix(0)
            try add(Array(wanted), of: hidden, to: group)
            if isRead { tell(part.sequence, pooling) }
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
