// SPDX-License-Identifier: Apache-2.0
// From the engine's thread to a stream of text.
import EftGeneration
import EftTensor
import EftTokenizers
import Synchronization

/// Turns a request's tokens into the events of a stream.
final class GenerationStream: EngineSink {
    private struct State {
        var output: OutputText
        var text = ""
        var cachedTokens = 0
        var tokens = 0
        var failure: (any Error)?
        var first: ContinuousClock.Instant?
        var last: ContinuousClock.Instant?
    }

    private let promptTokens: Int
    private let start = ContinuousClock.now
    private let continuation: AsyncThrowingStream<GenerationEvent, any Error>.Continuation
    private let state: Mutex<State>

    /// - Throws: `TokenizerError` when memory is short.
    init(
        _ tokenizer: Tokenizer, _ parameters: GenerationParameters, promptTokens: Int,
        _ continuation: AsyncThrowingStream<GenerationEvent, any Error>.Continuation
    ) throws(TokenizerError) {
        self.promptTokens = promptTokens
        self.continuation = continuation
        state = Mutex(State(output: try OutputText(tokenizer, parameters)))
    }

    func began(cachedTokens: Int) { state.withLock { $0.cachedTokens = cachedTokens } }

    func sampled(_ token: GeneratedToken, sample: Int) -> Bool {
        state.withLock { state in
            let now = ContinuousClock.now
            state.first = state.first ?? now
            state.last = now
            state.tokens += 1
            do {
                give(try state.output.append(token.token.id).text, &state)
                return state.output.stopString == nil
            } catch {
                state.failure = error
                return false
            }
        }
    }

    func ended(_ end: SampleEnd, sample: Int) {
        state.withLock { state in
            do {
                give(try state.output.finish(), &state)
                if let error = end.error ?? state.failure { throw error }
                continuation.yield(.finished(result(end, state)))
                continuation.finish()
            } catch {
                continuation.finish(throwing: EftError(wrapping: error))
            }
        }
    }

    private func give(_ text: String, _ state: inout State) {
        guard !text.isEmpty else { return }
        state.text += text
        continuation.yield(.text(text))
    }

    private func result(_ end: SampleEnd, _ state: State) -> GenerationResult {
        let reason: GenerationResult.Reason =
            switch end.reason {
            case .stop, .error: .stop
            case .length: .length
            case .abort: .cancelled
            }
        let (first, last) = (state.first ?? start, state.last ?? start)
        return GenerationResult(
            text: state.text, reason: reason, promptTokens: promptTokens,
            cachedTokens: state.cachedTokens, tokens: state.tokens,
            secondsToFirstToken: (first - start).seconds,
            generationSeconds: (last - first).seconds)
    }
}
