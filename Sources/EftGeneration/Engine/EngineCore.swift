// SPDX-License-Identifier: Apache-2.0
// The engine without its thread: requests go in, steps are made, tokens come out.
import EftModels
import EftNN
import EftTensor

/// Continues any number of prompts over one paged cache, a step at a time.
///
/// A sample's tokens and probabilities are the same whatever runs beside it, in however many parts its prompt is read, and
/// whether it gave its pages back in between.
package final class EngineCore {
    /// The bounds.
    package let configuration: EngineConfiguration
    let decoder: Decoder
    let cache: PagedCache
    let workspace: DecoderWorkspace
    let headRows: Int
    let adapterWidths: AdapterWidths
    var adapterNumbers: [Int: Int] = [:]
    var adapterNumber = 0
    var retiring: Set<Int> = []
    var scheduler: Scheduler
    var drafts: (any DraftProposer)?
    var groups: [Int: RequestGroup] = [:]
    private var nextGroup = 0
    private var nextSequence = 0
    /// Told of steps and requests.
    package weak var observer: (any EngineObserver)?
    var step = StepRecord()
    /// The tokens that a constraint allows, as bits.
    var mask: [UInt32] = []
    /// Steps made.
    package private(set) var steps = 0
    /// When memory is looked at next.
    var memoryLook = ContinuousClock.now

    /// Takes the memory that `need` states.
    /// - Throws: `TensorError` when it does not fit the ledger, `GenerationError` for bounds that contradict each other.
    package init(
        decoder: Decoder, need: GenerationNeed, configuration: EngineConfiguration
    ) throws {
        var need = need
        need.adapters = need.adapters | decoder.adapterWidths
        guard configuration.maxBatchedTokens <= need.rows,
            pageCount(tokens: configuration.maxModelLength) <= need.pages
        else {
            throw GenerationError(
                "a step of \(configuration.maxBatchedTokens) tokens and sequences of "
                    + "\(configuration.maxModelLength) do not fit \(need.rows) rows and \(need.pages) pages"
            )
        }
        guard
            decoder.description.shape.mixer == nil
                || configuration.maxSequences <= need.sequences
        else {
            throw GenerationError(
                "\(configuration.maxSequences) sequences at once do not fit the states of \(need.sequences)"
            )
        }
        var configuration = configuration
        configuration.limits.vocabulary = decoder.description.vocabulary
        self.configuration = configuration
        self.decoder = decoder
        headRows = need.headRows
        adapterWidths = need.adapters
        cache = try decoder.cache(need)
        workspace = try DecoderWorkspace(need.workspace, decoder: decoder)
        try decoder.reserveScratch(
            rows: need.rows, headRows: need.headRows, adapters: need.adapters)
        cache.withTable { $0.recordEvents() }
        scheduler = Scheduler(configuration: configuration, cache: cache)
    }

    /// Whether a step would do something.
    package var hasWork: Bool { !scheduler.isEmpty }

    /// Drafts next tokens from what the sequences have said before.
    /// - Throws: `GenerationError` where no memory was taken to take a draft back.
    package func useNGramDrafts() throws(GenerationError) {
        try checkDrafts()
        drafts = NGramDrafts()
    }

    /// A draft that does not come true stays in the states that layers keep, unless there is a second one to go back to.
    private func checkDrafts() throws(GenerationError) {
        guard cache.goesBack else {
            throw GenerationError(
                "drafts of next tokens need a second state of each sequence in a model whose layers keep states, for "
                    + "which no memory was taken")
        }
    }

    /// Drafts next tokens by a smaller model.
    /// - Throws: `TensorError` when its cache does not fit, `GenerationError` for a model of another vocabulary, and where
    ///   no memory was taken to take a draft back.
    package func useDrafts(of decoder: Decoder, need: GenerationNeed) throws {
        try checkDrafts()
        drafts = try DraftModel(
            decoder: decoder, need: need, vocabulary: self.decoder.description.vocabulary)
    }

    // MARK: Requests

    /// Checks that a request can be served at all.
    /// - Throws: `GenerationError` saying what is wrong with it.
    package func check(_ request: EngineRequest) throws(GenerationError) {
        _ = try EngineCore.settled(request, configuration)
    }

    /// A request as an engine with certain bounds takes it.
    /// - Throws: `GenerationError` saying what is wrong with it.
    static func settled(
        _ request: EngineRequest, _ configuration: EngineConfiguration
    ) throws(GenerationError) -> EngineRequest {
        var request = request
        request.parameters = try request.parameters.validated(configuration.limits)
        let vocabulary = configuration.limits.vocabulary ?? .max
        guard !request.prompt.isEmpty else {
            throw GenerationError(
                "the prompt has no token; a model without a start token needs some text",
                parameter: "prompt")
        }
        if let bad = request.prompt.first(where: { $0 < 0 || Int($0) >= vocabulary }) {
            throw GenerationError(
                "the prompt's token id \(bad) is beyond the vocabulary of \(vocabulary)",
                parameter: "prompt")
        }
        guard request.samples >= 1, request.samples == 1 || request.pooling == nil else {
            throw GenerationError("at least one sample must be asked for", parameter: "n")
        }
        guard request.length <= configuration.maxModelLength else {
            throw GenerationError(
                "the prompt has \(request.prompt.count) tokens and \(request.parameters.maxTokens) more are "
                    + "asked for, the context holds \(configuration.maxModelLength); ask for fewer or raise "
                    + "the limit of the context", parameter: "max_tokens")
        }
        return request
    }

    /// Takes a request in.
    /// - Parameter arrival: when it came.
    /// - Returns: its number, for `cancel`.
    /// - Throws: `GenerationError` for requests that cannot be served.
    @discardableResult
    package func add(
        _ request: EngineRequest, arrival: ContinuousClock.Instant = .now
    ) throws(GenerationError) -> Int {
        try take(EngineCore.settled(request, configuration), arrival: arrival)
    }

    /// Takes a request in that is settled.
    /// - Throws: `GenerationError` when what it needs is gone.
    func take(
        _ request: EngineRequest, arrival: ContinuousClock.Instant
    ) throws(GenerationError) -> Int {
        try checkAdapters(request)
        let id = nextGroup
        nextGroup += 1
        let group = RequestGroup(
            id: id, request: request, root: root(of: request, group: id), arrival: arrival)
        let constraint = try begin(request.constraint)
        groups[id] = group
        for sample in 0..<request.samples {
            var parameters = request.parameters
            parameters.seed = (parameters.seed ?? 0) &+ UInt64(sample)
            let sequence = EngineSequence(
                id: nextSequence, group: group, sample: sample,
                sampler: SequenceSampler(
                    parameters: parameters, prompt: request.prompt,
                    vocabulary: decoder.description.vocabulary))
            sequence.constraint = constraint
            scheduler.add(sequence)
            nextSequence += 1
        }
        return id
    }

    private func begin(
        _ constraint: CompiledConstraint?
    ) throws(GenerationError) -> ConstraintState? {
        guard let constraint else { return nil }
        guard constraint.vocabulary.size <= decoder.description.vocabulary else {
            throw GenerationError("the constraint was made for another vocabulary")
        }
        do {
            return try constraint.begin()
        } catch { throw GenerationError("\(error)") }
    }

    /// The root of a request's pages, its own where nothing is shared between requests.
    private func root(of request: EngineRequest, group: Int) -> PageTable.Root {
        var root = request.root
        if !configuration.prefixCaching { root.group = group + 1 }
        root.length = decoder.description.lengthThatMatters(request.length)
        return root
    }

    /// Ends all samples of a request; nothing happens when it has ended.
    package func cancel(_ id: Int) {
        guard let group = groups[id] else { return }
        end(group, SampleEnd(reason: .abort, stopToken: nil, error: nil))
    }

    private func sequences(of group: RequestGroup) -> [EngineSequence] {
        (scheduler.running + scheduler.waiting).filter { $0.group === group }
    }

    func end(_ group: RequestGroup, _ end: SampleEnd) {
        for sequence in sequences(of: group) { finish(sequence, end) }
    }

    /// Ends a sample, and with the last one the request.
    func finish(_ sequence: EngineSequence, _ end: SampleEnd) {
        let group = sequence.group
        scheduler.remove(sequence)
        drafts?.forget(sequence.id)
        group.open -= 1
        group.record.reasons.append(end.reason)
        group.record.answers.append(sequence.answerCount)
        if case .damagedLogits? = end.error as? SamplingError { group.record.isDamaged = true }
        if let last = sequence.lastToken { group.lastToken = max(group.lastToken ?? last, last) }
        // Samples that waited for the first one's prompt have to read it themselves now.
        group.hasPrompt = true
        group.request.sink.ended(end, sample: sequence.sample)
        guard group.open == 0 else { return }
        groups[group.id] = nil
        removeRetired()
        observer?.ended(group.finalRecord())
    }

    // MARK: Steps

    /// Computes one batch and samples from it; requests whose time is up end first.
    package func makeStep() {
        endLate()
        let before = scheduler.preemptions
        step = StepRecord()
        propose()
        let rows = scheduler.schedule()
        step.preemptions = scheduler.preemptions - before
        guard !rows.isEmpty else { return endStuck() }
        steps += 1
        begin(rows)
        do {
            try compute(rows)
        } catch {
            for row in rows where row.sequence.isRunning {
                finish(row.sequence, SampleEnd(reason: .error, stopToken: nil, error: error))
            }
        }
        step.pages = cache.withTable { $0.takeEvents() }
        observer?.stepped(step)
    }

    /// Gives drafts to the sequences that sample in this step. A proposer that fails costs speed, nothing else.
    private func propose() {
        guard let drafts, configuration.draftTokens > 0 else { return }
        let sampling = scheduler.running.filter(\.isDecoding)
        guard !sampling.isEmpty else { return }
        let proposed = try? drafts.propose(
            sampling.map { sequence in
                let left = sequence.group.request.parameters.maxTokens - sequence.answerCount
                let room = configuration.maxModelLength - sequence.tokens.count
                return DraftQuery(
                    sequence: sequence.id, tokens: sequence.tokens,
                    most: max(0, min(configuration.draftTokens, min(left, room) - 1)),
                    sampler: sequence.sampler)
            })
        for (sequence, tokens) in zip(sampling, proposed ?? []) { sequence.drafts = tokens }
    }

    /// Bounds that contradict each other would let the engine turn in vain; the first request that waits ends instead.
    private func endStuck() {
        guard let stuck = scheduler.running.first ?? scheduler.waiting.first else { return }
        let failure = GenerationError("the request finds no room, though nothing else runs")
        end(stuck.group, SampleEnd(reason: .error, stopToken: nil, error: failure))
    }

    private func endLate() {
        let late = groups.values.filter { $0.request.deadline.map { $0 <= .now } ?? false }
        for group in late.sorted(by: { $0.id < $1.id }) { cancel(group.id) }
    }

    /// Notes the first part of each request.
    private func begin(_ rows: [ScheduledRows]) {
        for row in rows where row.sequence.group.scheduled == nil {
            let (sequence, group) = (row.sequence, row.sequence.group)
            group.scheduled = .now
            group.record.cachedTokens = sequence.computed
            step.cacheQueries += sequence.tokens.count
            step.cacheHits += sequence.computed
            group.request.sink.began(cachedTokens: sequence.computed)
        }
    }

    /// The tokens of a step, those under the same adapters side by side.
    private func compute(_ rows: [ScheduledRows]) throws {
        let rows = rows.enumerated().sorted {
            let (a, b) = (
                $0.element.sequence.group.request.adapters,
                $1.element.sequence.group.request.adapters
            )
            return a == b ? $0.offset < $1.offset : a.lexicographicallyPrecedes(b)
        }.map(\.element)
        let batch = EngineCore.batch(rows)
        step.tokens = batch.count
        for row in rows where row.drafts > 0 {
            step.drafts += 1
            step.draftTokens += row.drafts
        }
        noteSlots(ofNew: batch.count)
        let requests = LogitRequests(rows, batch).rows
        let pooled = EngineCore.pooledRows(rows, batch)
        let looked = Set(requests.map(\.row)).union(pooled.joined())
        let start = ContinuousClock.now
        for row in rows where row.drafts > 0 { cache.backUp(sequence: row.sequence.id) }
        let hidden = try decoder.forward(
            batch, keeping: looked.sorted(), cache: cache, workspace: workspace)
        step.computing += .now - start
        // Before the samples, which may end a sequence; drafts that come true are published in the next step.
        for row in rows where cache.keepsPrefixes {
            let (sequence, own) = (row.sequence, row.count - row.drafts)
            cache.withTable {
                $0.publish(
                    sequence: sequence.id, tokens: sequence.tokens,
                    computed: sequence.computed + own)
            }
        }
        try pool(rows, pooled, of: hidden)
        for first in stride(from: 0, to: requests.count, by: headRows) {
            let part = Array(requests[first..<min(first + headRows, requests.count)])
            let start = ContinuousClock.now
            let logits = try decoder.logits(
                of: hidden, rows: part.map(\.row), batch: batch, workspace: workspace)
            let sampled = ContinuousClock.now
            step.computing += sampled - start
            for (index, request) in part.enumerated() {
                use(
                    UnsafeMutableBufferPointer(
                        start: logits.pointer + index * logits.columns, count: logits.columns),
                    for: request)
            }
            step.sampling += .now - sampled
        }
        for row in rows where row.sequence.isRunning { settle(row) }
    }

    /// Notes how full the pages are. Pages that are shared are full, so that only those of single sequences have empty slots.
    private func noteSlots(ofNew tokens: Int) {
        let running = scheduler.running
        let (used, own) = cache.withTable { table in
            (
                cache.pageCount - table.freePages,
                running.reduce(0) { $0 + table.pageCount(of: $1.id) }
            )
        }
        let held = running.reduce(tokens) { $0 + $1.computed }
        step.usedPages = used
        step.heldTokens = used * pageTokens - (own * pageTokens - held)
    }

    private static func batch(_ rows: [ScheduledRows]) -> DecoderBatch {
        var tokens: [Int32] = []
        var runs: [DecoderBatch.Run] = []
        var segments: [AdapterSegment] = []
        for row in rows {
            let sequence = row.sequence
            let range = tokens.count..<tokens.count + row.count
            let known = sequence.computed..<sequence.computed + row.count - row.drafts
            tokens += sequence.tokens[known] + sequence.drafts.prefix(row.drafts)
            runs.append(
                DecoderBatch.Run(
                    sequence: sequence.id, rows: range, firstPosition: sequence.computed,
                    length: sequence.group.request.length))
            let slots = sequence.group.request.adapters
            guard !slots.isEmpty else { continue }
            if let last = segments.last, last.slots == slots,
                last.rows.upperBound == range.lowerBound
            {
                segments[segments.count - 1] = AdapterSegment(
                    rows: last.rows.lowerBound..<range.upperBound, slots: slots)
            } else {
                segments.append(AdapterSegment(rows: range, slots: slots))
            }
        }
        return DecoderBatch(tokens: tokens, runs: runs, adapterSegments: segments)
    }

    /// Notes what a sequence has computed: its own tokens, and drafts that came true.
    private func settle(_ row: ScheduledRows) {
        let sequence = row.sequence
        let before = sequence.computed
        sequence.computed = min(before + row.count, sequence.tokens.count - 1)
        if cache.keepsStates, sequence.computed < before + row.count {
            // A draft did not come true: the tokens that did are read again.
            cache.restore(sequence: sequence.id)
            sequence.computed = before
        }
        sequence.drafts = []
        let promptLeft = max(0, sequence.group.request.prompt.count - before)
        step.promptTokens += min(promptLeft, row.count)
        if sequence.computed >= sequence.group.request.prompt.count {
            sequence.group.hasPrompt = true
        }
        // Others may begin with parts of the prompt; of the answer they have all or nothing.
        cache.withTable {
            $0.trim(
                sequence: sequence.id, computed: sequence.computed,
                prompt: sequence.group.request.prompt.count)
        }
        keepState(sequence)
    }

    /// Keeps the state behind the prompt's last full page, and behind the last one of the answer so far.
    private func keepState(_ sequence: EngineSequence) {
        let prompt = sequence.group.lastPromptPage
        guard cache.keepsStates, cache.keepsPrefixes, sequence.computed >= prompt,
            sequence.computed % pageTokens == 0
        else { return }
        cache.withTable {
            $0.publish(
                sequence: sequence.id, tokens: sequence.tokens, computed: sequence.computed)
        }
        cache.keepState(
            sequence: sequence.id, computed: sequence.computed,
            isAnswer: sequence.computed > prompt)
    }
}
