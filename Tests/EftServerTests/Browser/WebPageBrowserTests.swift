// SPDX-License-Identifier: Apache-2.0
// The server's page in a browser, used as a person would.
import EftConfig
import EftTensor
import Testing

@testable import EftServer

#if canImport(Glibc)
    import Glibc
#endif

@Suite(
    .serialized,
    .enabled(if: Browser.program != nil, "there is no Chromium: apt-get install chromium"))
struct WebPageBrowserTests {
    private static let question = "Who likes mushroom stew?"

    private func number(_ id: String, _ browser: Browser) throws -> Int {
        Int((try browser.text("#\(id)") ?? "").filter(\.isNumber)) ?? -1
    }

    @Test func `a chat shows the answer, and loads nothing from elsewhere`() throws {
        let server = try PageServer()
        let browser = try server.open()
        try browser.wait("document.getElementById('planned').textContent.includes('MiB')")
        #expect(
            (try browser.evaluate("document.querySelectorAll('#parts li').length").integer ?? 0)
                >= 2)
        try browser.set("temperature", "0")
        try browser.set("max_tokens", "40")
        try browser.say(Self.question, answers: 1)
        let body = try browser.asked()
        #expect(body["temperature"].number == 0 && body["max_tokens"].integer == 40)
        #expect(body["model"].text == "demo")
        let wanted = try server.demo.answer(
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
        let foot = try browser.text(".turn.assistant .foot") ?? ""
        #expect(foot.contains("\(wanted["usage"]["completion_tokens"].integer ?? -1) tokens"))
        // The view of the queue and of the memory follows.
        try browser.wait(
            "Number(document.getElementById('generated').textContent.replaceAll(',', '')) > 0")
        let before = try number("generated", browser)
        try browser.say("And now?", answers: 2)
        try browser.wait(
            "Number(document.getElementById('generated').textContent.replaceAll(',', '')) > \(before)"
        )
        #expect(try browser.asked()["messages"].items.count == 3)
        #expect(browser.complaints == [])
        for request in browser.requests {
            let address = request["url"].text ?? ""
            #expect(address.hasPrefix(server.url) || address.hasPrefix("data:"), "\(address)")
        }
    }

    @Test func `an answer grows as it comes, and can be stopped`() throws {
        let isCancelled = Monitor(false)
        let open = Monitor<ResponseStream?>(nil)
        let slow = ClosureRoute("POST", "/v1/chat/completions") { _, responder in
            let stream = responder.stream(fields: ["Content-Type": "text/event-stream"])
            stream.onCancel { isCancelled.withLock { $0 = true } }
            open.withLock { $0 = stream }
        }
        let browser = try PageServer(special: slow).open()
        try browser.evaluate("document.getElementById('text').focus()")
        try browser.type(Self.question)
        try browser.wait("document.querySelector('.going')")
        while open.withLock({ $0 == nil }) { usleep(10_000) }
        let stream = try #require(open.withLock { $0 })
        // Each word is seen before the next one is sent.
        var shown = ""
        for (count, word) in ["One", " two", " three", " four"].enumerated() {
            shown += word
            stream.write(PageServer.event(["content": ConfigNode(word)], tokens: count + 1))
            try browser.wait(
                "document.querySelector('.going .text')?.textContent === '\(shown)'")
            #expect(try browser.text(".live")?.hasPrefix("\(count + 1) token") == true)
        }
        // Another conversation can be looked at meanwhile.
        try browser.click("#conversations .fresh")
        #expect(try browser.texts(".turn") == [])
        stream.write(PageServer.event(["content": " five"], tokens: 5))
        try browser.click(".entry .open")
        try browser.wait(
            "document.querySelector('.going .text')?.textContent === '\(shown) five'")
        try browser.click("#stop")
        try browser.waitForAnswers(1)
        let foot = try browser.text(".turn.assistant .foot") ?? ""
        #expect(foot.contains("5 tokens") && foot.contains("stopped"))
        // The server hears of it.
        for _ in 0..<200 where !isCancelled.withLock({ $0 }) { usleep(50_000) }
        #expect(isCancelled.withLock { $0 })
        #expect(browser.complaints == [])
    }

    @Test func `adapters can be chosen, and settings are sent`() throws {
        let server = try PageServer()
        let loaded = try server.demo.post(
            "/v1/load_lora_adapter", ["lora_name": "lantern", "lora_path": "first"])
        try #require(loaded.status == 200, "\(loaded.text)")
        let browser = try server.open()
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
            try browser.set(name, value)
        }
        try browser.say(Self.question, answers: 1)
        let body = try browser.asked()
        #expect(body["model"].text == "lantern")
        #expect(try browser.text(".turn.assistant .foot")?.contains("lantern") == true)
        #expect(body["temperature"].number == 0.5 && body["top_p"].number == 0.9)
        #expect(body["top_k"].integer == 7 && body["min_p"].number == 0.1)
        #expect(body["seed"].integer == 11 && body["max_tokens"].integer == 5)
        #expect(browser.complaints == [])
    }

    @Test func `empty fields are the model's recommendations, or the page's own`() throws {
        let server = try PageServer(answers: ["Yes."])
        let browser = try server.open()
        let field = "document.forms.settings.elements.temperature.placeholder"
        try browser.wait("\(field) === '0.8'")
        try browser.say(Self.question, answers: 1)
        var body = try browser.asked()
        #expect(body["temperature"].number == 0.8 && body["top_p"].number == 0.95)
        #expect(body["min_p"].number == 0.05 && body["top_k"] == nil && body["seed"] == nil)
        // A model that recommends any of them is left to the server.
        let status = ClosureRoute("GET", "/status") { _, responder in
            let numbers = StatusRoute.numbers.map { "\"\($0)\": 0" }.joined(separator: ", ")
            responder.respond(
                .json(
                    try JSONParser.parse(
                        Array(
                            """
                            {"version": "1", "max_model_len": 512, "chat_template": true,
                             "sampling_defaults": {"temperature": 0.6, "top_p": null},
                             "memory": {"limit": null, "planned": [], "resident": null},
                             "engine": {\(numbers)}}
                            """.utf8))))
        }
        let other = try PageServer(special: status).open()
        try other.wait("\(field) === '0.6'")
        try other.set("max_tokens", "5")
        try other.set("top_k", "7")
        try other.say(Self.question, answers: 1)
        body = try other.asked()
        #expect(body["temperature"] == nil && body["top_p"] == nil && body["min_p"] == nil)
        #expect(body["top_k"].integer == 7)
        #expect(browser.complaints + other.complaints == [])
    }

    @Test func `the list of models comes when the server can be asked again`() throws {
        let isBroken = Monitor(true)
        let models = ClosureRoute("GET", "/v1/models") { _, responder in
            if isBroken.withLock({ $0 }) { throw HTTPFailure.internalError("not yet") }
            responder.respond(.json(["object": "list", "data": [["id": "/models/one"]]]))
        }
        let browser = try PageServer(special: models).open()
        try browser.wait("document.getElementById('notice').textContent.includes('not yet')")
        isBroken.withLock { $0 = false }
        try browser.wait("document.getElementById('model').value === '/models/one'")
        #expect(try browser.text("#model option") == "one")
        #expect(try browser.evaluate("document.getElementById('notice').hidden") == true)
    }

    @Test func `thoughts fold when the answer begins, also unparsed ones`() throws {
        let apart = try PageServer(answers: ["It is *two*."], thoughts: "One and one.").open()
        let inline = try PageServer(answers: ["<think>\nOne and one.\n</think>\n\nIt is *two*."])
            .open()
        for browser in [apart, inline] {
            try browser.say("1 + 1?", answers: 1)
            #expect(try browser.text(".thoughts div") == "One and one.")
            #expect(try browser.evaluate("document.querySelector('.thoughts').open") == false)
            #expect(try browser.text(".turn.assistant .text") == "It is two.")
            // They are no part of what is sent back.
            try browser.say("And?", answers: 2)
            #expect(
                try browser.asked()["messages"].items.dropFirst().first["content"].text
                    == "It is *two*.")
            #expect(browser.complaints == [])
        }
    }

    @Test func `an error is shown in its place, and the answer can be had again`() throws {
        let isBroken = Monitor(true)
        let route = ClosureRoute("POST", "/v1/chat/completions") { _, responder in
            if isBroken.withLock({ $0 }) { throw HTTPFailure.badRequest("no <b>room</b>") }
            let stream = responder.stream(fields: ["Content-Type": "text/event-stream"])
            stream.write(PageServer.event(["content": "Well."], tokens: 2))
            stream.write(Array("data: [DONE]\n\n".utf8))
            stream.finish()
        }
        let browser = try PageServer(special: route).open()
        try browser.say(Self.question, answers: 1)
        #expect(try browser.text(".failure") == "no <b>room</b>")
        isBroken.withLock { $0 = false }
        try browser.click(".again")
        try browser.wait("document.querySelector('.turn.assistant .text').textContent === 'Well.'")
        // An attempt without text leaves no branch.
        #expect(try browser.texts(".failure, .switch span") == [])
        #expect(try browser.texts(".turn.assistant .foot span").contains("2 tokens"))
    }

    @Test func `markup is text, a chat begins anew, and a phone shows it all`() throws {
        let browser = try PageServer().open(width: 375)
        try browser.set("max_tokens", "5")
        let evil = "<img src=x onerror=\"document.title='broken'\"><b>bold</b>"
        try browser.say(evil, answers: 1)
        #expect(try browser.text(".turn.user .text") == evil)
        #expect(try browser.evaluate("document.title").text?.hasSuffix("· Eft") == true)
        #expect(try browser.texts(".turn img, .entry img") == [])
        let wide = "document.documentElement.scrollWidth"
        #expect((try browser.evaluate(wide).integer ?? .max) <= 375)
        // The columns lie over the chat, one at a time, and Escape closes them.
        for (button, column) in [("menu", "conversations"), ("panel", "side")] {
            try browser.click("#\(button)")
            #expect(
                try browser.evaluate("document.getElementById('\(column)').hidden") == false)
            #expect((try browser.evaluate(wide).integer ?? .max) <= 375)
        }
        #expect(try browser.evaluate("document.getElementById('conversations').hidden") == true)
        #expect(try browser.evaluate("document.querySelector('.box').inert") == true)
        try browser.press("Escape")
        #expect(try browser.evaluate("document.getElementById('side').hidden") == true)
        #expect(try browser.evaluate("document.querySelector('.box').inert") == false)
        // What was deleted in the list can be had back there.
        try browser.click("#menu")
        try browser.click(".delete")
        try browser.wait("document.querySelector('#notice .plain')")
        let reached = """
            (e => { const box = e.getBoundingClientRect();
              return document.elementFromPoint(box.x + 5, box.y + 5) === e && !e.closest('[inert]');
            })(document.querySelector('#notice .plain'))
            """
        #expect(try browser.evaluate(reached) == true)
        try browser.click("#notice .plain")
        try browser.wait("document.querySelectorAll('.entry').length === 1")
        try browser.click("#fresh")
        try browser.wait("document.querySelectorAll('.turn').length === 0")
        #expect(browser.complaints == [])
    }

    @Test func `controls have names, and colours are told apart, light and dark`() throws {
        let browser = try PageServer(answers: ["# A\n\n`b` [c](https://x.y/)\n\n> d"]).open()
        try browser.say(Self.question, answers: 1)
        let unnamed = try browser.evaluate(
            """
            Array.from(document.querySelectorAll('button, input, select, textarea, [role=img]'))
              .filter(e => !(e.getAttribute('aria-label') || e.textContent.trim()
                || e.labels?.length)).map(e => e.outerHTML)
            """)
        #expect(unnamed.items.map { Optional($0).text } == [])
        for scheme in ["light", "dark"] {
            try browser.prefer(scheme)
            let faint = try browser.evaluate(WebPageBrowserTests.faintTexts)
            #expect(faint.items.map { Optional($0).text } == [], "\(scheme)")
        }
    }

    /// Texts whose contrast to what is behind them is less than 4.5, as the guidelines for accessibility measure it.
    private static let faintTexts = """
        (() => {
          const parts = colour => colour.match(/[\\d.]+/g).map(Number);
          const light = colour => parts(colour).slice(0, 3).map(value => value / 255)
            .map(value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
            .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
          const ground = element => {
            for (let e = element; e; e = e.parentElement) {
              const colour = getComputedStyle(e).backgroundColor;
              if ((parts(colour)[3] ?? 1) === 1) return colour;
            }
          };
          const faint = [];
          const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
          while (walker.nextNode()) {
            const element = walker.currentNode.parentElement;
            const isSeen = walker.currentNode.data.trim() && element.checkVisibility()
              && !element.closest('option, :disabled');
            if (!isSeen) continue;
            const [one, other] = [light(getComputedStyle(element).color), light(ground(element))];
            const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
            if (contrast < 4.5) faint.push(walker.currentNode.data + ' ' + contrast.toFixed(2));
          }
          return faint;
        })()
        """

    @Test func `a key is asked for and kept for the tab alone`() throws {
        let locked = try PageServer(keys: ["secret"])
        let browser = try locked.open()
        try browser.wait("document.getElementById('notice').textContent.includes('API key')")
        try browser.evaluate(
            """
            { const box = document.getElementById('key'); box.value = 'secret';
              box.dispatchEvent(new Event('change', {bubbles: true})); }
            """)
        try browser.wait("document.getElementById('model').value === 'demo'")
        try browser.set("max_tokens", "5")
        try browser.say(Self.question, answers: 1)
        #expect(
            try browser.evaluate("JSON.stringify({...localStorage}).includes('secret')")
                == ConfigNode(false))
    }
}
