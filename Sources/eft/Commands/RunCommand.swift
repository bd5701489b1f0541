// SPDX-License-Identifier: Apache-2.0
// eft run: text from a model.
import EftCommandLine
import EftConfig
import EftGeneration
import EftModels
import EftTensor
import EftTokenizers

enum RunCommand: Command {
    static let specification = CommandSpecification(
        name: "run", abstract: "Continue a prompt with a model, adapters on top unmerged.",
        discussion:
            "Runs 16-bit, bitsandbytes NF4 and EXL2 folders alike. The answer goes to standard output as it is "
            + "made, everything else to standard error.",
        examples: [
            Example("eft run -m ./model -p \"Once upon a time\" -t 64", "greedy, 64 tokens"),
            Example(
                "eft run -m ./base --adapter ./outputs/qlora-out -p \"Hi\" --temperature 0.8 --top-p 0.95",
                "sampled, with an adapter"),
        ],
        options: [
            CommonOptions.model, CommonOptions.adapter, CommonOptions.fourBits,
            CommonOptions.cacheFolder,
            OptionSpecification(
                "-p", "--prompt", kind: .value("TEXT"), help: "the prompt", isRequired: true),
            OptionSpecification(
                "--alpaca", help: "wrap the prompt in the Alpaca instruction format"),
            OptionSpecification(
                "-t", "--max-tokens", kind: .value("N"), help: "most new tokens", defaultText: "128"
            ),
            OptionSpecification(
                "--temperature", kind: .value("T"), help: "0 takes the likeliest token",
                defaultText: "0"),
            OptionSpecification("--top-p", kind: .value("P"), help: "nucleus", defaultText: "1"),
            OptionSpecification(
                "--top-k", kind: .value("K"), help: "k likeliest; 0 for all", defaultText: "0"),
            OptionSpecification(
                "--min-p", kind: .value("P"), help: "least probability relative to the likeliest",
                defaultText: "0"),
            OptionSpecification(
                "--repetition-penalty", kind: .value("R"), help: "above 1 discourages",
                defaultText: "1"),
            OptionSpecification(
                "--seed", kind: .value("S"), help: "seed of the draws", defaultText: "0"),
            OptionSpecification("--ignore-eos", help: "go on after an end token"),
            OptionSpecification(
                "-pnb", "--no-bos", help: "encode the prompt without a start token"),
            CommonOptions.context, CommonOptions.kvType,
        ] + DeviceBudget.options + [
            CommonOptions.threads, CommonOptions.precision, CommonOptions.json,
        ])

    static func run(_ arguments: ParsedArguments) throws {
        let model = try LoadedModel(arguments)
        var parameters = try parameters(arguments)
        if !arguments.flag("ignore-eos") { parameters.stopTokens = Set(model.tokenizer.eosIDs) }
        try parameters.validate()
        let prompt = try model.tokenizer.encode(
            text(arguments), addSpecialTokens: !arguments.flag("no-bos"))
        guard !prompt.isEmpty else {
            throw arguments.error("prompt", "has no token; give some text, or leave out --no-bos")
        }
        let context =
            try arguments.int("max-seq-len", in: 1...(1 << 24))
            ?? prompt.count + parameters.maxTokens
        let need = GenerationNeed(
            contextLength: context,
            kvType: try CommonOptions.cacheType(arguments, model.folder.description),
            adapterRank: model.adapterExtents.rank)
        let plan = model.planner().run(
            name: "run", layouts: model.layouts, adapters: model.adapterExtents,
            load: try model.loader.loadNeed(), need: need)
        let streaming = try model.streaming(plan)
        let budget = model.budget(plan, streaming)
        try budget.announce(quiet: arguments.flag("json"))
        let (decoder, slots) = try model.load(plan, streaming, quiet: arguments.flag("json"))
        let generator = try Generator(decoder: decoder, need: need)
        try generate(
            generator, GenerationRequest(prompt: prompt, parameters: parameters, adapters: slots),
            model.tokenizer, budget, isJSON: arguments.flag("json"))
    }

    private static func text(_ arguments: ParsedArguments) -> String {
        let prompt = arguments.string("prompt", default: "")
        return arguments.flag("alpaca") ? AlpacaPrompt.instruct(prompt) : prompt
    }

    private static func parameters(_ arguments: ParsedArguments) throws -> GenerationParameters {
        GenerationParameters(
            maxTokens: try arguments.int("max-tokens", default: 128, in: 1...(1 << 24)),
            temperature: Float(try arguments.double("temperature", default: 0, in: 0...1000)),
            topK: try arguments.int("top-k", default: 0, in: 0...(1 << 30)),
            topP: Float(try arguments.double("top-p", default: 1, in: 0...1)),
            minP: Float(try arguments.double("min-p", default: 0, in: 0...1)),
            repetitionPenalty: Float(
                try arguments.double("repetition-penalty", default: 1, in: 0.001...1000)),
            seed: UInt64(try arguments.int("seed", default: 0, in: 0...Int.max)))
    }

    private static func generate(
        _ generator: Generator, _ request: GenerationRequest, _ tokenizer: Tokenizer,
        _ budget: Budget, isJSON: Bool
    ) throws {
        var detokenizer = try StreamingDetokenizer(tokenizer)
        let output = TerminalOutput.standardOutput
        var text = ""
        var tokens: [Int32] = []
        let clock = ContinuousClock()
        let start = clock.now
        var first: ContinuousClock.Instant?
        let reasons = try generator.run([request]) { _, token in
            if first == nil { first = clock.now }
            tokens.append(token)
            let piece = try detokenizer.append(token)
            text += piece
            if !isJSON { output.write(piece) }
            return !InterruptFlag.isRaised
        }
        let rest = try detokenizer.finish()
        text += rest
        let end = clock.now
        let decodeSeconds = seconds(from: first ?? end, to: end)
        let speed = decodeSeconds > 0 ? Double(max(0, tokens.count - 1)) / decodeSeconds : 0
        if isJSON {
            JSONOutput.print(
                [
                    "text": ConfigNode(text), "tokens": ConfigNode(tokens.map(Int.init)),
                    "prompt_tokens": ConfigNode(request.prompt.count),
                    "finish_reason": ConfigNode(reasons[0].rawValue),
                    "tokens_per_second": ConfigNode(speed),
                    "peak_memory_planned": ConfigNode(budget.peaks.planned),
                    "peak_memory_measured": ConfigNode(budget.peaks.measured),
                ])
        } else {
            output.writeLine(rest)
            TerminalOutput.standardError.writeLine(
                "\(request.prompt.count) prompt tokens in "
                    + "\(formatDuration(seconds(from: start, to: first ?? end))), \(tokens.count) tokens at "
                    + "\(formatRate(speed, "tokens")); \(budget.outcome)")
        }
        if InterruptFlag.isRaised { throw Interruption(description: "interrupted") }
    }

    private static func seconds(
        from start: ContinuousClock.Instant, to end: ContinuousClock.Instant
    ) -> Double {
        (end - start).seconds
    }
}
