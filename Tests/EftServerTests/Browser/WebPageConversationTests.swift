// SPDX-License-Identifier: Apache-2.0
// Conversations on the page: kept, renamed, deleted, branched.
import EftConfig
import EftServer
import Testing

@Suite(
    .serialized,
    .enabled(if: Browser.program != nil, "there is no Chromium: apt-get install chromium"))
struct WebPageConversationTests {
    private let server: PageServer

    init() throws {
        server = try PageServer(answers: ["First.", "Second.", "Third.", "Fourth."])
    }

    /// The messages of the last request, as role and text.
    private func messages(_ browser: Browser) throws -> [String] {
        try browser.asked()["messages"].items.map { message -> String in
            let message = Optional(message)
            return "\(message["role"].text ?? ""): \(message["content"].text ?? "")"
        }
    }

    @Test func `conversations survive a reload, the newest first`() throws {
        let browser = try server.open()
        try browser.say("Apples?", answers: 1)
        try browser.click("#conversations .fresh")
        #expect(try browser.texts(".turn") == [])
        try browser.say("Pears?", answers: 1)
        try browser.wait("document.querySelectorAll('.entry').length === 2")
        #expect(try browser.texts(".entry .title") == ["Pears?", "Apples?"])
        try browser.reload()
        try browser.waitForAnswers(1)
        #expect(try browser.texts(".turn .text") == ["Pears?", "Second."])
        #expect(try browser.text(".turn.assistant .foot")?.contains("tokens") == true)
        #expect(try browser.texts(".entry .title") == ["Pears?", "Apples?"])
        try browser.click(".entry:nth-of-type(3) .open")
        try browser.wait("document.querySelector('.turn .text')?.textContent === 'Apples?'")
        // What is said in an older one makes it the newest.
        try browser.say("More?", answers: 2)
        #expect(
            try messages(browser) == ["user: Apples?", "assistant: First.", "user: More?"])
        try browser.wait("document.querySelector('.entry .title').textContent === 'Apples?'")
        // The browser's way back leads to the other one.
        try browser.evaluate("history.back()")
        try browser.wait("document.querySelector('.turn .text')?.textContent === 'Pears?'")
        #expect(browser.complaints == [])
    }

    @Test func `a conversation is renamed, deleted and had back`() throws {
        let browser = try server.open()
        try browser.say("Apples?", answers: 1)
        try browser.click(".rename")
        try browser.change("document.querySelector('.entry input')", "Fruit <b>")
        try browser.press("Enter")
        try browser.wait("document.querySelector('.entry .title')?.textContent === 'Fruit <b>'")
        #expect(try browser.evaluate("document.title").text == "Fruit <b> · Eft")
        try browser.reload()
        try browser.wait("document.querySelector('.entry .title')?.textContent === 'Fruit <b>'")
        try browser.click(".delete")
        try browser.wait("document.querySelectorAll('.entry, .turn').length === 0")
        try browser.click("#notice .plain")
        try browser.wait(
            "document.querySelectorAll('.entry').length === 1 && document.querySelectorAll('.turn').length === 2"
        )
        try browser.click(".delete")
        try browser.wait("document.querySelectorAll('.entry, .turn').length === 0")
        try browser.reload()
        try browser.wait("!document.getElementById('none').hidden")
        #expect(try browser.texts(".entry, .turn") == [])
        #expect(browser.complaints == [])
    }

    @Test func `edited messages and regenerated answers are branches that are kept`() throws {
        let browser = try server.open()
        try browser.say("Apples?", answers: 1)
        try browser.say("And?", answers: 2)
        try browser.click(".turn.assistant:last-child .again")
        try browser.wait(
            "document.querySelector('.turn:last-child .foot')?.textContent.includes('2/2')")
        #expect(try browser.texts(".turn .text") == ["Apples?", "First.", "And?", "Third."])
        #expect(
            try messages(browser) == ["user: Apples?", "assistant: First.", "user: And?"])
        // An edited first message begins anew.
        try browser.click(".turn.user .edit")
        try browser.change("document.querySelector('.editor textarea')", "Plums?")
        try browser.press("Enter")
        try browser.wait(
            "document.querySelector('.turn:last-child .text').textContent === 'Fourth.'")
        try browser.waitForAnswers(1)
        #expect(try messages(browser) == ["user: Plums?"])
        #expect(try browser.texts(".turn .text") == ["Plums?", "Fourth."])
        // Back to the branch before, and in it to the first answer.
        try browser.click(".turn.user .switch .icon")
        #expect(try browser.texts(".turn .text") == ["Apples?", "First.", "And?", "Third."])
        #expect(try browser.texts(".switch span") == ["1/2", "2/2"])
        try browser.click(".turn:last-child .switch .icon")
        #expect(try browser.texts(".turn .text") == ["Apples?", "First.", "And?", "Second."])
        try browser.wait("document.querySelectorAll('.entry').length === 1")
        try browser.reload()
        try browser.waitForAnswers(2)
        #expect(try browser.texts(".turn .text") == ["Apples?", "First.", "And?", "Second."])
        #expect(try browser.texts(".switch span") == ["1/2", "1/2"])
        // What is said there continues this branch.
        try browser.say("Go on.", answers: 3)
        #expect(
            try messages(browser) == [
                "user: Apples?", "assistant: First.", "user: And?", "assistant: Second.",
                "user: Go on.",
            ])
        #expect(browser.complaints == [])
    }

    @Test func `a system prompt belongs to its conversation and is sent`() throws {
        let browser = try server.open()
        try browser.change("document.getElementById('system')", "Be short.")
        try browser.say("Apples?", answers: 1)
        #expect(try messages(browser) == ["system: Be short.", "user: Apples?"])
        try browser.click("#conversations .fresh")
        #expect(try browser.evaluate("document.getElementById('system').value").text == "")
        try browser.say("Pears?", answers: 1)
        #expect(try messages(browser) == ["user: Pears?"])
        try browser.change("document.getElementById('system')", "Be kind.")
        try browser.click("#default")
        try browser.click("#conversations .fresh")
        try browser.say("Plums?", answers: 1)
        #expect(try messages(browser) == ["system: Be kind.", "user: Plums?"])
        try browser.wait("document.querySelectorAll('.entry').length === 3")
        try browser.click(".entry:nth-of-type(4) .open")
        try browser.wait("document.getElementById('system').value === 'Be short.'")
        #expect(browser.complaints == [])
    }

    @Test func `an answer that a reload cuts off is one that was stopped`() throws {
        let browser = try PageServer.holding("Half", tokens: 1).open()
        try browser.evaluate("document.getElementById('text').focus()")
        try browser.type("Apples?")
        try browser.wait(
            "document.querySelector('.going .text')?.textContent === 'Half'"
                + " && document.querySelector('.entry .pulse')")
        try browser.reload()
        try browser.waitForAnswers(1)
        #expect(try browser.texts(".turn.user .text, .entry .title") == ["Apples?", "Apples?"])
        #expect(try browser.text(".turn.assistant .foot")?.contains("stopped") == true)
        #expect(try browser.evaluate("document.getElementById('send').hidden") == false)
        #expect(browser.complaints == [])
    }

    @Test func `a long conversation is shown whole`() throws {
        let browser = try server.open()
        try browser.evaluate(
            """
            Promise.all(['store', 'conversation'].map(name => import(`./page/${name}.js`)))
              .then(([store, conversation]) => {
                const long = conversation.newConversation();
                let last = -1;
                for (let count = 0; count < 300; count += 1) {
                  last = conversation.add(long, last, { role: 'user', text: `Q${count}` }).id;
                  last = conversation.add(long, last, { role: 'assistant', text: `*A${count}*` }).id;
                }
                return store.write(long).then(() => { location.hash = long.id; });
              })
            """)
        try browser.waitForAnswers(300)
        #expect(
            try browser.texts(".turn .text")
                == (0..<300).flatMap { ["Q\($0)", "A\($0)"] })
        #expect(try browser.texts(".turn em").count == 300)
        try browser.wait(
            "(log => log.scrollHeight - log.scrollTop - log.clientHeight < 60)(document.getElementById('log'))"
        )
        #expect(browser.complaints == [])
    }

    @Test func `a browser without room says so, and the chat goes on`() throws {
        let browser = try server.open()
        try browser.limitStorage(server.url, bytes: 1)
        try browser.say("Apples?", answers: 1)
        try browser.wait("document.getElementById('notice').textContent.includes('no room left')")
        #expect(try browser.texts(".turn .text") == ["Apples?", "First."])
        try browser.say("Pears?", answers: 2)
        #expect(try messages(browser).count == 3)
    }

    @Test func `a damaged record in the browser is passed over`() throws {
        let browser = try server.open()
        try browser.say("Apples?", answers: 1)
        try browser.wait("document.querySelectorAll('.entry').length === 1")
        // A message that claims to come before itself.
        try browser.evaluate(
            """
            new Promise((resolve, reject) => {
              const id = location.hash.slice(1);
              const opening = indexedDB.open('eft', 1);
              opening.onsuccess = () => {
                const transaction = opening.result.transaction('bodies', 'readwrite');
                transaction.objectStore('bodies').put({ id, title: '', system: '', chosen: 0,
                  nodes: [{ id: 0, parent: 0, chosen: 0, role: 'user', text: 'x' }] });
                transaction.oncomplete = resolve;
                transaction.onabort = reject;
              };
            })
            """)
        try browser.reload()
        try browser.wait("document.querySelectorAll('.entry').length === 1")
        #expect(try browser.texts(".turn") == [])
        try browser.click(".entry .open")
        try browser.wait("!document.getElementById('notice').hidden")
        try browser.click(".delete")
        try browser.wait("document.querySelectorAll('.entry').length === 0")
        #expect(browser.complaints == [])
    }
}
