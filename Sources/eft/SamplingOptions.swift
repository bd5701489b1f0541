// SPDX-License-Identifier: Apache-2.0
// Options of sampling, for every verb that makes text.
import EftCommandLine
import EftGeneration

/// How tokens are sampled, as the command line has it.
enum SamplingOptions {
    static let maxTokens = OptionSpecification(
        "-t", "-n", "--max-tokens", "--n-predict", kind: .value("N"),
        help:
            "most new tokens, as ExLlamaV2's -t and llama.cpp's -n; -1 for as many as the context holds",
        defaultText: "2048 for an answer, 128 for text that is continued; no limit in a chat")

    static let options: [OptionSpecification] = [
        maxTokens,
        OptionSpecification(
            "--temperature", "--temp", kind: .value("T"), help: "0 takes the likeliest token",
            defaultText: defaultText("0.8", greedy: "0")),
        OptionSpecification(
            "--top-p", kind: .value("P"),
            help: "only the likeliest tokens that together reach this probability",
            defaultText: defaultText("0.95", greedy: "1")),
        OptionSpecification(
            "--top-k", kind: .value("K"), help: "only the K likeliest tokens; 0 for all",
            defaultText: defaultText("0", greedy: "0")),
        OptionSpecification(
            "--min-p", kind: .value("P"), help: "least probability relative to the likeliest",
            defaultText: defaultText("0.05", greedy: "0")),
        OptionSpecification(
            "--typical-p", "--typical", kind: .value("P"), help: "locally typical tokens",
            defaultText: "1"),
        OptionSpecification(
            "--repetition-penalty", "--repeat-penalty", kind: .value("R"),
            help: "above 1 discourages tokens of prompt and answer",
            defaultText: "generation_config.json's, else 1"),
        OptionSpecification(
            "--presence-penalty", kind: .value("R"),
            help: "above 0 discourages tokens of the answer", defaultText: "0"),
        OptionSpecification(
            "--frequency-penalty", kind: .value("R"),
            help: "the same, for each time that a token occurs", defaultText: "0"),
        OptionSpecification(
            "--dry-multiplier", kind: .value("R"),
            help: "above 0 discourages lengthening repetitions", defaultText: "0"),
        OptionSpecification(
            "--min-tokens", kind: .value("N"), help: "fewest new tokens", defaultText: "0"),
        OptionSpecification(
            "--stop", "-r", "--reverse-prompt", kind: .repeated("TEXT"),
            help: "ends the answer, and is not part of it"),
        OptionSpecification(
            "--seed", kind: .value("S"), help: "seed of the samples; the same one samples the same",
            defaultText: "another one each time; 0 for text that is continued"),
        OptionSpecification("--ignore-eos", help: "go on after an end token"),
    ]

    private static func defaultText(_ chat: String, greedy: String) -> String {
        "generation_config.json's, else \(chat); \(greedy) for text that is continued"
    }

    /// The settings.
    /// - Parameters:
    ///   - defaults: what holds where the command line says nothing.
    ///   - seed: of the samples when the command line gives none.
    ///   - endTokens: the model's own.
    /// - Returns: settings whose `maxTokens` are those of `limit`, or 1 when there is no limit.
    /// - Throws: `UsageError`.
    static func parameters(
        _ arguments: ParsedArguments, defaults: SamplingDefaults, seed: UInt64,
        endTokens: [Int32]
    ) throws -> GenerationParameters {
        func number(
            _ name: String, _ fallback: Float, _ range: ClosedRange<Double>
        ) throws -> Float {
            try arguments.double(name, in: range).map { Float($0) } ?? fallback
        }
        var parameters = GenerationParameters(
            maxTokens: try limit(arguments) ?? 1,
            temperature: try number("temperature", defaults.temperature, 0...2),
            topK: try arguments.int("top-k", default: defaults.topK, in: -1...(1 << 30)),
            topP: try number("top-p", defaults.topP, 0...1),
            minP: try number("min-p", defaults.minP, 0...1),
            repetitionPenalty: try number(
                "repetition-penalty", defaults.repetitionPenalty, 0.001...1000),
            seed: try self.seed(arguments) ?? seed)
        parameters.minTokens = try arguments.int("min-tokens", default: 0, in: 0...(1 << 24))
        parameters.typicalP = try number("typical-p", 1, 0...1)
        parameters.presencePenalty = try number("presence-penalty", 0, -2...2)
        parameters.frequencyPenalty = try number("frequency-penalty", 0, -2...2)
        parameters.dry.multiplier = try number("dry-multiplier", 0, 0...1000)
        parameters.ignoreEOS = arguments.flag("ignore-eos")
        parameters.stop = arguments.strings("stop")
        parameters.endTokens = Set(endTokens)
        let least = parameters.minTokens
        var checked = parameters
        checked.maxTokens = max(checked.maxTokens, try limit(arguments) == nil ? least : 1)
        try checked.validate(GenerationLimits(maxStopStrings: 16))
        return parameters
    }

    /// The seed that the command line gives; -1 counts as none.
    /// - Throws: `UsageError`.
    static func seed(_ arguments: ParsedArguments) throws -> UInt64? {
        try arguments.int("seed", in: -1...Int.max).flatMap { UInt64(exactly: $0) }
    }

    /// Most new tokens that the command line asks for; nil when it sets no limit.
    /// - Throws: `UsageError`.
    static func limit(_ arguments: ParsedArguments) throws -> Int? {
        guard let limit = try arguments.int("max-tokens", in: -2...(1 << 24)) else { return nil }
        guard limit != 0 else { throw arguments.error("max-tokens", "must be at least 1, or -1") }
        return limit > 0 ? limit : nil
    }

    /// Whether the command line lets answers go on to the end of the context.
    static func isUnlimited(_ arguments: ParsedArguments) -> Bool {
        arguments.string("max-tokens").flatMap { Int($0) }.map { $0 < 0 } ?? false
    }
}
