// SPDX-License-Identifier: Apache-2.0
// Templates named by families against renderings of the public templates of those names.
import EftConfig
import EftTestSupport
import EftTokenizers
import Testing

struct ChatTemplateFamilyTests {
    @Test func `every family has renderings to be compared with`() throws {
        let files = try Fixtures.list("chat-families").map { String($0.dropLast(5)) }
        #expect(files.filter { $0 != "inputs" }.sorted() == ChatTemplateFamily.names)
        #expect(ChatTemplateFamily.names.count == 33)
        #expect(ChatTemplateFamily.unavailable.allSatisfy { ChatTemplateFamily.source($0) == nil })
    }

    @Test(arguments: ChatTemplateFamily.names)
    func `prompts are those of the public template`(family: String) throws {
        let document = try ConfigFile.read(Fixtures.path("chat-families/inputs.json"))
        let cases = try ConfigFile.read(Fixtures.path("chat-families/\(family).json"))
        let now = try document.required("now").int()
        let template = try ChatTemplate(
            try #require(ChatTemplateFamily.source(family)), file: family,
            specialTokens: SpecialTokenTexts([("bos_token", "<s>"), ("eos_token", "</s>")]))
        var (compared, rendered) = (0, 0)
        for test in try cases.required("cases").elements() {
            let chat = try document.required("chats").required(test.required("chat").string())
            var input = ChatInput(messages: try chat.elements().map(\.node))
            if try test.bool("tools", default: false) {
                input.tools = try document.required("tools").elements().map(\.node)
            }
            input.addGenerationPrompt = try test.bool("generation", default: false)
            if let extra = try test.optional("extra") { input.extra = try extra.object() }
            input.contentFormat = .given
            compared += 1
            let name = try "\(family) \(test.required("chat").string())"
            do {
                let prompt = try template.render(input, now: now)
                rendered += 1
                #expect(prompt == (try test.optional("output")?.string()), "\(name)")
            } catch let error as ChatTemplateError {
                #expect(try test.optional("error") != nil, "\(name): \(error)")
                #expect(error.code == .request, "\(name): \(error)")
            }
        }
        #expect(compared >= 10 && rendered >= 5)
    }
}
