// SPDX-License-Identifier: Apache-2.0
// A server with the page, and what a person does on it.
import EftConfig
import EftServer
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// The demo's model behind a socket, or answers that a test writes.
struct PageServer {
    let demo: DemoServer
    let url: String
    private let server: TestServer

    /// - Parameter special: a route that takes the place of the one of its path.
    init(keys: [String] = [], special: ClosureRoute? = nil) throws {
        demo = try DemoServer()
        var context = demo.context
        context.memory = [("weights", 7 << 20), ("KV cache", 20 << 20)]
        context.memoryLimit = 64 << 20
        var options = ApplicationOptions()
        options.keys = APIKeys(keys)
        let routes = RouteRegistry.routes(context).filter { $0.path != special?.path }
        server = try TestServer(
            .live, routes: routes + (special.map { [$0] } ?? []), options: options)
        guard case .tcp(let host, let port)? = server.server?.address else {
            throw SocketError("no port")
        }
        url = "http://\(host):\(port)/"
    }

    /// A server whose answers are these, one after the other and the last one again and again.
    init(answers: [String], thoughts: String? = nil) throws {
        let count = Monitor(0)
        try self.init(
            special: ClosureRoute("POST", "/v1/chat/completions") { _, responder in
                let place = count.withLock { place in
                    defer { place += 1 }
                    return min(place, answers.count - 1)
                }
                let stream = responder.stream(fields: ["Content-Type": "text/event-stream"])
                var deltas: [ConfigNode] = thoughts.map { [["reasoning": ConfigNode($0)]] } ?? []
                // In pieces of a few characters, as tokens are.
                var rest = Array(answers[place])[...]
                while !rest.isEmpty {
                    deltas.append(["content": ConfigNode(String(rest.prefix(3)))])
                    rest = rest.dropFirst(3)
                }
                for delta in deltas { stream.write(PageServer.event(delta, tokens: deltas.count)) }
                stream.write(Array("data: [DONE]\n\n".utf8))
                stream.finish()
            })
    }

    /// A server that begins an answer with a text and never finishes it.
    static func holding(_ text: String, tokens: Int) throws -> PageServer {
        let open = Monitor<ResponseStream?>(nil)
        return try PageServer(
            special: ClosureRoute("POST", "/v1/chat/completions") { _, responder in
                let stream = responder.stream(fields: ["Content-Type": "text/event-stream"])
                stream.write(PageServer.event(["content": ConfigNode(text)], tokens: tokens))
                open.withLock { $0 = stream }
            })
    }

    /// An event of a chat's stream.
    static func event(_ delta: ConfigNode, tokens: Int? = nil) -> [UInt8] {
        var event: ConfigObject = ["choices": [["index": 0, "delta": delta]]]
        if let tokens {
            event["usage"] = [
                "prompt_tokens": 7, "completion_tokens": ConfigNode(tokens),
                "total_tokens": ConfigNode(7 + tokens),
            ]
        }
        return Array("data: \(JSONWriter.text(ConfigNode(event), layout: .minimal))\n\n".utf8)
    }

    /// A browser at the page.
    func open(width: Int = 1280) throws -> Browser {
        let browser = try Browser(width: width)
        browser.server = server
        try browser.visit(url)
        return browser
    }
}

extension Browser {
    /// Sends a message and waits until so many answers are complete.
    func say(_ text: String, answers: Int) throws {
        try evaluate("document.getElementById('text').focus()")
        try type(text)
        try waitForAnswers(answers)
    }

    /// Waits until so many answers are shown, all of them complete.
    func waitForAnswers(_ count: Int) throws {
        try wait(
            "document.querySelectorAll('.turn.assistant .foot').length === \(count)"
                + " && !document.querySelector('.going')")
    }

    /// Sets a setting as a person would.
    func set(_ name: String, _ value: String) throws {
        try change("document.forms.settings.elements.\(name)", value)
    }

    /// Gives a field a value as a person would.
    func change(_ field: String, _ value: String) throws {
        try evaluate(
            """
            { const box = \(field); box.value = \(quoted(value));
              for (const name of ['input', 'change']) box.dispatchEvent(new Event(name, {bubbles: true})); }
            """)
    }

    /// Clicks on the first element of a selector, as soon as there is one.
    func click(_ selector: String) throws {
        try wait("document.querySelector(\(quoted(selector)))")
        try evaluate("document.querySelector(\(quoted(selector))).click()")
    }

    /// The text of the first element of a selector.
    func text(_ selector: String) throws -> String? {
        try evaluate("document.querySelector(\(quoted(selector)))?.textContent").text
    }

    /// The texts of all elements of a selector.
    func texts(_ selector: String) throws -> [String] {
        try evaluate(
            "Array.from(document.querySelectorAll(\(quoted(selector))), e => e.textContent)"
        ).items.compactMap { Optional($0).text }
    }

    /// A text as JavaScript writes it.
    func quoted(_ text: String) -> String { JSONWriter.text(ConfigNode(text), layout: .minimal) }

    /// The body of the last request for an answer.
    func asked() throws -> ConfigNode? {
        let last = requests.last { $0["url"].text?.hasSuffix("/v1/chat/completions") == true }
        return try (last ?? nil)["postData"].text.map { try JSONParser.parse(Array($0.utf8)) }
    }
}
