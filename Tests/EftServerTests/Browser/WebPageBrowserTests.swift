// SPDX-License-Identifier: Apache-2.0
// The server's page in a browser, used as a person would.
import EftConfig
import EftServer
import EftTensor
import Testing

#if canImport(Glibc)
    import Glibc
#endif

@Suite(
    .serialized,
    .enabled(if: Browser.program != nil, "there is no Chromium: apt-get install chromium"))
struct WebPageBrowserTests {
    private static let question = "Who likes mushroom stew?"
    private let demo: DemoServer
    private let server: TestServer
    private let url: String

    init() throws { try self.init(keys: []) }

    /// - Parameter special: a route that takes the place of the one of its path.
    private init(keys: [String], special: ClosureRoute? = nil) throws {
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

    private func open(width: Int = 1280) throws -> Browser {
        let browser = try Browser(width: width)
        try browser.visit(url)
        return browser
    }

    /// Sends a message and waits until so many answers are complete.
    private func say(_ text: String, _ browser: Browser, answers: Int) throws {
        try browser.evaluate("document.getElementById('text').focus()")
        try browser.type(text)
        try browser.wait(
            "document.querySelectorAll('.turn.assistant .foot').length === \(answers)")
    }

    /// Sets a setting as a person would.
    private func set(_ name: String, _ value: String, _ browser: Browser) throws {
        try browser.evaluate(
            """
            { const box = document.forms.settings.elements.\(name); box.value = '\(value)';
              box.dispatchEvent(new Event('input', {bubbles: true})); }
            """)
    }

    /// The body of the last request for an answer.
    private func asked(_ browser: Browser) throws -> ConfigNode? {
        let last = browser.requests.last {
            $0["url"].text?.hasSuffix("/v1/chat/completions") == true
        }
        return try (last ?? nil)["postData"].text.map { try JSONParser.parse(Array($0.utf8)) }
    }

    private func number(_ id: String, _ browser: Browser) throws -> Int {
        let text = try browser.evaluate("document.getElementById('\(id)').textContent").text ?? ""
        return Int(text.filter(\.isNumber)) ?? -1
    }

    @Test func `a chat shows the answer, and loads nothing from elsewhere`() throws {
        let browser = try open()
        try browser.wait("document.getElementById('planned').textContent.includes('MiB')")
        #expect(
            (try browser.evaluate("document.querySelectorAll('#parts li').length").integer ?? 0)
                >= 2)
        try set("temperature", "0", browser)
        try set("max_tokens", "40", browser)
        try say(Self.question, browser, answers: 1)
        let body = try asked(browser)
        #expect(body["temperature"].number == 0 && body["max_tokens"].integer == 40)
        #expect(body["model"].text == "demo")
        let wanted = try demo.answer(
            "/v1/chat/completions",
            [
                "messages": [["role": "user", "content": "\(Self.question)"]], "temperature": 0,
                "max_tokens": 40,
            ])
        let shown = try browser.evaluate(
            "document.querySelector('.turn.assistant .text').textContent"
        ).text
        let text = try #require(wanted["choices"][0]["message"]["content"].text)
        #expect(shown == String(text.trimmingPrefix(" ")))
        let foot = try browser.evaluate("document.querySelector('.foot').textContent").text ?? ""
        #expect(foot.contains("\(wanted["usage"]["completion_tokens"].integer ?? -1) tokens"))
        // The view of the queue and of the memory follows.
        try browser.wait(
            "Number(document.getElementById('generated').textContent.replaceAll(',', '')) > 0")
        let before = try number("generated", browser)
        try say("And now?", browser, answers: 2)
        try browser.wait(
            "Number(document.getElementById('generated').textContent.replaceAll(',', '')) > \(before)"
        )
        #expect(try asked(browser)["messages"].items.count == 3)
        #expect(browser.complaints == [])
        for request in browser.requests {
            let address = request["url"].text ?? ""
            #expect(address.hasPrefix(url) || address.hasPrefix("data:"), "\(address)")
        }
    }

    @Test func `an answer grows as it comes, and can be stopped`() throws {
        let words = ["One", " two", " three", " four"]
        let isCancelled = Monitor(false)
        let slow = ClosureRoute("POST", "/v1/chat/completions") { _, responder in
            let stream = responder.stream(fields: ["Content-Type": "text/event-stream"])
            stream.onCancel { isCancelled.withLock { $0 = true } }
            // The last word comes and no end, so that only a stop ends it.
            for word in words {
                let event: ConfigNode = [
                    "choices": [["index": 0, "delta": ["content": ConfigNode(word)]]]
                ]
                let text = JSONWriter.text(event, layout: .minimal)
                stream.write(Array("data: \(text)\n\n".utf8))
                usleep(200_000)
            }
        }
        let server = try WebPageBrowserTests(keys: [], special: slow)
        let browser = try server.open()
        try browser.evaluate(
            """
            window.seen = [];
            new MutationObserver(() => {
              const text = document.querySelector('.turn.assistant .text')?.textContent;
              if (text && text !== seen.at(-1)) seen.push(text);
            }).observe(document.getElementById('log'), {childList: true, subtree: true, characterData: true});
            document.getElementById('text').focus();
            """)
        try browser.type(Self.question)
        try browser.wait("seen.at(-1) === 'One two three four'")
        #expect(
            try browser.evaluate("seen.join('|')").text
                == "One|One two|One two three|One two three four")
        try browser.evaluate("document.getElementById('stop').click()")
        try browser.wait("document.querySelector('.foot')?.textContent.includes('stopped')")
        // The server hears of it.
        for _ in 0..<200 where !isCancelled.withLock({ $0 }) { usleep(50_000) }
        #expect(isCancelled.withLock { $0 })
        #expect(browser.complaints == [])
    }

    @Test func `adapters can be chosen, and settings are sent`() throws {
        let loaded = try demo.post(
            "/v1/load_lora_adapter", ["lora_name": "lantern", "lora_path": "first"])
        try #require(loaded.status == 200, "\(loaded.text)")
        let browser = try open()
        try browser.wait("document.querySelectorAll('#model option').length >= 2")
        try browser.evaluate(
            """
            { const box = document.getElementById('model'); box.value = 'lantern';
              box.dispatchEvent(new Event('change', {bubbles: true})); }
            """)
        for (name, value) in [
            ("temperature", "0.5"), ("top_p", "0.9"), ("top_k", "7"), ("min_p", "0.1"),
            ("seed", "11"), ("max_tokens", "5"),
        ] {
            try set(name, value, browser)
        }
        try say(Self.question, browser, answers: 1)
        let body = try asked(browser)
        #expect(body["model"].text == "lantern")
        #expect(body["temperature"].number == 0.5 && body["top_p"].number == 0.9)
        #expect(body["top_k"].integer == 7 && body["min_p"].number == 0.1)
        #expect(body["seed"].integer == 11 && body["max_tokens"].integer == 5)
        #expect(browser.complaints == [])
    }

    @Test func `markup is text, a chat begins anew, and a phone shows it all`() throws {
        let browser = try open(width: 390)
        try set("max_tokens", "5", browser)
        let evil = "<img src=x onerror=\"document.title='broken'\"><b>bold</b>"
        try say(evil, browser, answers: 1)
        #expect(
            try browser.evaluate("document.querySelector('.turn.user .text').textContent").text
                == evil)
        #expect(try browser.evaluate("document.title").text == "Eft")
        #expect(try browser.evaluate("document.querySelectorAll('.turn img').length").integer == 0)
        let wide = try browser.evaluate("document.documentElement.scrollWidth").integer ?? .max
        #expect(wide <= 390)
        try browser.evaluate("document.getElementById('fresh').click()")
        try browser.wait("document.querySelectorAll('.turn').length === 0")
        #expect(browser.complaints == [])
    }

    @Test func `a key is asked for and kept for the tab alone`() throws {
        let locked = try WebPageBrowserTests(keys: ["secret"])
        let browser = try locked.open()
        try browser.wait("document.getElementById('notice').textContent.includes('API key')")
        try browser.evaluate(
            """
            { const box = document.getElementById('key'); box.value = 'secret';
              box.dispatchEvent(new Event('change', {bubbles: true})); }
            """)
        try browser.wait("document.getElementById('model').value === 'demo'")
        try locked.set("max_tokens", "5", browser)
        try locked.say(Self.question, browser, answers: 1)
        #expect(
            try browser.evaluate("JSON.stringify({...localStorage}).includes('secret')")
                == ConfigNode(false))
    }
}
