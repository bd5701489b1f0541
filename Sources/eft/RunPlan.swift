// SPDX-License-Identifier: Apache-2.0
// What a run computes and holds, and the run itself.
import EftCommandLine
import EftGeneration
import EftModels
import EftPlanning
import EftTensor

/// Prompts with their settings and the memory for them.
struct RunPlan {
    private let arguments: ParsedArguments
    private let model: LoadedModel
    private let frame: PromptFrame
    private let prompts: [PromptFrame.Framed]
    private let need: GenerationNeed
    private let samplingBytes: Int
    private var requests: [GenerationRequest] = []
    /// Most tokens of an answer that the command line, or its default, allows; nil for no limit but the context.
    private let limit: Int?

    /// Most tokens of an answer, and of text that is continued, where the command line says nothing.
    private static let usualLimits = (answer: 2048, text: 128)

    init(
        _ arguments: ParsedArguments, _ model: inout LoadedModel, _ frame: PromptFrame,
        _ prompts: [PromptFrame.Framed]
    ) throws {
        self.arguments = arguments
        self.frame = frame
        self.prompts = prompts
        let parameters = try SamplingOptions.parameters(
            arguments, defaults: frame.defaults,
            seed: frame.template == nil ? 0 : UInt64.random(in: 0...UInt64(Int.max)),
            endTokens: model.tokenizer.eosIDs)
        let longest = prompts.map(\.tokens.count).max() ?? 0
        let context = try ContextPlan.longest(arguments, model.folder.description)
        guard longest < context else {
            throw GenerationError(
                "the prompt has \(longest) tokens, the context of \(context) has no room for an answer; shorten the "
                    + "prompt" + (arguments.isGiven("max-seq-len") ? " or raise --max-seq-len" : "")
            )
        }
        let usual =
            frame.template == nil
            ? Self.usualLimits.text : frame.defaults.maxTokens ?? Self.usualLimits.answer
        let given = try SamplingOptions.limit(arguments)
        limit = given ?? (SamplingOptions.isUnlimited(arguments) ? nil : usual)
        let most = min(longest + (limit ?? context), context)
        if let given, longest + given > context, !arguments.flag("json") {
            TerminalOutput.standardError.writeLine(
                "note: the context of \(context) tokens leaves \(context - longest) for the answer, not \(given)"
            )
        }
        // A limit that nobody asked for gives way to memory, down to a short answer.
        let short = min(longest + max(Self.usualLimits.text, parameters.minTokens), most)
        let isFixed = arguments.isGiven("max-seq-len") || given != nil
        samplingBytes = Answers.samplingBytes(
            parameters, vocabulary: model.folder.description.vocabulary)
        need = try ContextPlan(
            least: isFixed ? most : short, most: most, sequences: prompts.count,
            samplingBytes: samplingBytes, promptTokens: prompts.reduce(0) { $0 + $1.tokens.count }
        ).need(arguments, &model)
        self.model = model
        requests = prompts.map { prompt in
            var own = parameters
            own.maxTokens = min(limit ?? .max, need.contextLength - prompt.tokens.count)
            return GenerationRequest(prompt: prompt.tokens, parameters: own)
        }
    }

    /// Plans, loads and answers.
    func run() throws {
        let tokens = requests.reduce(0) { $0 + $1.parameters.maxTokens }
        let isJSON = arguments.flag("json")
        let (plan, streaming, budget) = try model.planGeneration(
            "run", need, tokens: tokens, sampling: samplingBytes, quiet: isJSON)
        let start = ContinuousClock.now
        let (decoder, slots) = try model.load(plan, streaming, quiet: isJSON)
        let loadSeconds = (ContinuousClock.now - start).seconds
        let generator = try Generator(decoder: decoder, need: need)
        let requests = requests.map {
            GenerationRequest(prompt: $0.prompt, parameters: $0.parameters, adapters: slots)
        }
        var answers = try Answers(
            model.tokenizer, requests, isLive: !isJSON && prompts.count == 1)
        answers.reasoning = frame.reasoning
        answers.splitter = prompts.first.flatMap { frame.reasoning?.splitter(after: $0.text) }
        var report = try answers.make(generator)
        report.streaming = decoder.streamStatistics
        report.loadSeconds = loadSeconds
        report.passBytes = model.layouts.byteCount - model.layouts.embedding.byteCount
        report.limit = limit
        report.contextLength = need.contextLength
        report.show(budget, isJSON: isJSON)
        if InterruptFlag.isRaised { throw Interruption(description: "interrupted") }
    }
}
