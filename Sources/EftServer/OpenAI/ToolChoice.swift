// SPDX-License-Identifier: Apache-2.0
// The tools of a request, and whether the model may, must or must not call them.
import EftConfig
import EftGeneration

/// Tools that an answer may call.
struct ToolChoice: Sendable {
    /// How calls are written; nil when none are looked for.
    let format: (any ToolCallFormat)?
    /// The tools that may be called.
    let definitions: [ToolDefinition]
    /// Whether more than one call is kept.
    let allowsSeveral: Bool
    /// Whether the answer must call a tool.
    let isForced: Bool
    /// Whether the request names the one to call.
    let isNamed: Bool

    /// - Throws: `HTTPFailure` (400).
    init(_ fields: RequestFields, tools: [ConfigNode], _ model: ServedModel) throws(HTTPFailure) {
        let all = try tools.map { (tool) throws(HTTPFailure) in
            let function = try RequestFields(tool).fields("function")
            return ToolDefinition(
                name: try function?.string("name") ?? "", parameters: function?["parameters"])
        }
        allowsSeveral = try fields.bool("parallel_tool_calls") ?? true
        var named: String?
        var word = tools.isEmpty ? "none" : "auto"
        if let choice = fields["tool_choice"] {
            if case .string(let text) = choice.value {
                word = text
            } else {
                let function = try RequestFields(choice, path: "tool_choice").fields("function")
                named = try function?.string("name") ?? ""
                word = "required"
            }
        }
        guard ["none", "auto", "required"].contains(word) else {
            throw fields.failure(
                "tool_choice", "must be none, auto, required or name a function")
        }
        guard !tools.isEmpty || word == "none" || (word == "auto" && named == nil) else {
            throw fields.failure("tool_choice", "asks for a call, but there are no tools")
        }
        isForced = word == "required"
        isNamed = named != nil
        guard word != "none", !tools.isEmpty else {
            (format, definitions) = (nil, [])
            return
        }
        guard let format = model.options.toolCalls else {
            throw fields.failure(
                "tools",
                "cannot be called: it is not known how this model writes calls; start the server with "
                    + "--tool-call-parser, or send tool_choice none")
        }
        self.format = format
        definitions = named.map { name in all.filter { $0.name == name } } ?? all
        guard !definitions.isEmpty else {
            throw fields.failure("tool_choice", "names a function that is not among the tools")
        }
    }

    /// What the answer must be so that it calls a tool; nil when it need not.
    func constraint(_ model: ServedModel) throws(HTTPFailure) -> CompiledConstraint? {
        guard isForced, let format else { return nil }
        // Room for more white space than models put there would let a small one fill its answer with it.
        var options = ConstraintOptions()
        options.whitespacePattern = " ?"
        return try model.compile(
            format.constraint(tools: definitions, allowsSeveral: allowsSeveral && !isNamed),
            options)
    }
}
