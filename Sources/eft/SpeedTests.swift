// SPDX-License-Identifier: Apache-2.0
// The speed of reading prompts and of generating, at one length after the other, as ExLlamaV2's test_inference.py has it.
import EftCommandLine
import EftGeneration
import EftModels
import EftPlanning
import EftTensor

/// Measures a model's speed.
struct SpeedTests {
    static let options = [
        OptionSpecification(
            "-ps", "--prompt-speed", help: "measure the speed of reading prompts of growing length"),
        OptionSpecification(
            "-s", "--speed", help: "measure the speed of generating, 128 tokens at a time"),
    ]

    /// Lengths of prompts, and the last position of generation, end here unless `--max-seq-len` says otherwise.
    private static let usualLength = 2048
    /// Tokens generated for a line.
    private static let group = 128

    private let arguments: ParsedArguments

    init(_ arguments: ParsedArguments) { self.arguments = arguments }

    static func isAskedFor(_ arguments: ParsedArguments) -> Bool {
        arguments.flag("prompt-speed") || arguments.flag("speed")
    }

    /// Loads the model and shows a line for each length.
    func run() throws {
        var model = try LoadedModel(
            arguments, adapters: NamedAdapter.all(arguments).map(\.folder))
        let longest = try ContextPlan.longest(arguments, model.folder.description)
        let length = arguments.isGiven("max-seq-len") ? longest : min(longest, Self.usualLength)
        // A prompt of the whole context still has a token sampled.
        guard length >= 2 else { throw arguments.error("max-seq-len", "must be at least 2") }
        let need = try ContextPlan(least: length, most: length).need(arguments, &model)
        let (plan, streaming, budget) = try model.planGeneration("run", need, tokens: length)
        let (decoder, slots) = try model.load(plan, streaming, quiet: false)
        let generator = try Generator(decoder: decoder, need: need)
        let vocabulary = min(model.tokenizer.idBound, model.folder.description.vocabulary)
        let tokens = Self.tokens(length, vocabulary: vocabulary)
        if arguments.flag("prompt-speed") { try readPrompts(generator, tokens, slots) }
        if arguments.flag("speed") { try generate(generator, Array(tokens.prefix(1)), slots) }
        TerminalOutput.standardError.writeLine(budget.outcome)
        if InterruptFlag.isRaised { throw Interruption(description: "interrupted") }
    }

    /// Tokens spread over the vocabulary; which they are has no influence on speed.
    private static func tokens(_ count: Int, vocabulary: Int) -> [Int32] {
        var state = SplitMix64(seed: 1)
        return (0..<count).map { _ in
            Int32(truncatingIfNeeded: state.next() % UInt64(max(vocabulary, 1)))
        }
    }

    private func readPrompts(
        _ generator: Generator, _ tokens: [Int32], _ slots: [Int]
    ) throws {
        var length = min(Self.group, tokens.count - 1)
        let longest = tokens.count - 1
        while true {
            let request = GenerationRequest(
                prompt: Array(tokens.prefix(length)),
                parameters: GenerationParameters(maxTokens: 1),
                adapters: slots)
            var seconds = 0.0
            let runs = 3
            for _ in 0..<runs {
                let start = ContinuousClock.now
                _ = try generator.run([request], isCancelled: { InterruptFlag.isRaised }) { _, _ in
                    true
                }
                seconds += (ContinuousClock.now - start).seconds
                if InterruptFlag.isRaised { return }
            }
            let rate = Double(length * runs) / seconds
            TerminalOutput.standardOutput.writeLine(
                " ** Length \(padded(length)) tokens: \(formatFixed(rate, decimals: 2)) t/s")
            guard length < longest else { return }
            length = min(length < 1024 ? length + Self.group : length * 2, longest)
        }
    }

    private func generate(
        _ generator: Generator, _ prompt: [Int32], _ slots: [Int]
    ) throws {
        var parameters = GenerationParameters(maxTokens: generator.contextLength - prompt.count)
        parameters.ignoreEOS = true
        let request = GenerationRequest(prompt: prompt, parameters: parameters, adapters: slots)
        var (position, count) = (0, 0)
        var start = ContinuousClock.now
        func show() {
            let rate = Double(count) / (ContinuousClock.now - start).seconds
            TerminalOutput.standardOutput.writeLine(
                " ** Position \(padded(position)) + \(count) tokens: "
                    + "\(formatFixed(rate, decimals: 2)) t/s")
        }
        _ = try generator.run([request]) { _, _ in
            count += 1
            if count == Self.group {
                show()
                (position, count, start) = (position + count, 0, .now)
            }
            return !InterruptFlag.isRaised
        }
        if count > 0 { show() }
    }

    private func padded(_ number: Int) -> String {
        let digits = "\(number)"
        return String(repeating: " ", count: max(0, 5 - digits.count)) + digits
    }
}
