// SPDX-License-Identifier: Apache-2.0
// Models by the names that Ollama's clients give them.
import EftConfig

extension ServedModel {
    /// A name with its tag, which is `latest` where there is none.
    static func tagged(_ name: String) -> String {
        let last = name.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
        return last.contains(":") ? name : name + ":latest"
    }

    /// What a request's `model` names, or the older `name`; the base when it names nothing.
    /// - Throws: `HTTPFailure` (404), in Ollama's words, which clients look for.
    func ollamaNamed(_ fields: RequestFields) throws(HTTPFailure) -> Named {
        let (newer, older) = (try fields.string("model"), try fields.string("name"))
        let requested = newer ?? older ?? ""
        if requested.isEmpty { return Named(name: name, adapter: nil) }
        if let found = find(requested) { return found }
        throw .notFound("model '\(excerpt(requested, limit: 100))' not found", parameter: "model")
    }

    /// The name of each model and adapter, with its tag.
    var ollamaNames: [(name: String, parent: String?)] {
        options.names.map { (ServedModel.tagged($0), nil) }
            + adapters.names.map { (ServedModel.tagged($0), ServedModel.tagged(name)) }
    }
}
