// SPDX-License-Identifier: Apache-2.0
// eft chat: a conversation in the terminal.
import EftCommandLine
import EftConfig
import EftGeneration
import EftModels
import EftPlanning
import EftTensor
import EftTokenizers

enum ChatCommand: Command {
    static let specification = CommandSpecification(
        name: "chat", abstract: "Talk with a model in the terminal.",
        discussion:
            "Answers are streamed and the conversation is kept; /help lists what else can be typed. A message of "
            + "several lines stands between lines of \"\"\". Ctrl-C stops an answer, Ctrl-D leaves. In a pipe, each "
            + "line is a message.",
        examples: [
            Example("eft chat ./model", "until Ctrl-D"),
            Example(
                "eft chat ./base --adapter law=./law --adapter code=./code",
                "/set adapter law uses one of them"),
            Example("printf 'Hello\\nAnd you?\\n' | eft chat ./model", "two messages from a pipe"),
            Example(
                "printf 'Hello\\n' | eft chat ./model --json",
                "the conversation, and the peak memory"),
        ],
        options: [
            ModelArgument.option, NamedAdapter.option, CommonOptions.cacheFolder,
        ] + RunCommand.form + ConversationOptions.options + SamplingOptions.options + [
            RunCommand.context, CommonOptions.kvType,
        ] + ForeignOptions.cacheOptions + [CommonOptions.fit] + DeviceBudget.options + [
            CommonOptions.threads, CommonOptions.precision, CommonOptions.json,
        ] + ForeignOptions.ineffectiveOptions,
        arguments: [ModelArgument.argument])

    static func run(_ arguments: ParsedArguments) throws {
        if arguments.string("model") != nil, arguments.argument("MODEL") != nil {
            throw UsageError(
                "the model is given twice, as an argument and by -m", command: specification.name)
        }
        ForeignOptions.announce(arguments)
        try chat(arguments)
    }

    /// The longest context that is taken without being asked for.
    private static let usualContext = 8192
    /// A conversation in less is none.
    private static let leastContext = 512

    /// Loads the model and talks, by the options of `chat` or `run`.
    static func chat(_ arguments: ParsedArguments) throws {
        let adapters = try NamedAdapter.all(arguments)
        let path = try ModelArgument.path(arguments)
        var model = try LoadedModel(arguments, adapters: adapters.map(\.folder))
        guard let templates = try model.templates(arguments) else {
            throw UsageError(
                "this model has no chat template; give one by --chat-template, or continue a text: eft run "
                    + "-m \(path) --raw -p TEXT", command: arguments.command.name)
        }
        let parameters = try SamplingOptions.parameters(
            arguments, defaults: ConversationOptions.defaults(folder: path),
            seed: UInt64.random(in: 0...UInt64(Int.max)), endTokens: model.tokenizer.eosIDs)
        let context = try ContextPlan.longest(arguments, model.folder.description)
        let isAsked = arguments.isGiven("max-seq-len")
        let most = isAsked ? context : min(context, usualContext)
        let sampling = Answers.samplingBytes(
            parameters, vocabulary: model.folder.description.vocabulary)
        var wanted = ContextPlan(
            least: isAsked ? most : min(leastContext, most), most: most, samplingBytes: sampling)
        // The end of the last prompt, where the answer is shown without its thoughts, and the end of the answer.
        if model.folder.description.shape.mixer != nil { wanted.stateSnapshots = 2 }
        let need = try wanted.need(arguments, &model)
        let (plan, streaming, budget) = try model.planGeneration(
            "chat", need, tokens: need.contextLength, sampling: sampling, for: .conversation)
        let (decoder, slots) = try model.load(plan, streaming, quiet: false)
        let generator = try Generator(decoder: decoder, need: need, keepingPrefixes: true)
        let reasoning = ReasoningFormat.format(inTemplate: templates.source)
        let session = ChatSession(
            generator: generator, tokenizer: model.tokenizer, template: try templates.template(),
            reasoning: reasoning, parameters: parameters,
            conversation: ChatConversation(system: arguments.string("system")))
        session.answerLimit = try SamplingOptions.limit(arguments)
        session.adapters = slots
        var loop = ChatLoop(
            session, reasoning: reasoning,
            adapters: zip(adapters, slots).map { ($0.name, $1) },
            reader: try ChatReader.standard(keepsHistory: !arguments.flag("no-history")))
        loop.showsStatistics = arguments.flag("verbose")
        loop.variesSeed = try SamplingOptions.seed(arguments) == nil
        guard arguments.command.name == specification.name, arguments.flag("json") else {
            return try loop.run()
        }
        loop.writesAnswers = false
        let failure = try unanswered { try loop.run() }
        JSONOutput.print(outcome(session, budget))
        if let failure { throw failure }
    }

    /// That messages were not answered, which does not keep the others from being told.
    private static func unanswered(_ talk: () throws -> Void) throws -> ChatFailure? {
        do {
            try talk()
            return nil
        } catch let failure as ChatFailure {
            return failure
        }
    }

    /// The conversation and the peaks.
    private static func outcome(_ session: ChatSession, _ budget: Budget) -> ConfigNode {
        let peaks = budget.peaks
        return [
            "messages": ConfigNode(session.conversation.messages()),
            "peak_memory_planned": ConfigNode(peaks.planned),
            "peak_memory_measured": ConfigNode(peaks.measured),
        ]
    }
}
