// SPDX-License-Identifier: Apache-2.0
// A tour of the library: plan, load, generate, bind to a format, train, use the adapter.
import EftKit

@main
struct Tour {
    static func main() async {
        guard CommandLine.arguments.count == 2 else {
            print("usage: Tour MODEL_FOLDER")
            return
        }
        do {
            try await run(CommandLine.arguments[1])
        } catch {
            print("error: \(error)")
        }
    }

    static func run(_ folder: String) async throws {
        var options = ModelOptions(memoryLimit: 2 << 30)
        options.contextLength = 256
        options.maxAdapters = 1

        // The plan comes first: what will be held, before anything is read.
        print(try await LanguageModel.plan(folder, options: options))
        let model = try await LanguageModel.load(folder, options: options)

        // Text as it is made.
        for try await event in model.generate("Once upon a time", options: .init(maxTokens: 40)) {
            switch event {
            case .text(let text): print(text, terminator: "")
            case .finished(let result): print("\n[\(result.tokens) tokens, \(result.reason)]")
            }
        }

        // An answer that must be one of three.
        var choice = GenerationOptions(maxTokens: 16)
        choice.format = .choice(["yes", "no", "perhaps"])
        print(try await model.complete("Is the sea blue? ", options: choice).text)

        if model.hasChatTemplate { try await talk(model) }
        try await train(model, folder)
    }

    /// Two turns of a conversation.
    static func talk(_ model: LanguageModel) async throws {
        let chat = try ChatSession(model, system: "You are brief.", options: .init(maxTokens: 40))
        for question in ["What is a lantern?", "And a ship?"] {
            print("> \(question)\n\(try await chat.reply(to: question))")
        }
    }

    /// Trains a small adapter for two steps, and asks it.
    static func train(_ model: LanguageModel, _ folder: String) async throws {
        var configuration = TrainingConfiguration(
            baseModel: folder, method: .qlora,
            datasets: [.init(path: "../demo/lantern.jsonl", type: "alpaca")],
            output: "build/adapter")
        configuration.maxSteps = 2
        for try await update in Training(configuration, memoryLimit: 2 << 30).run() {
            switch update {
            case .planned(let plan, let examples, _, _): print("\(examples) examples; \(plan)")
            case .step(let step): print("step \(step.step): loss \(step.loss)")
            default: break
            }
        }
        try await model.loadAdapter(configuration.output, name: "lantern")
        var options = GenerationOptions.greedy
        options.maxTokens = 24
        options.adapter = "lantern"
        let prompt = "### Instruction:\nWho cooks on the Lantern Ship?\n\n### Response:\n"
        print(try await model.complete(prompt, options: options).text)
    }
}
