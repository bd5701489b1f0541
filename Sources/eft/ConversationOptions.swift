// SPDX-License-Identifier: Apache-2.0
// Options of talking with a model by its chat template.
import EftCommandLine
import EftConfig
import EftFormats
import EftGeneration
import EftTokenizers

enum ConversationOptions {
    static let system = OptionSpecification(
        "-sys", "--system", "--system-prompt", kind: .value("TEXT"),
        help: "what the model is told before the conversation")
    static let template = OptionSpecification(
        "--chat-template", kind: .value("FILE"),
        help: "a Jinja chat template instead of the model's", completion: .file)
    static let verbose = OptionSpecification(
        "-v", "--verbose",
        help: "in a chat, show tokens, speed and time to the first token after each answer")
    static let history = OptionSpecification(
        "--no-history", help: "in a chat, do not keep what is typed for the next time")

    static let options = [system, template, verbose, history]

    /// The model's template, or the one that the command line names; nil when there is none.
    /// - Throws: `ChatTemplateError` for templates that cannot be used.
    static func templates(
        _ arguments: ParsedArguments, folder: String
    ) throws -> ChatTemplates? {
        if let file = arguments.string("chat-template") {
            return try ChatTemplates.single(
                TextFile.contents(file), file: file, folder: folder)
        }
        return try ChatTemplates.loadIfPresent(folder: folder)
    }

    /// How answers are sampled where the command line says nothing: as the model's author recommends, or as chats are.
    static func defaults(folder: String) -> SamplingDefaults {
        let path = FileSystem.join(folder, "generation_config.json")
        guard let bytes = try? FileSystem.read(path), let node = try? JSONParser.parse(bytes)
        else { return .chat }
        return SamplingDefaults(chatWith: node)
    }
}
