// SPDX-License-Identifier: Apache-2.0
// The demo's model to talk with.
import EftGeneration
import EftModels
import EftTensor
import EftTestSupport
import EftTokenizers

/// A small model that was trained on stories, behind a template written for tests.
struct ChatRig {
    static let template = """
        {%- for message in messages %}{{ message.role + ': ' + message.content + '\\n' }}{% endfor -%}
        {%- if add_generation_prompt %}{{ 'assistant:' }}{% endif -%}
        """

    let decoder: Decoder
    let tokenizer: Tokenizer
    let template: ChatTemplate
    let context: Int

    init(context: Int = 512, template: String = ChatRig.template) throws {
        let path = Fixtures.packageRoot + "/Examples/demo/model"
        decoder = try DecoderLoader(folder: ModelFolder.open(path))
            .load(backend: CPUBackend(threads: 2))
        tokenizer = try Tokenizer.load(folder: path)
        self.template = try ChatTemplates.single(template, folder: path).template()
        self.context = context
    }

    var parameters: GenerationParameters {
        var parameters = GenerationParameters(maxTokens: 1)
        parameters.endTokens = Set(tokenizer.eosIDs)
        return parameters
    }

    private func generator(keepingPrefixes: Bool) throws -> Generator {
        try Generator(
            decoder: decoder, need: GenerationNeed(contextLength: context, kvType: .f32),
            keepingPrefixes: keepingPrefixes)
    }

    func session(
        reasoning: ReasoningFormat? = nil, limit: Int? = nil, system: String? = nil
    ) throws -> ChatSession {
        let session = ChatSession(
            generator: try generator(keepingPrefixes: true), tokenizer: tokenizer,
            template: template, reasoning: reasoning, parameters: parameters,
            conversation: ChatConversation(system: system))
        session.answerLimit = limit
        return session
    }

    /// The prompt of messages as text and tokens.
    func prompt(
        _ conversation: ChatConversation, droppingTurns count: Int = 0
    ) throws -> [Int32] {
        let text = try template.render(
            ChatInput(messages: conversation.messages(droppingTurns: count)))
        return try tokenizer.encode(text, addSpecialTokens: false)
    }

    /// What an engine without any memory continues a prompt with.
    func continued(
        _ prompt: [Int32], _ parameters: GenerationParameters, adapters: [Int] = []
    ) throws -> [Int32] {
        var tokens: [Int32] = []
        _ = try generator(keepingPrefixes: false).run([
            GenerationRequest(prompt: prompt, parameters: parameters, adapters: adapters)
        ]) { _, token in
            tokens.append(token)
            return true
        }
        return tokens
    }
}

/// Hears what a session says, and stops it after so many pieces.
final class ChatHearer {
    private(set) var events: [ChatEvent] = []
    private let most: Int

    init(pieces: Int = .max) { most = pieces }

    func hear(_ event: ChatEvent) -> Bool {
        events.append(event)
        return pieces.count < most
    }

    var pieces: [String] {
        events.compactMap { event in
            switch event {
            case .text(let text), .thought(let text): text
            default: nil
            }
        }
    }

    var text: String {
        events.map { event in if case .text(let text) = event { text } else { "" } }.joined()
    }

    var forgotten: [Int] {
        events.compactMap { event in if case .forgot(let turns) = event { turns } else { nil } }
    }
}
