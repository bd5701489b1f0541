// SPDX-License-Identifier: Apache-2.0
// eft run: text from a model.
import EftCommandLine
import EftConfig
import EftGeneration
import EftModels
import EftPlanning
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
                "-p", "--prompt", kind: .repeated("TEXT"),
                help: "the prompt; several are continued at once, and shown when they are done",
                isRequired: true),
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
                "--typical-p", kind: .value("P"), help: "locally typical tokens", defaultText: "1"),
            OptionSpecification(
                "--repetition-penalty", kind: .value("R"), help: "above 1 discourages",
                defaultText: "1"),
            OptionSpecification(
                "--presence-penalty", kind: .value("R"),
                help: "above 0 discourages what the answer has", defaultText: "0"),
            OptionSpecification(
                "--frequency-penalty", kind: .value("R"),
                help: "the same, for each time that it has it", defaultText: "0"),
            OptionSpecification(
                "--dry-multiplier", kind: .value("R"),
                help: "above 0 discourages lengthening repetitions", defaultText: "0"),
            OptionSpecification(
                "--min-tokens", kind: .value("N"), help: "fewest new tokens", defaultText: "0"),
            OptionSpecification(
                "--seed", kind: .value("S"), help: "seed of the samples", defaultText: "0"),
            OptionSpecification("--ignore-eos", help: "go on after an end token"),
            OptionSpecification(
                "-pnb", "--no-bos", help: "encode the prompt without a start token"),
            CommonOptions.context, CommonOptions.kvType, CommonOptions.fit,
        ] + DeviceBudget.options + [
            CommonOptions.threads, CommonOptions.precision, CommonOptions.json,
        ])

    static func run(_ arguments: ParsedArguments) throws {
        var model = try LoadedModel(arguments)
        var parameters = try parameters(arguments)
        parameters.endTokens = Set(model.tokenizer.eosIDs)
        try parameters.validate()
        let prompts = try prompts(arguments, model.tokenizer)
        let longest = prompts.map(\.count).max() ?? 0
        let answers = prompts.count * parameters.maxTokens * Answers.tokenBytes
        let need = try need(
            arguments, &model, least: longest + parameters.maxTokens, sequences: prompts.count,
            reserving: answers)
        let tables = need.pages * ServeRequirements.tableBytes
        let plan = model.planner(reserving: answers + tables).run(
            name: "run", layouts: model.layouts, adapters: model.adapterExtents,
            load: try model.loader.loadNeed(), need: need)
        let streaming = try model.streaming(plan)
        let budget = model.budget(plan, streaming)
        let isJSON = arguments.flag("json")
        try budget.announce(quiet: isJSON)
        let start = ContinuousClock.now
        let (decoder, slots) = try model.load(plan, streaming, quiet: isJSON)
        let loadSeconds = (ContinuousClock.now - start).seconds
        let generator = try Generator(decoder: decoder, need: need)
        let requests = prompts.map {
            GenerationRequest(prompt: $0, parameters: parameters, adapters: slots)
        }
        var report = try Answers(model.tokenizer, requests, isLive: !isJSON && prompts.count == 1)
            .make(generator)
        report.streaming = decoder.streamStatistics
        report.loadSeconds = loadSeconds
        report.passBytes = model.layouts.byteCount - model.layouts.embedding.byteCount
        report.show(budget, isJSON: isJSON)
        if InterruptFlag.isRaised { throw Interruption(description: "interrupted") }
    }

    /// What generation needs: as asked for, or what fits.
    private static func need(
        _ arguments: ParsedArguments, _ model: inout LoadedModel, least: Int, sequences: Int,
        reserving bytes: Int
    ) throws -> GenerationNeed {
        let description = model.folder.description
        let asked = try arguments.int("max-seq-len", in: 1...(1 << 24))
        let kvType = try CommonOptions.cacheType(arguments, description)
        guard arguments.flag("fit") else {
            return GenerationNeed(
                contextLength: asked ?? least, sequences: sequences, kvType: kvType,
                adapterRank: model.adapterExtents.rank)
        }
        let types =
            arguments.string("kv-cache-dtype") == nil
            ? FitRequirements.kvTypes(headDim: description.shape.headDim) : [kvType]
        let requirements = FitRequirements(
            least: asked ?? least, most: asked ?? description.contextLength, kvTypes: types,
            sequences: sequences)
        var (need, summary) = try model.fit(requirements, reserving: bytes)
        need.adapterRank = model.adapterExtents.rank
        if !arguments.flag("json") { TerminalOutput.standardError.writeLine("fit: \(summary)") }
        return need
    }

    private static func prompts(
        _ arguments: ParsedArguments, _ tokenizer: Tokenizer
    ) throws -> [[Int32]] {
        try arguments.strings("prompt").map { prompt in
            let text = arguments.flag("alpaca") ? AlpacaPrompt.instruct(prompt) : prompt
            let tokens = try tokenizer.encode(text, addSpecialTokens: !arguments.flag("no-bos"))
            guard !tokens.isEmpty else {
                throw arguments.error(
                    "prompt", "has no token; give some text, or leave out --no-bos")
            }
            return tokens
        }
    }

    private static func parameters(_ arguments: ParsedArguments) throws -> GenerationParameters {
        var parameters = GenerationParameters(
            maxTokens: try arguments.int("max-tokens", default: 128, in: 1...(1 << 24)),
            temperature: Float(try arguments.double("temperature", default: 0, in: 0...2)),
            topK: try arguments.int("top-k", default: 0, in: -1...(1 << 30)),
            topP: Float(try arguments.double("top-p", default: 1, in: 0...1)),
            minP: Float(try arguments.double("min-p", default: 0, in: 0...1)),
            repetitionPenalty: Float(
                try arguments.double("repetition-penalty", default: 1, in: 0.001...1000)),
            seed: UInt64(try arguments.int("seed", default: 0, in: 0...Int.max)))
        parameters.minTokens = try arguments.int("min-tokens", default: 0, in: 0...(1 << 24))
        parameters.typicalP = Float(try arguments.double("typical-p", default: 1, in: 0...1))
        parameters.presencePenalty = Float(
            try arguments.double("presence-penalty", default: 0, in: -2...2))
        parameters.frequencyPenalty = Float(
            try arguments.double("frequency-penalty", default: 0, in: -2...2))
        parameters.dry.multiplier = Float(
            try arguments.double("dry-multiplier", default: 0, in: 0...1000))
        parameters.ignoreEOS = arguments.flag("ignore-eos")
        return parameters
    }
}
