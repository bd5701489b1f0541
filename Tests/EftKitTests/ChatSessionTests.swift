// SPDX-License-Identifier: Apache-2.0
// Conversations through the public interface.
import EftFormats
import EftKit
import EftTestSupport
import Testing

struct ChatSessionTests {
    /// The demo's model with a chat template.
    private func model(
        in folder: TemporaryFolder, _ change: (inout ModelOptions) -> Void = { _ in }
    ) async throws -> LanguageModel {
        let path = folder.path + "/model"
        try FileSystem.createFolder(path)
        for name in try FileSystem.list(KitModel.folder) {
            try AtomicFile.write(
                path + "/" + name, try FileSystem.read(KitModel.folder + "/" + name))
        }
        let template =
            "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
            + "{% if add_generation_prompt %}assistant:{% endif %}"
        try AtomicFile.write(path + "/chat_template.jinja", template)
        var options = KitModel.options
        change(&options)
        return try await LanguageModel.load(path, options: options)
    }

    private var brief: GenerationOptions {
        var options = GenerationOptions.greedy
        options.maxTokens = 12
        return options
    }

    @Test func `a model without a template cannot chat`() async throws {
        let model = try await KitModel.load()
        #expect(!model.hasChatTemplate)
        let failure = #expect(throws: EftError.self) { try ChatSession(model) }
        #expect(failure?.kind == .file)
    }

    @Test func `a turn is the answer to the rendered conversation`() async throws {
        let folder = try TemporaryFolder()
        let model = try await model(in: folder)
        let chat = try ChatSession(model, system: "Be brief.", options: brief)
        let first = try await chat.reply(to: "Who cooks?")
        let rendered = "system: Be brief.\nuser: Who cooks?\nassistant:"
        let plain = try await model.complete(rendered, options: brief)
        #expect(first == plain.text)
        var parts = ""
        var end: GenerationResult?
        for try await event in try await chat.send("And who sails?") {
            switch event {
            case .text(let text): parts += text
            case .finished(let result): end = result
            default: break
            }
        }
        #expect(end?.text == parts)
        #expect(await chat.turns.map(\.answer) == [first, parts])
        #expect(await chat.turns.map(\.question) == ["Who cooks?", "And who sails?"])
    }

    @Test func `questions are answered again and taken back`() async throws {
        let folder = try TemporaryFolder()
        let chat = try ChatSession(try await model(in: folder), options: brief)
        let first = try await chat.reply(to: "Who cooks?")
        var again = ""
        for try await event in try await chat.retry() {
            if case .text(let text) = event { again += text }
        }
        #expect(again == first)
        #expect(await chat.turns.count == 1)
        try await chat.undo()
        #expect(await chat.turns.isEmpty)
        let failure = await #expect(throws: EftError.self) { try await chat.retry() }
        #expect(failure?.kind == .usage)
    }

    @Test func `the oldest turns go when the context is full`() async throws {
        let folder = try TemporaryFolder()
        let model = try await model(in: folder) { $0.contextLength = 96 }
        let chat = try ChatSession(model, options: brief)
        var dropped = 0
        for number in 0..<8 {
            for try await event in try await chat.send("Tell me of the ship, part \(number).") {
                if case .droppedTurns(let count) = event { dropped += count }
            }
        }
        #expect(dropped > 0)
        #expect(await chat.turns.count == 8)
        let long = String(repeating: "the ship and the lantern ", count: 40)
        let failure = await #expect(throws: EftError.self) { try await chat.reply(to: long) }
        #expect(failure?.kind == .usage)
        #expect(await chat.turns.count == 8)
    }

    @Test func `a dropped stream keeps what was said`() async throws {
        let folder = try TemporaryFolder()
        var options = GenerationOptions.greedy
        options.ignoresEndOfText = true
        let chat = try ChatSession(try await model(in: folder), options: options)
        for try await event in try await chat.send("Tell me everything.") {
            if case .text = event { break }
        }
        // The answer is being ended on the engine's thread.
        while await chat.turns.last?.answer == nil { await Task.yield() }
        #expect(await chat.turns.count == 1)
        #expect(await chat.turns.last?.answer?.isEmpty == false)
    }
}
