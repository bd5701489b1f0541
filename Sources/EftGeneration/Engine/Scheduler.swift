// SPDX-License-Identifier: Apache-2.0
// Who computes how many tokens in the next step.
import EftNN
import EftTensor

/// Part of a sequence in a step.
struct ScheduledRows {
    let sequence: EngineSequence
    /// Tokens from `sequence.computed` on, drafts included.
    let count: Int
    /// Drafts among them.
    let drafts: Int

    /// Whether the prompt's last token is among them.
    var readsPrompt: Bool { sequence.computed + count == sequence.group.request.prompt.count }
}

/// Divides steps among sequences.
///
/// Sequences that sample a token come first, then prompts in parts, all within one number of tokens; when pages run out, the
/// sequence that came last gives its pages back and reads its tokens again later. Which sequences meet in a step has no
/// influence on their results.
struct Scheduler {
    let configuration: EngineConfiguration
    private let cache: PagedCache
    /// Sequences that hold pages, the first to be served first.
    private(set) var running: [EngineSequence] = []
    /// Sequences without pages, in the same order.
    private(set) var waiting: [EngineSequence] = []
    /// Sequences that gave their pages back, ever.
    private(set) var preemptions = 0

    init(configuration: EngineConfiguration, cache: PagedCache) {
        self.configuration = configuration
        self.cache = cache
    }

    var isEmpty: Bool { running.isEmpty && waiting.isEmpty }

    /// Adds a sequence to those that wait.
    mutating func add(_ sequence: EngineSequence) {
        Scheduler.insert(sequence, into: &waiting, configuration.policy)
    }

    /// Takes a sequence away, and its pages back.
    mutating func remove(_ sequence: EngineSequence) {
        if sequence.isRunning {
            running.removeAll { $0 === sequence }
        } else {
            waiting.removeAll { $0 === sequence }
        }
        sequence.isRunning = false
        cache.release(sequence: sequence.id)
    }

    /// The sequences of a step with their shares; none when nothing can be done.
    mutating func schedule() -> [ScheduledRows] {
        var step = Step(budget: configuration.maxBatchedTokens)
        let before = preemptions
        for sequence in running where sequence.isDecoding { extend(sequence, &step) }
        for sequence in running where sequence.isRunning && !step.holds(sequence) {
            extend(sequence, &step)
        }
        if preemptions == before { admit(&step) }
        return step.rows
    }

    // MARK: A step

    private struct Step {
        var budget: Int
        var rows: [ScheduledRows] = []

        func holds(_ sequence: EngineSequence) -> Bool {
            rows.contains { $0.sequence === sequence }
        }

        mutating func add(_ sequence: EngineSequence, _ count: Int, drafts: Int) {
            rows.append(ScheduledRows(sequence: sequence, count: count, drafts: drafts))
            budget -= count
        }

        mutating func remove(_ sequence: EngineSequence) {
            guard let place = rows.firstIndex(where: { $0.sequence === sequence }) else { return }
            budget += rows.remove(at: place).count
        }
    }

    /// Tokens of a prompt that a step takes at most.
    private func part(_ sequence: EngineSequence, _ budget: Int) -> Int {
        let threshold = configuration.longPrefillThreshold
        let most = min(sequence.pending, budget, threshold > 0 ? threshold : .max)
        // A state is kept behind the prompt's last full page, where somebody may go on from it.
        let stop = sequence.group.lastPromptPage - sequence.computed
        guard cache.keepsStates, cache.keepsPrefixes, stop > 0,
            configuration.prefixCaching || sequence.group.request.samples > 1
        else { return most }
        return min(most, stop)
    }

    /// Drafts that are welcome after so many tokens: where layers keep states, none beyond the end of a page, since states
    /// are kept there.
    private func mostDrafts(_ sequence: EngineSequence, _ count: Int) -> Int {
        guard cache.keepsStates else { return .max }
        let slots = (sequence.computed + count) % pageTokens
        return cache.goesBack ? (pageTokens - slots) % pageTokens : 0
    }

    /// Gives a running sequence its share, if need be at the cost of those behind it.
    private mutating func extend(_ sequence: EngineSequence, _ step: inout Step) {
        guard sequence.isRunning, step.budget > 0 else { return }
        let count = part(sequence, step.budget)
        // Drafts are welcome where they cost nobody else a page.
        var drafts = 0
        if count == sequence.pending {
            drafts = min(
                sequence.drafts.count, step.budget - count, mostDrafts(sequence, count))
            let most = sequence.computed + count + drafts
            if drafts > 0, !cache.extend(sequence: sequence.id, to: most) { drafts = 0 }
        }
        while !cache.extend(sequence: sequence.id, to: sequence.computed + count) {
            guard let victim = running.last else { return }
            step.remove(victim)
            preempt(victim)
            if victim === sequence { return }
        }
        step.add(sequence, count + drafts, drafts: drafts)
    }

    private mutating func preempt(_ sequence: EngineSequence) {
        running.removeLast()
        cache.release(sequence: sequence.id)
        sequence.isRunning = false
        sequence.computed = 0
        sequence.drafts = []
        sequence.group.record.preemptions += 1
        sequence.group.scores = []
        sequence.group.pooled = []
        preemptions += 1
        Scheduler.insert(sequence, into: &waiting, configuration.policy)
    }

    /// Lets waiting sequences in, in order, as long as there is room for their whole prompts.
    private mutating func admit(_ step: inout Step) {
        var place = 0
        while place < waiting.count, step.budget > 0, running.count < configuration.maxSequences {
            let sequence = waiting[place]
            // Other samples take the pages that the first one has filled.
            if sequence.sample > 0, !sequence.group.hasPrompt {
                place += 1
                continue
            }
            guard hasRoom(for: sequence) else { return }
            let most = mostCached(sequence)
            sequence.computed = cache.begin(
                sequence: sequence.id, root: sequence.group.root, tokens: sequence.tokens,
                most: most)
            let count = part(sequence, step.budget)
            guard cache.extend(sequence: sequence.id, to: sequence.computed + count) else {
                cache.release(sequence: sequence.id)
                sequence.computed = 0
                return
            }
            waiting.remove(at: place)
            sequence.isRunning = true
            Scheduler.insert(sequence, into: &running, configuration.policy)
            step.add(sequence, count, drafts: 0)
        }
    }

    /// Whether all tokens of a sequence and the next one fit beside those of all that run.
    private func hasRoom(for sequence: EngineSequence) -> Bool {
        cache.withTable { table in
            let promised = running.reduce(0) {
                $0 + max(0, pages($1) - table.pageCount(of: $1.id))
            }
            let most = mostCached(sequence)
            let cached = table.cachedPages(
                root: sequence.group.root, tokens: sequence.tokens, most: most)
            let missing = pages(sequence) - cached.all
            return missing + promised <= table.freePages - cached.idle || running.isEmpty
        }
    }

    /// The tokens of a sequence that pages of others may hold: none where layers keep states and no copies of them.
    private func mostCached(_ sequence: EngineSequence) -> Int {
        sequence.group.readsWhole || !cache.keepsPrefixes ? 0 : sequence.tokens.count - 1
    }

    /// Pages of a sequence's tokens and the next one.
    private func pages(_ sequence: EngineSequence) -> Int {
        EftNN.pageCount(
            tokens: min(sequence.tokens.count + 1, configuration.maxModelLength))
    }

    /// Static, since a method would hold on to the list and so have it copied.
    private static func insert(
        _ sequence: EngineSequence, into list: inout [EngineSequence], _ policy: SchedulingPolicy
    ) {
        var (low, high) = (0, list.count)
        while low < high {
            let middle = (low + high) / 2
            let isBefore = EngineSequence.precedes(list[middle], sequence, policy)
            if isBefore { low = middle + 1 } else { high = middle }
        }
        list.insert(sequence, at: low)
    }
}
