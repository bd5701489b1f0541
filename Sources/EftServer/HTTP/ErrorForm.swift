// SPDX-License-Identifier: Apache-2.0
// The JSON form of errors, which depends on whose clients a path is for.
import EftConfig

/// A form of errors.
package enum ErrorForm: Sendable, Hashable {
    /// `{"error": {"message": ..., "type": ..., "param": ..., "code": ...}}`, as OpenAI and vLLM have it.
    case openAI
    /// `{"error": "..."}`, as Ollama has it.
    case ollama

    /// The form that clients of a path expect.
    /// - Parameter target: the request's target as it was sent.
    package init(target: String) {
        self = target.hasPrefix(OllamaInterface.prefix) ? .ollama : .openAI
    }
}

extension HTTPFailure {
    /// The failure in a form, also amid a stream.
    package func json(_ form: ErrorForm) -> ConfigNode {
        switch form {
        case .openAI: json
        case .ollama: ["error": ConfigNode(message)]
        }
    }

    /// The failure as a response.
    package func response(_ form: ErrorForm) -> Response {
        var response = Response.json(json(form), status: status)
        for field in fields.entries { response.fields.set(field.name, field.value) }
        return response
    }
}
