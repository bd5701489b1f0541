// SPDX-License-Identifier: Apache-2.0
// eft run: answers of a model, or text that it continues.
import EftCommandLine
import EftConfig
import EftGeneration
import EftModels
import EftPlanning
import EftTensor
import EftTokenizers

enum RunCommand: Command {
    static let specification = CommandSpecification(
        name: "run", aliases: ["test-inference", "test-inference.py"],
        abstract: "Ask a model, or let it continue a text, adapters on top unmerged.",
        discussion:
            "A model with a chat template answers the prompt as an assistant; --raw, or a model without one, "
            + "continues it. Without a prompt, a terminal starts 'eft chat' and a pipe is read. The answer goes to "
            + "standard output as it is made, everything else to standard error.\n"
            + "16-bit, bitsandbytes NF4 and EXL2 folders run alike. Options are ExLlamaV2's test_inference.py's and "
            + "llama.cpp's; where both use a letter it is ExLlamaV2's: -t is tokens (--threads for threads), -s is a "
            + "speed test (--seed for the seed).",
        examples: [
            Example("eft run ./model \"Why is the sky blue?\"", "one answer"),
            Example("eft run -m ./model --raw -p \"Once upon a time\" -t 64", "greedy, 64 tokens"),
            Example(
                "git diff | eft run ./model -p - --system \"Write a commit message.\"",
                "from a pipe"),
            Example(
                "eft run -m ./base --adapter ./outputs/qlora-out -p \"Hi\" --temperature 0.8 --top-p 0.95",
                "with an adapter"),
        ],
        options: [ModelArgument.option, NamedAdapter.option] + form + [CommonOptions.cacheFolder]
            + PromptSource.options + [
                OptionSpecification(
                    "--raw", "-no-cnv", "--no-conversation",
                    help: "continue the prompt as it is, without the chat template"),
                OptionSpecification(
                    "--alpaca", help: "wrap the prompt in the Alpaca instruction format"),
            ] + ConversationOptions.options + SamplingOptions.options + [
                OptionSpecification(
                    "-pnb", "--no-bos", help: "encode a raw prompt without a start token"),
                context, CommonOptions.kvType,
            ] + ForeignOptions.cacheOptions + [CommonOptions.fit] + DeviceBudget.options + [
                CommonOptions.threads, CommonOptions.precision, CommonOptions.json,
            ] + SpeedTests.options + [
                OptionSpecification(
                    "-ed", "--eval-dataset", kind: .value("FILE"),
                    help: "perplexity is measured by 'eft eval'")
            ] + ForeignOptions.ineffectiveOptions,
        arguments: [ModelArgument.argument, PromptSource.argument])

    static let context = OptionSpecification(
        "--max-seq-len", "-l", "-c", "--ctx-size", kind: .value("N"), help: "tokens of context",
        defaultText: "prompt and answer; in a chat the model's, at most 8192, as far as it fits")
    /// As `CommonOptions.form`, with ExLlamaV2's name beside.
    static let form = [
        OptionSpecification(
            "--load-in-4bit", "-lq4", kind: .invertibleFlag, help: CommonOptions.fourBits.help,
            defaultText: CommonOptions.fourBits.defaultText), CommonOptions.eightBits,
    ]

    static func run(_ arguments: ParsedArguments) throws {
        if let file = arguments.string("eval-dataset") {
            throw UsageError(
                "perplexity is measured by another verb: eft eval -m MODEL --data \(file)",
                command: specification.name)
        }
        ForeignOptions.announce(arguments)
        if SpeedTests.isAskedFor(arguments) { return try SpeedTests(arguments).run() }
        let path = try ModelArgument.path(arguments)
        let prompts = try PromptSource.prompts(arguments)
        guard !prompts.isEmpty else {
            let wantsText = ["raw", "alpaca", "json"].first { arguments.flag($0) }
            if let wantsText {
                throw arguments.error(wantsText, "needs a prompt: -p TEXT")
            }
            return try ChatCommand.chat(arguments)
        }
        var model = try LoadedModel(
            arguments, adapters: NamedAdapter.all(arguments).map(\.folder))
        let frame = try PromptFrame(arguments, folder: path, model)
        let framed = try prompts.map(frame.framed)
        let plan = try RunPlan(arguments, &model, frame, framed)
        try plan.run()
    }
}

/// How prompts reach the model.
struct PromptFrame {
    let arguments: ParsedArguments
    let tokenizer: Tokenizer
    /// The template; nil when text is continued.
    let template: ChatTemplate?
    /// How the model marks its thoughts.
    let reasoning: ReasoningFormat?
    /// How answers are sampled where the command line says nothing.
    let defaults: SamplingDefaults

    /// A prompt as the model gets it.
    struct Framed {
        let text: String
        let tokens: [Int32]
    }

    init(_ arguments: ParsedArguments, folder: String, _ model: LoadedModel) throws {
        self.arguments = arguments
        tokenizer = model.tokenizer
        let isRaw = arguments.flag("raw") || arguments.flag("alpaca")
        let templates =
            isRaw ? nil : try model.templates(arguments)
        template = try templates?.template()
        reasoning = templates.flatMap { ReasoningFormat.format(inTemplate: $0.source) }
        defaults = template == nil ? .greedy : ConversationOptions.defaults(folder: folder)
        if template == nil, arguments.string("system") != nil {
            throw arguments.error(
                "system",
                isRaw
                    ? "has no place in text that is continued; leave out --raw and --alpaca"
                    : "needs a chat template, and this model has none; give one by --chat-template")
        }
    }

    /// Frames a prompt.
    func framed(_ prompt: String) throws -> Framed {
        if let template {
            let conversation = ChatConversation(
                system: arguments.string("system"), turns: [.init(question: prompt)])
            let text = try template.render(ChatInput(messages: conversation.messages()))
            return Framed(
                text: text, tokens: try tokenizer.encode(text, addSpecialTokens: false))
        }
        let text = arguments.flag("alpaca") ? AlpacaPrompt.instruct(prompt) : prompt
        let tokens = try tokenizer.encode(text, addSpecialTokens: !arguments.flag("no-bos"))
        guard !tokens.isEmpty else {
            throw UsageError(
                "the prompt has no token; give some text", command: arguments.command.name)
        }
        return Framed(text: text, tokens: tokens)
    }
}
