// SPDX-License-Identifier: Apache-2.0
// Continuing texts.
import EftGeneration

extension LanguageModel {
    /// Continues a prompt; the text comes as it is made.
    ///
    /// Nothing happens before the stream is read by somebody who waits for it; a stream that is dropped ends the
    /// request.
    /// - Returns: parts of the text, and a `finished` event at the end. Its errors are `EftError`s.
    public func generate(
        _ prompt: String, options: GenerationOptions = GenerationOptions()
    ) -> AsyncThrowingStream<GenerationEvent, any Error> {
        submit(options, defaults: completionDefaults) {
            try self.tokenizer.encode(prompt, addSpecialTokens: true)
        }
    }

    /// Continues a prompt, and waits for the whole answer.
    /// - Throws: `EftError`.
    public func complete(
        _ prompt: String, options: GenerationOptions = GenerationOptions()
    ) async throws(EftError) -> GenerationResult {
        try await LanguageModel.result(generate(prompt, options: options))
    }

    /// The last event of a stream.
    /// - Throws: `EftError`.
    static func result(
        _ events: AsyncThrowingStream<GenerationEvent, any Error>
    ) async throws(EftError) -> GenerationResult {
        do {
            for try await event in events {
                if case .finished(let result) = event { return result }
            }
        } catch { throw EftError(wrapping: error) }
        throw EftError(.cancelled, "canceled before the answer was done")
    }

    /// Hands a prompt to the engine.
    /// - Parameters:
    ///   - defaults: settings where the options say nothing.
    ///   - prompt: makes the prompt's tokens.
    func submit(
        _ options: GenerationOptions, defaults: SamplingDefaults, prompt: () throws -> [Int32]
    ) -> AsyncThrowingStream<GenerationEvent, any Error> {
        AsyncThrowingStream { continuation in
            do {
                let tokens = try prompt()
                let parameters = try parameters(options, defaults, promptTokens: tokens.count)
                let sink = try GenerationStream(
                    tokenizer, parameters, promptTokens: tokens.count, continuation)
                var request = EngineRequest(prompt: tokens, parameters: parameters, sink: sink)
                if let name = options.adapter { request.use(try adapter(named: name)) }
                request.constraint = try options.format.map { try constraint($0) }
                let (engine, ticket) = (engine, try engine.submit(request))
                continuation.onTermination = { reason in
                    if case .cancelled = reason { engine.cancel(ticket) }
                }
            } catch {
                continuation.finish(throwing: EftError(wrapping: error))
            }
        }
    }

    private func parameters(
        _ options: GenerationOptions, _ defaults: SamplingDefaults, promptTokens: Int
    ) throws -> GenerationParameters {
        let room = contextLength - promptTokens
        guard room > 0 else {
            throw EftError(
                .usage,
                "the prompt has \(promptTokens) tokens, the context holds \(contextLength); shorten it, or "
                    + "load the model with a longer contextLength")
        }
        var parameters = GenerationParameters(
            maxTokens: min(options.maxTokens ?? defaults.maxTokens ?? room, room),
            temperature: options.temperature.map { Float($0) } ?? defaults.temperature,
            topK: options.topK ?? defaults.topK,
            topP: options.topP.map { Float($0) } ?? defaults.topP,
            minP: options.minP.map { Float($0) } ?? defaults.minP,
            repetitionPenalty: options.repetitionPenalty.map { Float($0) }
                ?? defaults.repetitionPenalty,
            seed: options.seed ?? UInt64.random(in: 0...UInt64(Int64.max)))
        parameters.presencePenalty = Float(options.presencePenalty)
        parameters.frequencyPenalty = Float(options.frequencyPenalty)
        parameters.stop = options.stop
        parameters.ignoreEOS = options.ignoresEndOfText
        parameters.endTokens = Set(tokenizer.eosIDs)
        return parameters
    }
}
