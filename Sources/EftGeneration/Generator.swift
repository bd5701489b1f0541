// SPDX-License-Identifier: Apache-2.0
// Continues prompts, any number at once, over one paged cache.
import EftModels
import EftNN
import EftTensor

/// One prompt and how to continue it.
package struct GenerationRequest: Sendable {
    /// The prompt; at least one token.
    package let prompt: [Int32]
    /// Settings.
    package let parameters: GenerationParameters
    /// Slots of the adapters that act on it.
    package let adapters: [Int]

    /// Makes a request.
    package init(prompt: [Int32], parameters: GenerationParameters, adapters: [Int] = []) {
        self.prompt = prompt
        self.parameters = parameters
        self.adapters = adapters
    }
}

/// Why a sequence ended.
package enum FinishReason: String, Sendable {
    /// A stop token was drawn.
    case stop
    /// As many tokens as asked for.
    case length
    /// The caller did not want more.
    case cancelled
}

/// Continues prompts. Each sequence's tokens are the same alone and in company.
package final class Generator {
    private let decoder: Decoder
    private let need: GenerationNeed
    private let cache: PagedCache
    private let workspace: DecoderWorkspace

    /// Takes the memory that `need` states.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(decoder: Decoder, need: GenerationNeed) throws {
        var need = need
        need.adapterRank = decoder.adapterExtents.rank
        self.decoder = decoder
        self.need = need
        let description = decoder.description
        cache = try PagedCache(
            pageCount: need.pages, ledgers: decoder.layerLedgers, shape: description.shape,
            kvType: need.kvType)
        workspace = try DecoderWorkspace(need.workspace, decoder: decoder)
        try decoder.reserveScratch(rows: need.rows, headRows: need.sequences)
    }

    private struct Sequence {
        let index: Int
        let request: GenerationRequest
        var sampler: SequenceSampler
        var tokens: [Int32]
        var length: Int { request.prompt.count + request.parameters.maxTokens }
    }

    /// Tokens that a request may take, prompt and answer; a longer one is refused.
    package var contextLength: Int { need.contextLength }

    /// Continues all requests, as many as the cache has room for at once.
    /// - Parameter onToken: told each request's number and new token; returns whether to go on with it.
    /// - Returns: why each request ended.
    /// - Throws: `GenerationError` for requests that cannot be served, and whatever `onToken` throws.
    package func run(
        _ requests: [GenerationRequest], onToken: (_ request: Int, _ token: Int32) throws -> Bool
    ) throws -> [FinishReason] {
        for request in requests { try check(request) }
        var reasons = [FinishReason](repeating: .cancelled, count: requests.count)
        var waiting = Array(requests.indices.reversed())
        var active: [Sequence] = []
        defer { for index in requests.indices { cache.release(sequence: index) } }
        while !active.isEmpty || !waiting.isEmpty {
            while active.count < need.sequences, let index = waiting.popLast() {
                let sequence = try begin(index, requests[index])
                active.append(try prefill(sequence))
            }
            // Every active sequence ends with a token that has just been drawn.
            var going: [Sequence] = []
            for sequence in active {
                if let reason = try finish(sequence, onToken) {
                    reasons[sequence.index] = reason
                    cache.release(sequence: sequence.index)
                } else {
                    going.append(sequence)
                }
            }
            active = going.isEmpty ? [] : try decode(going)
        }
        return reasons
    }

    private func check(_ request: GenerationRequest) throws(GenerationError) {
        try request.parameters.validate(
            GenerationLimits(vocabulary: decoder.description.vocabulary))
        guard !request.prompt.isEmpty else {
            throw GenerationError(
                "the prompt has no token; a model without a start token needs some text")
        }
        let (total, overflow) = request.prompt.count
            .addingReportingOverflow(request.parameters.maxTokens)
        guard !overflow, total <= need.contextLength else {
            throw GenerationError(
                "the prompt has \(request.prompt.count) tokens and \(request.parameters.maxTokens) more are "
                    + "asked for, the context holds \(need.contextLength); ask for fewer or raise --max-seq-len"
            )
        }
    }

    private func begin(_ index: Int, _ request: GenerationRequest) throws -> Sequence {
        let sequence = Sequence(
            index: index, request: request,
            sampler: SequenceSampler(
                parameters: request.parameters, prompt: request.prompt,
                vocabulary: decoder.description.vocabulary),
            tokens: request.prompt)
        guard cache.extend(sequence: index, to: sequence.length) else {
            throw GenerationError("the KV cache has no room for another sequence")
        }
        return sequence
    }

    /// Why a sequence ends with its last token, or nil when it goes on.
    private func finish(
        _ sequence: Sequence, _ onToken: (Int, Int32) throws -> Bool
    ) throws -> FinishReason? {
        guard let token = sequence.tokens.last else { return .stop }
        if sequence.request.parameters.end(with: token) != nil { return .stop }
        guard try onToken(sequence.index, token) else { return .cancelled }
        return sequence.tokens.count == sequence.length ? .length : nil
    }

    /// Reads the prompt in chunks and draws the first token.
    private func prefill(_ sequence: Sequence) throws -> Sequence {
        var sequence = sequence
        let prompt = sequence.tokens
        var done = 0
        while done < prompt.count {
            let chunk = Array(prompt[done..<min(done + workspace.rows, prompt.count)])
            let batch = batch([(sequence, chunk, done)])
            let hidden = try decoder.forward(batch, cache: cache, workspace: workspace)
            done += chunk.count
            if done == prompt.count {
                let logits = try decoder.logits(
                    of: hidden, rows: [chunk.count - 1], batch: batch, workspace: workspace)
                try draw(&sequence, logits, row: 0)
            }
        }
        return sequence
    }

    /// One more token for each sequence.
    private func decode(_ sequences: [Sequence]) throws -> [Sequence] {
        let batch = batch(
            sequences.map { ($0, $0.tokens.suffix(1), $0.tokens.count - 1) })
        let hidden = try decoder.forward(batch, cache: cache, workspace: workspace)
        let logits = try decoder.logits(
            of: hidden, rows: Array(sequences.indices), batch: batch, workspace: workspace)
        return try sequences.enumerated().map { row, sequence in
            var sequence = sequence
            try draw(&sequence, logits, row: row)
            return sequence
        }
    }

    private func draw(_ sequence: inout Sequence, _ logits: Matrix, row: Int) throws {
        let values = UnsafeMutableBufferPointer(
            start: logits.pointer + row * logits.columns, count: logits.columns)
        let token = try sequence.sampler.draw(values).id
        sequence.sampler.accept(token)
        sequence.tokens.append(token)
    }

    private func batch(
        _ parts: [(sequence: Sequence, tokens: some Collection<Int32>, position: Int)]
    ) -> DecoderBatch {
        var tokens: [Int32] = []
        var runs: [DecoderBatch.Run] = []
        var segments: [AdapterSegment] = []
        for part in parts {
            let rows = tokens.count..<tokens.count + part.tokens.count
            tokens += part.tokens
            runs.append(
                DecoderBatch.Run(
                    sequence: part.sequence.index, rows: rows, firstPosition: part.position,
                    length: part.sequence.length))
            let slots = part.sequence.request.adapters
            if !slots.isEmpty { segments.append(AdapterSegment(rows: rows, slots: slots)) }
        }
        return DecoderBatch(tokens: tokens, runs: runs, adapterSegments: segments)
    }
}
