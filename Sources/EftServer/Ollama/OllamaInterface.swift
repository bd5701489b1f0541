// SPDX-License-Identifier: Apache-2.0
// What is common to all of Ollama's routes.

/// Ollama's interface, below `/api`.
enum OllamaInterface {
    /// What the paths begin with.
    static let prefix = "/api/"

    /// The version of Ollama whose interface this is: clients look at it to find out what a server can do.
    static let version = "0.12.11"

    /// What has to do with a store of models, which a server of one model does not have.
    private static let stored = ["pull", "push", "create", "copy", "delete", "blobs"]

    /// What is answered at a path that Ollama serves and this server does not; nil for others.
    static func unserved(_ target: RequestTarget) -> HTTPFailure? {
        guard target.segments.count > 1, target.segments[0] == "api",
            stored.contains(target.segments[1])
        else { return nil }
        return HTTPFailure(
            501, type: "NotImplementedError",
            "/api/\(target.segments[1]) is not served: this server has the model and adapters that it was started "
                + "with, and no store of others (GET /api/tags lists them)")
    }
}

extension RequestFields {
    /// Whether a request streams, which is Ollama's default.
    func ollamaStream() throws(HTTPFailure) -> Bool { try bool("stream") ?? true }

    /// Whether the model is to be given up after the request: `keep_alive` is zero seconds. It never is, but clients read
    /// it in the answer.
    func ollamaUnloads() throws(HTTPFailure) -> Bool {
        guard let node = self["keep_alive"] else { return false }
        if let number = node.number { return number == 0 }
        guard case .string(let text) = node.value else {
            throw failure("keep_alive", "must be a number of seconds or a duration such as 5m")
        }
        return text.prefix { $0 == "0" }.count > 0
            && text.drop { $0 == "0" }.allSatisfy { "hms".contains($0) }
    }

    /// Refuses images.
    func refuseImages() throws(HTTPFailure) {
        guard let images = try array("images"), !images.isEmpty else { return }
        throw failure("images", "cannot be read: the model takes text only")
    }
}
