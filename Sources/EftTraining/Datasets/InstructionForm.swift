// SPDX-License-Identifier: Apache-2.0
// The ways in which Axolotl's instruction data sets put a prompt together.
import EftConfig
import EftTokenizers

/// A kind of instruction data set: the fields of its rows, and the text around them.
struct InstructionForm: Sendable {
    /// What a row says.
    struct Parts {
        var instruction: String
        var input = ""
        var response: String
        /// What stands in front; nil for the form's own sentences.
        var system: String?
    }

    /// The words of the key `type`.
    let names: [String]
    /// Whether a style may stand behind the name, as in `oasst:chat`.
    var takesStyle = false
    /// The style without one.
    var style = PromptStyle.instruct
    /// The sentences in front, with and without input; empty for none.
    var sentences = (with: AlpacaPrompt.sentenceWithInput, without: AlpacaPrompt.sentence)
    /// What a row says.
    let parts: @Sendable (ConfigCursor) throws(ConfigError) -> Parts

    /// All of them.
    static let all: [InstructionForm] = alpaca + systems + questions + choices

    // MARK: Alpaca

    private static let noSentences = (with: "", without: "")
    private static let concise = (
        with:
            "Below is an instruction from a USER that describes a task, paired with an input that provides further "
            + "context. The ASSISTANT writes a response that concisely and appropriately completes the request.\n\n",
        without:
            "Below is an instruction from a USER that describes a task. The ASSISTANT writes a response that "
            + "appropriately and concisely completes the request.\n\n"
    )

    private static func fields(
        _ instruction: String, _ input: String?, _ response: String
    ) -> @Sendable (ConfigCursor) throws(ConfigError) -> Parts {
        { (row) throws(ConfigError) in
            Parts(
                instruction: try row.requiredField(instruction),
                input: try input.map { (name) throws(ConfigError) in try row.field(name) } ?? "",
                response: try row.requiredField(response))
        }
    }

    private static let usual = fields("instruction", "input", "output")

    private static let alpaca: [InstructionForm] = [
        InstructionForm(names: ["alpaca"], takesStyle: true, parts: usual),
        InstructionForm(names: ["alpaca_instruct", "alpaca_instruct.load"], parts: usual),
        InstructionForm(
            names: ["alpaca_instruct.load_no_prompt"], sentences: noSentences, parts: usual),
        InstructionForm(names: ["alpaca_chat", "alpaca_chat.load"], style: .chat, parts: usual),
        InstructionForm(
            names: ["alpaca_chat.load_concise"], style: .chat, sentences: concise, parts: usual),
        InstructionForm(
            names: ["alpaca_chat.load_no_prompt"], style: .chat, sentences: noSentences,
            parts: usual),
        InstructionForm(
            names: ["alpaca_chat.load_qa"], style: .chat, sentences: concise,
            parts: fields("question", nil, "answer")),
        InstructionForm(
            names: ["alpaca_chat.load_camel_ai"], style: .chat, sentences: concise,
            parts: fields("message_1", nil, "message_2")),
        InstructionForm(
            names: ["gpteacher"], takesStyle: true,
            parts: fields("instruction", "input", "response")),
        InstructionForm(
            names: ["oasst"], takesStyle: true, parts: fields("INSTRUCTION", nil, "RESPONSE")),
    ]

    // MARK: With a system prompt in the row

    private static let withSystem: @Sendable (ConfigCursor) throws(ConfigError) -> Parts = {
        (row) throws(ConfigError) in
        var parts = try usual(row)
        parts.system = try row.requiredField("system")
        return parts
    }
    private static let orca: @Sendable (ConfigCursor) throws(ConfigError) -> Parts = {
        (row) throws(ConfigError) in
        var parts = try fields("question", nil, "response")(row)
        parts.system = try row.requiredField("system_prompt")
        return parts
    }

    private static let systems: [InstructionForm] = [
        InstructionForm(
            names: ["alpaca_w_system", "alpaca_w_system.load", "alpaca_w_system.load_chat"],
            style: .chat, parts: withSystem),
        InstructionForm(names: ["alpaca_w_system.load_instruct"], parts: withSystem),
        InstructionForm(names: ["alpaca_w_system.load_open_orca"], style: .orca, parts: orca),
        InstructionForm(
            names: ["alpaca_w_system.load_open_orca_chatml"], style: .chatML, parts: orca),
        InstructionForm(names: ["orcamini"], style: .orcaMini, parts: orca),
    ]

    // MARK: Questions on a text

    private static let context =
        "Use the following contextual information to concisely answer the question.\n"
    private static let unanswerable =
        "The context provided does not contain any information about your inquiry. Therefore, I'm unable to answer "
        + "your question based on the given context."

    private static let questions: [InstructionForm] = [
        InstructionForm(
            names: ["context_qa", "context_qa.load"], style: .chat,
            sentences: (with: context, without: context),
            parts: { (row) throws(ConfigError) in
                Parts(
                    instruction: try row.requiredField("article") + "\n===\n"
                        + row.requiredField("question"), response: try row.requiredField("answer"))
            }),
        InstructionForm(
            names: ["context_qa.load_404"], style: .chat,
            sentences: (with: context, without: context),
            parts: { (row) throws(ConfigError) in
                Parts(
                    instruction: try row.requiredField("article") + "\n===\n"
                        + row.requiredField("unanswerable_question"), response: unanswerable)
            }),
        InstructionForm(
            names: ["context_qa.load_v2"], style: .bare, sentences: noSentences,
            parts: { (row) throws(ConfigError) in
                Parts(
                    instruction: "Context: " + (try row.requiredField("context"))
                        + "\nQuestion: " + (try row.requiredField("question")) + "\n",
                    response: "Answer: " + (try row.requiredField("answer")))
            }),
        InstructionForm(
            names: ["jeopardy"], takesStyle: true,
            parts: { (row) throws(ConfigError) in
                Parts(
                    instruction: try row.requiredField("question"),
                    input: try row.requiredField("category"),
                    response: "what is " + (try row.requiredField("answer")))
            }),
        InstructionForm(
            names: ["summarizetldr"], style: .summary, sentences: noSentences,
            parts: fields("article", nil, "summary")),
    ]

    // MARK: Multiple choice

    private static let choice: @Sendable (ConfigCursor) throws(ConfigError) -> Parts = {
        (row) throws(ConfigError) in
        let choices = try row.required("choices").strings()
        let hasSolution = try row.optional("solution") != nil
        return Parts(
            instruction: try row.requiredField("question"),
            input: choices.map { "- \"\($0)\"" }.joined(separator: "\n"),
            response: try row.requiredField(hasSolution ? "solution" : "explanation"))
    }
    private static let explained =
        "Choose the answer that best answers the question. Explain your reasoning.\n"
    private static let brief =
        "Choose the answer that best answers the question. Be concise in your response.\n\n"

    private static let choices: [InstructionForm] = [
        InstructionForm(
            names: ["explainchoice"], takesStyle: true,
            sentences: (with: explained, without: explained), parts: choice),
        InstructionForm(
            names: ["concisechoice"], style: .plainChat, sentences: (with: brief, without: brief),
            parts: choice),
    ]
}

/// How sentence, instruction and input stand in a prompt.
enum PromptStyle: String, CaseIterable, Sendable {
    case instruct
    case chat
    case chatML = "chatml"
    case phi
    case orca
    case orcaMini
    case bare
    case summary
    /// As `chat`, with nothing around the sentence.
    case plainChat

    /// Those that may stand behind a name.
    static let named: [PromptStyle] = [.instruct, .chat, .chatML, .phi]

    /// The prompt; an empty input counts as none, and so does an empty sentence.
    func prompt(system: String, instruction: String, input: String) -> String {
        let head = system.isEmpty && self != .orcaMini ? "" : around(system)
        return head + (input.isEmpty ? turn(instruction) : turn(instruction, input))
    }

    private func around(_ system: String) -> String {
        switch self {
        case .instruct: system + "\n\n"
        case .chat: "SYSTEM: \(system)\n"
        case .chatML: "<|im_start|>system\n\(system)<|im_end|>\n"
        case .phi: "<|system|>\n\(system)<|end|>\n"
        case .orca: "### System:\n\(system)\n"
        case .orcaMini: "### System:\n\(system)\n\n"
        case .bare, .summary, .plainChat: system
        }
    }

    private func turn(_ instruction: String) -> String {
        switch self {
        case .instruct: "### Instruction:\n\(instruction)\n\n### Response:\n"
        case .chat, .plainChat: "USER: \(instruction)\nASSISTANT:"
        case .chatML: "<|im_start|>user\n\(instruction)<|im_end|>\n<|im_start|>assistant\n"
        case .phi: "<|user|>\n\(instruction)<|end|>\n<|assistant|>\n"
        case .orca: "### Human:\n\(instruction)\n### Assistant:\n"
        case .orcaMini: "### User:\n\(instruction)\n\n### Response:\n"
        case .bare: instruction
        case .summary:
            "USER: Summarize the following article as a TL;DR.\n\(instruction)\nASSISTANT:"
        }
    }

    private func turn(_ instruction: String, _ input: String) -> String {
        switch self {
        case .instruct:
            "### Instruction:\n\(instruction)\n\n### Input:\n\(input)\n\n### Response:\n"
        // The form with input has no line break before the assistant; that is how models were trained.
        case .phi: "<|user|>\n\(instruction)<|end|>\(input)<|assistant|>"
        case .orca:
            "### Human:\n\(instruction)\n### Additional Context:\n\(input)\n### Assistant:\n"
        default: turn("\(instruction)\n\(input)")
        }
    }
}
