// SPDX-License-Identifier: Apache-2.0
// One continuation of a prompt, while it waits and while it runs.
import EftNN
import EftTensor

/// A request with its samples.
final class RequestGroup {
    let id: Int
    let request: EngineRequest
    /// Where its pages are found: a root of its own when nothing is shared between requests.
    let root: PageTable.Root
    let arrival: ContinuousClock.Instant
    /// Samples that have not ended.
    var open: Int
    /// When its first token was scheduled.
    var scheduled: ContinuousClock.Instant?
    var firstToken: ContinuousClock.Instant?
    /// Whether the prompt's pages are computed, so that other samples can take them.
    var hasPrompt = false
    /// Scores of the prompt's tokens, as far as they are known.
    var scores: [SampledToken?] = []
    /// The sum of the prompt's states so far, when it is pooled.
    var pooled: [Float] = []
    /// When a sample sampled last.
    var lastToken: ContinuousClock.Instant?
    var record = RequestRecord()

    init(id: Int, request: EngineRequest, root: PageTable.Root, arrival: ContinuousClock.Instant) {
        self.id = id
        self.request = request
        self.root = root
        self.arrival = arrival
        open = request.samples
        record.promptTokens = request.prompt.count
        record.maxTokens = request.parameters.maxTokens
        record.samples = request.samples
    }

    /// What became of the request, once all samples have ended.
    func finalRecord() -> RequestRecord {
        var record = record
        record.queue = scheduled.map { $0 - arrival }
        if let scheduled, let firstToken { record.prefill = firstToken - scheduled }
        if let firstToken, let lastToken { record.decode = lastToken - firstToken }
        record.whole = .now - arrival
        return record
    }

    /// Whether the prompt has yet to be scored.
    var wantsScores: Bool {
        request.pooling == nil && request.parameters.promptLogprobs != nil && !hasPrompt
    }

    /// Where the last page of the prompt ends that other sequences can take: the prompt's last token is always computed.
    var lastPromptPage: Int { (request.prompt.count - 1) / pageTokens * pageTokens }

    /// Whether the prompt must be computed from its first token on.
    var readsWhole: Bool { wantsScores || request.pooling == .mean }
}

/// A sample of a request.
final class EngineSequence {
    /// The sequence's number in the cache.
    let id: Int
    let group: RequestGroup
    /// The number of the sample.
    let sample: Int
    /// Prompt and answer.
    var tokens: [Int32]
    /// Tokens whose keys and values stand in pages.
    var computed = 0
    /// Tokens that may come next, to be verified with the last one.
    var drafts: [Int32] = []
    var sampler: SequenceSampler
    /// How far the text has come under the request's constraint.
    var constraint: ConstraintState?
    var lastToken: ContinuousClock.Instant?
    /// Whether it holds pages.
    var isRunning = false

    init(id: Int, group: RequestGroup, sample: Int, sampler: SequenceSampler) {
        self.id = id
        self.group = group
        self.sample = sample
        self.sampler = sampler
        tokens = group.request.prompt
    }

    /// Tokens to compute before the next one can be sampled.
    var pending: Int { tokens.count - computed }
    /// Tokens of the answer.
    var answerCount: Int { tokens.count - group.request.prompt.count }
    /// Whether only the token sampled last is to be computed.
    var isDecoding: Bool { pending == 1 && answerCount > 0 }

    /// Whether a sequence comes before another.
    static func precedes(_ a: EngineSequence, _ b: EngineSequence, _ policy: SchedulingPolicy)
        -> Bool
    {
        let (first, second) = (a.group.request.priority, b.group.request.priority)
        if policy == .priority, first != second { return first < second }
        return a.group.id != b.group.id ? a.group.id < b.group.id : a.sample < b.sample
    }
}
