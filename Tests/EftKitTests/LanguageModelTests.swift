// SPDX-License-Identifier: Apache-2.0
// Loading a model and continuing texts through the public interface.
import EftKit
import EftTestSupport
import Synchronization
import Testing

struct LanguageModelTests {
    @Test func `the plan comes first and is the one of the loaded model`() async throws {
        let plan = try await LanguageModel.plan(KitModel.folder, options: KitModel.options)
        #expect(plan.fits)
        #expect(plan.items.contains { $0.purpose == "weights" && $0.bytes > 1 << 20 })
        let shown = Mutex<[MemoryPlan]>([])
        let layers = Mutex<[WorkProgress]>([])
        let model = try await LanguageModel.load(
            KitModel.folder, options: KitModel.options,
            onPlan: { plan in shown.withLock { $0.append(plan) } },
            onProgress: { progress in layers.withLock { $0.append(progress) } })
        #expect(shown.withLock(\.count) == 1)
        #expect(model.memory == shown.withLock(\.first))
        #expect(layers.withLock { $0.last?.fraction } == 1)
        #expect(model.contextLength == 256)
    }

    @Test func `a model that does not fit is refused before it is read`() async {
        var options = KitModel.options
        options.memoryLimits = [1 << 20]
        let refused = options
        let failure = await #expect(throws: EftError.self) {
            try await LanguageModel.load(KitModel.folder, options: refused)
        }
        #expect(failure?.kind == .doesNotFit)
    }

    @Test func `loading can be given up by its plan`() async {
        let failure = await #expect(throws: EftError.self) {
            try await LanguageModel.load(
                KitModel.folder, options: KitModel.options,
                onPlan: { _ in throw EftError(.cancelled, "too much") })
        }
        #expect(failure?.kind == .cancelled)
    }

    @Test func `a missing folder is a fault of a file`() async {
        let failure = await #expect(throws: EftError.self) {
            try await LanguageModel.load("/nonexistent/model")
        }
        #expect(failure?.kind == .file)
        #expect(failure?.message.contains("/nonexistent/model") == true)
    }

    @Test func `the parts of a stream are the whole text`() async throws {
        let model = try await KitModel.load()
        var parts = ""
        var result: GenerationResult?
        var options = GenerationOptions.greedy
        options.maxTokens = 24
        for try await event in model.generate("Once upon a time", options: options) {
            switch event {
            case .text(let text): parts += text
            case .finished(let end): result = end
            }
        }
        let end = try #require(result)
        #expect(!parts.isEmpty && parts == end.text)
        #expect(end.tokens <= 24 && end.tokens > 0)
        #expect(end.promptTokens == (try model.encode("Once upon a time")).count)
        #expect(try await model.complete("Once upon a time", options: options).text == parts)
    }

    @Test func `requests at once get the answers that they get alone`() async throws {
        let model = try await KitModel.load()
        let prompts = ["Once upon a time", "The ship", "A miller", "In the morning", "Jory"]
        var options = GenerationOptions(maxTokens: 12, temperature: 0.8, seed: 7)
        options.topP = 0.9
        let fixed = options
        var alone: [String] = []
        for prompt in prompts {
            alone.append(try await model.complete(prompt, options: fixed).text)
        }
        let together = try await withThrowingTaskGroup(of: (Int, String).self) { group in
            for (place, prompt) in prompts.enumerated() {
                group.addTask {
                    (place, try await model.complete(prompt, options: fixed).text)
                }
            }
            return try await group.reduce(into: [Int: String]()) { $0[$1.0] = $1.1 }
        }
        #expect(prompts.indices.map { together[$0] } == alone)
    }

    @Test func `an answer keeps to its format`() async throws {
        let model = try await KitModel.load()
        var options = GenerationOptions(maxTokens: 32, temperature: 1, seed: 3)
        options.format = .choice(["red", "green", "blue"])
        let color = try await model.complete("The lantern is", options: options).text
        #expect(["red", "green", "blue"].contains(color))
        options.format = .regex("[0-9]{3}-[0-9]{2}")
        let number = try await model.complete("The number is", options: options).text
        #expect(number.wholeMatch(of: /[0-9]{3}-[0-9]{2}/) != nil)
        options.format = .jsonSchema("{not json")
        let broken = options
        let failure = await #expect(throws: EftError.self) {
            try await model.complete("x", options: broken)
        }
        #expect(failure?.kind == .usage)
    }

    @Test func `a stream that is dropped ends the request`() async throws {
        let model = try await KitModel.load { $0.maxConcurrentRequests = 1 }
        var options = GenerationOptions.greedy
        options.ignoresEndOfText = true
        for try await event in model.generate("Once", options: options) {
            if case .text = event { break }
        }
        // With room for one request only, the next one would wait for the first for good.
        options.maxTokens = 4
        #expect(try await model.complete("The ship", options: options).tokens == 4)
    }

    @Test func `a prompt without room for an answer says so`() async throws {
        let model = try await KitModel.load { $0.contextLength = 16 }
        let long = String(repeating: "the ship and the lantern ", count: 20)
        let failure = await #expect(throws: EftError.self) {
            try await model.complete(long)
        }
        #expect(failure?.kind == .usage)
        #expect(failure?.message.contains("the context holds 16") == true)
    }

    @Test func `embeddings have length 1 and tell texts apart`() async throws {
        let model = try await KitModel.load()
        let vectors = try await model.embeddings(["the ship", "the ship", "a mill"])
        #expect(vectors.count == 3 && vectors[0] == vectors[1] && vectors[0] != vectors[2])
        for vector in vectors {
            let length = vector.reduce(0) { $0 + $1 * $1 }
            #expect(abs(length - 1) < 1e-4)
        }
        let last = try await model.embeddings(["the ship"], pooling: .last)
        #expect(last[0] != vectors[0])
    }

    @Test func `options that make no sense are refused`() async {
        for change: (inout ModelOptions) -> Void in [
            { $0.memoryLimits = [0] }, { $0.maxConcurrentRequests = 0 }, { $0.threads = -1 },
            { $0.contextLength = 1 << 20 }, { $0.contextLength = 0 },
            { $0.adapters = [.init(name: "", folder: "x")] },
        ] {
            let failure = await #expect(throws: EftError.self) { try await KitModel.load(change) }
            #expect(failure?.kind == .usage)
        }
    }
}
