// SPDX-License-Identifier: Apache-2.0
// What a step's logits are for: scores of the prompt, and the next tokens.
import EftNN
import EftTensor

/// Rows of a step whose logits are needed.
struct LogitRequests {
    enum Purpose {
        /// The score of the prompt's token at a place.
        case score(of: Int)
        /// The token after the last one, or after so many drafts.
        case sample(afterDrafts: Int)
    }

    struct LogitRequest {
        let sequence: EngineSequence
        /// The row of the batch.
        let row: Int
        let purpose: Purpose
        let scheduled: ScheduledRows
    }

    private(set) var rows: [LogitRequest] = []

    /// Lists the requests of a step's rows, in the batch's order.
    init(_ scheduled: [ScheduledRows], _ batch: DecoderBatch) {
        for (part, run) in zip(scheduled, batch.runs) {
            let sequence = part.sequence
            guard sequence.group.request.pooling == nil else { continue }
            let own = part.count - part.drafts
            if sequence.group.wantsScores {
                let prompt = sequence.group.request.prompt.count
                for offset in 0..<own where sequence.computed + offset + 1 < prompt {
                    rows.append(
                        LogitRequest(
                            sequence: sequence, row: run.rows.lowerBound + offset,
                            purpose: .score(of: sequence.computed + offset + 1), scheduled: part))
                }
            }
            // Only the last of a sequence's tokens is followed by a new one.
            guard sequence.computed + own == sequence.tokens.count else { continue }
            for draft in 0...part.drafts {
                rows.append(
                    LogitRequest(
                        sequence: sequence, row: run.rows.lowerBound + own - 1 + draft,
                        purpose: .sample(afterDrafts: draft), scheduled: part))
            }
        }
    }
}

extension EngineCore {
    /// Uses a row of logits; it may be overwritten.
    func use(_ logits: UnsafeMutableBufferPointer<Float>, for row: LogitRequests.LogitRequest) {
        let sequence = row.sequence
        guard sequence.isRunning else { return }
        switch row.purpose {
        case .score(let place):
            let group = sequence.group
            let token = group.request.prompt[place]
            let count = group.request.parameters.promptLogprobs ?? 0
            if group.scores.isEmpty { group.scores.append(nil) }
            do {
                group.scores.append(
                    try PromptScorer(count: count)
                        .score(UnsafeBufferPointer(logits), next: token))
            } catch {
                finish(sequence, SampleEnd(reason: .error, stopToken: nil, error: error))
            }
        case .sample(let drafts):
            let own = row.scheduled.count - row.scheduled.drafts
            // A draft before this row did not come true.
            guard sequence.tokens.count == sequence.computed + own + drafts,
                drafts == 0 || sequence.tokens.last == sequence.drafts[drafts - 1]
            else { return }
            if drafts == 0 { tellScores(sequence) }
            sample(sequence, logits)
            guard drafts < row.scheduled.drafts,
                sequence.tokens.last == sequence.drafts[drafts]
            else { return }
            while step.acceptedAt.count <= drafts { step.acceptedAt.append(0) }
            step.acceptedAt[drafts] += 1
        }
    }

    /// Gives the prompt's scores out once they are all known.
    private func tellScores(_ sequence: EngineSequence) {
        let group = sequence.group
        guard group.wantsScores else { return }
        group.request.sink.scored(group.scores.isEmpty ? [nil] : group.scores)
        group.scores = []
        group.hasPrompt = true
    }

    /// Samples a sample's next token, and ends the sample where that ends it.
    private func sample(_ sequence: EngineSequence, _ logits: UnsafeMutableBufferPointer<Float>) {
        let group = sequence.group
        let parameters = group.request.parameters
        guard parameters.maxTokens > 0 else {
            finish(sequence, SampleEnd(reason: .length, stopToken: nil, error: nil))
            return
        }
        let token: SampledToken
        do {
            token = try choose(sequence, logits)
        } catch SamplingError.nothingAllowed where sequence.constraint?.isComplete ?? false {
            // A tokenizer without an end token cannot say that the text is whole.
            finish(sequence, SampleEnd(reason: .stop, stopToken: nil, error: nil))
            return
        } catch {
            finish(sequence, SampleEnd(reason: .error, stopToken: nil, error: error))
            return
        }
        sequence.tokens.append(token.id)
        sequence.sampler.accept(token.id)
        step.sampledTokens += 1
        noteTime(of: sequence)
        let ending = parameters.end(with: token.id)
        let goesOn = group.request.sink.sampled(
            GeneratedToken(token: token, isStop: ending != nil), sample: sequence.sample)
        if case .stopToken(let id) = ending {
            finish(sequence, SampleEnd(reason: .stop, stopToken: id, error: nil))
        } else if ending != nil || !goesOn {
            finish(sequence, SampleEnd(reason: .stop, stopToken: nil, error: nil))
        } else if sequence.answerCount >= parameters.maxTokens
            || sequence.tokens.count >= configuration.maxModelLength
        {
            finish(sequence, SampleEnd(reason: .length, stopToken: nil, error: nil))
        }
    }

    /// Samples a token that the sample's constraint allows, and notes it there.
    private func choose(
        _ sequence: EngineSequence, _ logits: UnsafeMutableBufferPointer<Float>
    ) throws -> SampledToken {
        guard var constraint = sequence.constraint else {
            return try sequence.sampler.sample(logits)
        }
        let words = (logits.count + 31) / 32
        if mask.count != words { mask = Array(repeating: 0, count: words) }
        try constraint.allowed(into: &mask)
        let token = try mask.withUnsafeBufferPointer {
            try sequence.sampler.sample(logits, mask: $0)
        }
        _ = try constraint.advance(token.id)
        sequence.constraint = constraint
        return token
    }

    private func noteTime(of sequence: EngineSequence) {
        let now = ContinuousClock.now
        let group = sequence.group
        if let last = sequence.lastToken {
            observer?.sampledNext(after: now - last)
        } else {
            if group.firstToken == nil { group.firstToken = now }
            observer?.sampledFirst(after: now - group.arrival)
        }
        sequence.lastToken = now
    }
}
