// SPDX-License-Identifier: Apache-2.0
// eft serve: OpenAI's interface over a model, in a memory budget.
import EftCommandLine
import EftConfig
import EftGeneration
import EftModels
import EftPlanning
import EftServer
import EftTensor
import EftTokenizers

#if canImport(Glibc)
    import Glibc
#endif

enum ServeCommand: Command {
    static func savesWork(_: ParsedArguments) -> Bool { true }

    static let specification = CommandSpecification(
        name: "serve", abstract: "Serve a model over HTTP, as OpenAI, vLLM and Ollama do.",
        discussion:
            "Any number of requests share one model, its adapters and a cache of keys and values that takes "
            + "what --memory leaves. Ctrl-C lets requests under way finish.",
        examples: [
            Example("eft serve ./model --memory 8GiB", "on http://127.0.0.1:8000"),
            Example(
                "eft serve ./base --lora-modules law=./law code=./code --api-key SECRET",
                "two adapters on one base, chosen by a request's \"model\""),
        ],
        options: [
            ModelArgument.option,
            OptionSpecification(
                "--adapter", "--lora-modules", kind: .repeated("NAME=DIR"),
                help: "a PEFT adapter under a name that requests can ask for", completion: .folder,
                takesMany: true),
            CommonOptions.fourBits, CommonOptions.eightBits, CommonOptions.cacheFolder,
        ] + ServeOptions.all + DeviceBudget.options + [
            ServeOptions.kvType, CommonOptions.threads, CommonOptions.servingPrecision,
        ] + VLLMArguments.shownOptions,
        hiddenOptions: VLLMArguments.hiddenOptions,
        arguments: [ModelArgument.argument])

    static func run(_ given: ParsedArguments) throws {
        let output = TerminalOutput.standardError
        let translated = try VLLMArguments(given)
        let arguments = translated.arguments
        for note in translated.notes { output.writeLine("note: \(note)") }
        let options = try ServeOptions(arguments)
        let model = try LoadedModel(
            arguments, adapters: options.adapters.map(\.folder), usesAdapterTokenizer: false,
            reserving: options.reservedAdapters)
        try QuantizationOption.check(arguments, model.folder)
        let program = ServedProgram(arguments: arguments, options: options, model: model)
        let draft = try options.draft(model)
        let plan = try options.plan(model, draft)
        if let note = options.note(model.folder.description, plan) {
            output.writeLine("note: \(note)")
        }
        let streaming = try model.streaming(plan.stage)
        let budget = model.budget(plan.stage, streaming)
        try budget.announce()
        output.writeLine(
            "KV cache size: \(plan.cacheTokens) tokens in \(plan.need.pages) blocks of \(pageTokens), "
                + "\(plan.need.kvType.rawValue)")
        output.writeLine(
            "Maximum concurrency for \(plan.need.contextLength) tokens per request: "
                + "\(formatFixed(plan.concurrency, decimals: 2))x")
        if !arguments.isGiven("memory"), !arguments.isGiven("gpu-memory-utilization") {
            output.writeLine(defaultBudget(plan, budget))
        }
        let start = ContinuousClock.now
        let decoder = try model.base(plan.stage, streaming, quiet: false)
        let registry = MetricsRegistry()
        let served = try program.served(decoder, draft, plan, registry)
        let server = try program.server(served, plan, registry)
        output.writeLine(
            "serving \(options.names.joined(separator: ", ")) on "
                + "\(options.tls == nil ? "http" : "https")://\(server.address) after "
                + "\(formatFixed((ContinuousClock.now - start).seconds, decimals: 1)) s")
        // A server may wait for long; what starting has taken is not needed meanwhile.
        IdleMemory.giveBack()
        while !InterruptFlag.isRaised { usleep(50_000) }
        output.writeLine("stopping: no new requests; those under way have \(options.grace) s")
        // The engine is closed first, so that requests that come now are told to go elsewhere.
        served.close()
        server.stop(within: .seconds(options.grace))
        served.stop()
        output.writeLine(budget.outcome)
    }

    /// What a server without `--memory` may take, in a sentence.
    private static func defaultBudget(_ plan: ServePlan, _ budget: Budget) -> String {
        "Memory budget: \(formatBytes(budget.limits.max() ?? .max)) by default (--memory sets another); the cache "
            + "takes memory as it fills, up to \(formatBytes(plan.stage.memory[.kvCache]))"
    }
}
