// SPDX-License-Identifier: Apache-2.0
// eft inference: the result of a training configuration, to talk to.
import EftCommandLine
import EftConfig
import EftFormats
import EftTraining

enum InferenceCommand: Command {
    static func savesWork(_ arguments: ParsedArguments) -> Bool { arguments.flag("gradio") }

    private static let noEffect = AxolotlOptions.launcher

    /// Options of run that the configuration stands for.
    private static let replacedKeys: Set<String> = ["model", "adapter", "alpaca", "raw"]

    private static let ownOptions =
        [
            OptionSpecification(
                "-p", "--prompt", kind: .repeated("TEXT"), help: "the prompt, as for eft run"),
            OptionSpecification("--chat", help: "a conversation in the terminal, as eft chat"),
            OptionSpecification("--gradio", help: "start the server and its page, as eft serve"),
            OptionSpecification(
                "--prompter", kind: .value("WORD"),
                help: "the form of the prompt: AlpacaPrompter, or None for the text as it is",
                defaultText: "as the configuration's data set type says"),
        ] + noEffect.map(\.specification)

    /// Options of run, and the address of the server, but those that the configuration or an option here stands for.
    private static let otherOptions: [OptionSpecification] = {
        let others =
            RunCommand.specification.options
            + ServeOptions.all.filter { ["host", "port"].contains($0.key) }
        var names = Set(ownOptions.flatMap(\.names))
        return others.filter { option in
            guard !replacedKeys.contains(option.key), names.isDisjoint(with: option.names) else {
                return false
            }
            names.formUnion(option.names)
            return true
        }
    }()

    static let specification = CommandSpecification(
        name: "inference",
        abstract: "Answer with the model that a training configuration results in.",
        discussion:
            "Reads the YAML that Axolotl reads: the model is base_model with the adapter in output_dir or "
            + "--lora-model-dir, held as it was trained. Prompts are put in the form of the configuration's data "
            + "set where that is alpaca, and in the chat template where it is chat_template. All options of "
            + "eft run are taken. --gradio starts the server and its page instead.",
        examples: [
            Example("eft inference qlora.yml -p \"What is an eft?\"", "one answer"),
            Example("eft inference qlora.yml --chat", "a conversation in the terminal"),
            Example("eft inference qlora.yml --gradio", "the server, with a page to chat on"),
            Example(
                "eft inference qlora.yml --lora-model-dir ./outputs/qlora/checkpoint-40 -p Hi",
                "a checkpoint"),
        ],
        options: ownOptions + otherOptions,
        arguments: AxolotlOptions.arguments, unknownOptions: AxolotlOptions.unknownOptions)

    static func run(_ arguments: ParsedArguments) throws {
        let document = try AxolotlOptions.document(arguments)
        let model = try TrainedModel(document)
        if let notice = IneffectiveOption.notice(noEffect, arguments) { note(notice, arguments) }
        guard !(arguments.flag("chat") && arguments.flag("gradio")) else {
            throw arguments.error("chat", "and --gradio exclude each other")
        }
        if arguments.flag("gradio") {
            try serve(model, document, arguments)
        } else if arguments.flag("chat"), let chat = CommandRegistry.command("chat") {
            try run(
                chat,
                try model.words(arguments, for: chat.specification)
                    + arguments.words(for: chat.specification), arguments)
        } else {
            let form = try PromptForm(document, prompter: arguments.string("prompter"))
            if let notice = form.notice { note(notice, arguments) }
            let run = RunCommand.specification
            var words = try model.words(arguments, for: run) + arguments.words(for: run)
            if form.kind == .alpaca { words.append("--alpaca") }
            // Text that no template of the data's is put around is continued as it is.
            if form.kind == .text, run.options.contains(where: { $0.names.contains("--raw") }) {
                words.append("--raw")
            }
            try self.run(RunCommand.self, words, arguments)
        }
    }

    private static func note(_ text: String, _ arguments: ParsedArguments) {
        guard !arguments.flag("json") else { return }
        TerminalOutput.standardError.writeLine("note: \(text)")
    }

    private static func run(
        _ command: any Command.Type, _ words: [String], _ arguments: ParsedArguments
    ) throws {
        try command.run(
            ArgumentParser.parse(
                words, for: command.specification, configuration: arguments.configuration,
                source: arguments.source))
    }

    /// Starts the server, with the adapter under the name of its folder.
    private static func serve(
        _ model: TrainedModel, _ document: ConfigCursor, _ arguments: ParsedArguments
    ) throws {
        let serve = ServeCommand.specification
        let name = model.adapter.map { FileSystem.name(of: FileSystem.absolute($0)) }
        var words =
            try model.words(arguments, for: serve, adapterName: name) + arguments.words(for: serve)
        if !arguments.isGiven("host"),
            let host = try document.optional("gradio_server_name")?.string()
        {
            words.append("--host=\(host)")
        }
        if !arguments.isGiven("port"),
            let port = try document.optional("gradio_server_port")?.int(in: 0...65535)
        {
            words.append("--port=\(port)")
        }
        if let name {
            note("choose the model '\(name)' on the page: the base is there too", arguments)
        }
        try run(ServeCommand.self, words, arguments)
    }
}

/// How a prompt is put, by what the model was trained on.
struct PromptForm {
    enum Kind: Hashable {
        case alpaca
        case template
        case text
    }

    let kind: Kind
    /// A line for the user; nil when there is nothing to say.
    let notice: String?

    /// Reads the first data set's type and `chat_template`; a prompter goes before both.
    /// - Throws: `UsageError` for a prompter that is not known, `ConfigError`.
    init(_ document: ConfigCursor, prompter: String?) throws {
        if let prompter {
            switch prompter.lowercased() {
            case "none", "null": (kind, notice) = (.text, nil)
            case let name where name.hasPrefix("alpaca"): (kind, notice) = (.alpaca, nil)
            default:
                throw UsageError(
                    "--prompter takes AlpacaPrompter or None; found '\(excerpt(prompter))'",
                    command: "inference")
            }
            return
        }
        let first = try document.optional("datasets")?.elements().first
        let type = try first?.optional("type")
        var name = ""
        if case .string(let text)? = type?.node.value { name = text }
        if try document.optional("chat_template") != nil || name.hasPrefix("chat_template")
            || name == "sharegpt"
        {
            (kind, notice) = (.template, nil)
        } else if name == "alpaca" {
            kind = .alpaca
            notice =
                "prompts are put in the Alpaca form, as in training; --prompter None leaves them as they are"
        } else {
            kind = .text
            notice =
                name == "completion" || name.isEmpty
                ? nil : "prompts are taken as they are; write them in the form of the training data"
        }
    }
}
