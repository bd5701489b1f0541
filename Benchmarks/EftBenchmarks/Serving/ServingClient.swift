// SPDX-License-Identifier: Apache-2.0
// A server of OpenAI's interfaces, as a benchmark asks it.
import EftConfig
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// Makes requests for a server, and asks it what it serves.
package struct ServingClient: Sendable {
    /// The kind of interface.
    package enum Interface: String, Sendable, CaseIterable {
        /// Completions of token ids.
        case completions = "openai"
        /// Chats of text.
        case chat = "openai-chat"

        /// The path where it is served.
        package var path: String {
            switch self {
            case .completions: "/v1/completions"
            case .chat: "/v1/chat/completions"
            }
        }
    }

    /// Where the server is.
    package let target: ServerTarget
    /// Which interface is asked.
    package let interface: Interface
    /// The path of requests.
    package var path: String
    /// What the server calls the model.
    package var model = ""
    /// Whether answers go on behind an end token.
    package var ignoresEOS = false
    /// How much chance there is in answers.
    package var temperature = 0.0

    /// Aims at a server.
    package init(_ target: ServerTarget, _ interface: Interface) {
        self.target = target
        self.interface = interface
        path = interface.path
    }

    /// A request for a prompt.
    package func job(_ prompt: RandomPrompt) -> ServingJob {
        var body: ConfigObject = ["model": ConfigNode(model)]
        switch interface {
        case .completions:
            body["prompt"] = ConfigNode(prompt.tokens.map { Int($0) })
            body["max_tokens"] = ConfigNode(prompt.outputLength)
        case .chat:
            body["messages"] = [
                ["role": "user", "content": ConfigNode(RandomPrompts.text(prompt))]
            ]
            body["max_completion_tokens"] = ConfigNode(prompt.outputLength)
        }
        body["temperature"] = ConfigNode(temperature)
        body["repetition_penalty"] = 1.0
        body["stream"] = true
        body["stream_options"] = ["include_usage": true]
        if ignoresEOS { body["ignore_eos"] = true }
        let bytes = JSONWriter.bytes(ConfigNode(body), layout: .minimal)
        return ServingJob(
            bytes: target.request("POST", path, body: bytes), promptTokens: prompt.tokens.count)
    }

    /// Waits until the server answers.
    /// - Throws: `HTTPClientError` (`connection`) when it does not in time.
    package func waitUntilReady(
        _ time: Duration, isStopped: () -> Bool = { false }
    ) throws(HTTPClientError) {
        let end = ContinuousClock.now + time
        while true {
            do throws(HTTPClientError) {
                let (status, _) = try target.fetch("GET", "/v1/models", within: .seconds(5))
                // Some servers listen before their model is loaded.
                guard status >= 500 else { return }
                throw HTTPClientError(.connection, "the server is not ready: status \(status)")
            } catch {
                guard error.code == .connection, .now < end, !isStopped() else { throw error }
            }
            usleep(200_000)
        }
    }

    /// The first model that the server lists.
    /// - Throws: `HTTPClientError` when it lists none.
    package func firstModel() throws(HTTPClientError) -> String {
        let node = try target.fetchJSON("/v1/models")
        guard case .object(let list) = node.value, case .array(let models)? = list["data"]?.value,
            case .object(let first)? = models.first?.value,
            case .string(let name)? = first["id"]?.value
        else { throw HTTPClientError(.garbled, "/v1/models lists no model; name one with --model") }
        return name
    }

    /// Tokens of the server's vocabulary; nil when it does not tell.
    package func vocabulary() -> Int? {
        guard let node = try? target.fetchJSON("/tokenizer_info"),
            case .object(let fields) = node.value,
            case .integer(let size)? = fields["vocab_size"]?.value, (1...1 << 30).contains(size)
        else { return nil }
        return size
    }
}
