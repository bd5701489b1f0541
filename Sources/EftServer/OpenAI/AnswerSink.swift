// SPDX-License-Identifier: Apache-2.0
// From the engine's tokens to pieces of text.
import EftGeneration
import EftTokenizers
import Synchronization

/// A token of an answer with the place of its text.
struct AnswerToken: Sendable {
    let token: SampledToken
    /// Where its text begins in the answer, in Unicode scalars.
    let offset: Int
}

/// What has become certain of an answer since the last piece.
struct AnswerPiece: Sendable {
    var text = ""
    var tokens: [AnswerToken] = []
}

/// How an answer ended.
struct AnswerEnd: Sendable {
    let reason: FinishReason
    /// The stop string or token that ended it, where the request named it.
    let stop: StopCause?
    let error: (any Error)?

    enum StopCause: Sendable {
        case string(String)
        case token(Int32)
    }
}

/// Hears of the answers to one request, on the engine's thread.
protocol AnswerListener: AnyObject, Sendable {
    /// The prompt is being read; so many of its tokens were found in the cache.
    func began(prompt: Int, cachedTokens: Int)
    /// The prompt's tokens were scored.
    func scored(prompt: Int, _ scores: [SampledToken?])
    /// An answer has grown.
    /// - Returns: whether it is worth going on.
    func grew(prompt: Int, sample: Int, _ piece: AnswerPiece) -> Bool
    /// An answer has ended; its last piece comes along.
    func ended(prompt: Int, sample: Int, _ piece: AnswerPiece, _ end: AnswerEnd)
}

/// Turns the tokens of one prompt's samples into text.
final class AnswerSink: EngineSink {
    private struct Sample {
        var text: OutputText
        var failure: TokenizerError?
    }

    private let prompt: Int
    private let samples: Mutex<[Sample]>
    private let listener: any AnswerListener

    /// - Throws: `TokenizerError` when memory is short.
    init(
        prompt: Int, samples: Int, _ parameters: GenerationParameters, _ tokenizer: Tokenizer,
        _ listener: any AnswerListener
    ) throws(TokenizerError) {
        self.prompt = prompt
        self.listener = listener
        let text = try OutputText(tokenizer, parameters)
        self.samples = Mutex(Array(repeating: Sample(text: text), count: samples))
    }

    func began(cachedTokens: Int) { listener.began(prompt: prompt, cachedTokens: cachedTokens) }

    func scored(_ prompt: [SampledToken?]) { listener.scored(prompt: self.prompt, prompt) }

    func sampled(_ token: GeneratedToken, sample: Int) -> Bool {
        let (piece, goesOn) = samples.withLock { samples -> (AnswerPiece, Bool) in
            var piece = AnswerPiece()
            do throws(TokenizerError) {
                let output = try samples[sample].text.append(token.token.id)
                piece.text = output.text
                piece.tokens = [AnswerToken(token: token.token, offset: output.offset)]
            } catch {
                samples[sample].failure = error
                return (piece, false)
            }
            return (piece, samples[sample].text.stopString == nil)
        }
        // A client that has left cancels its request, which is then counted as aborted, not as stopped.
        _ = listener.grew(prompt: prompt, sample: sample, piece)
        return goesOn
    }

    func ended(_ end: SampleEnd, sample: Int) {
        let (piece, answer) = samples.withLock { samples -> (AnswerPiece, AnswerEnd) in
            var piece = AnswerPiece()
            var failure = end.error ?? samples[sample].failure
            do throws(TokenizerError) {
                piece.text = try samples[sample].text.finish()
            } catch { failure = failure ?? error }
            var stop = end.stopToken.map { AnswerEnd.StopCause.token($0) }
            if let string = samples[sample].text.stopString { stop = .string(string) }
            return (
                piece,
                AnswerEnd(
                    reason: failure == nil ? end.reason : .error, stop: stop, error: failure)
            )
        }
        listener.ended(prompt: prompt, sample: sample, piece, answer)
    }
}
