// SPDX-License-Identifier: Apache-2.0
// The page's message box: files and keys.
import EftConfig
import EftServer
import Testing

@Suite(
    .serialized,
    .enabled(if: Browser.program != nil, "there is no Chromium: apt-get install chromium"))
struct WebPageComposerTests {
    /// Drops files on the page: names, and expressions of their parts.
    private func drop(_ files: [(String, String)], _ browser: Browser) throws {
        let items = files.map { "data.items.add(new File(\($0.1), \(browser.quoted($0.0))));" }
        try browser.evaluate(
            """
            {
              const data = new DataTransfer();
              \(items.joined(separator: "\n"))
              for (const name of ['dragenter', 'dragover', 'drop']) {
                dispatchEvent(new DragEvent(name, { dataTransfer: data, cancelable: true }));
                if (name === 'dragover') window.cover = !document.getElementById('drop').hidden;
              }
            }
            """)
    }

    @Test func `a text file that is dropped becomes part of the message`() throws {
        let browser = try PageServer(answers: ["Seen."]).open()
        let text = "name,likes\r\nMoss,```stew```\r\n"
        try drop([("a <b>.csv", "[\(browser.quoted(text))]")], browser)
        try browser.wait("document.querySelectorAll('#files .chip').length === 1")
        #expect(try browser.evaluate("window.cover") == ConfigNode(true))
        #expect(try browser.evaluate("document.getElementById('drop').hidden") == ConfigNode(true))
        #expect(try browser.text("#files .name") == "a <b>.csv")
        #expect(try browser.text("#files .size") == "\(text.utf8.count) B")
        try browser.say("Who?", answers: 1)
        #expect(
            try browser.asked()["messages"].items.first["content"].text
                == "File a <b>.csv:\n````\nname,likes\nMoss,```stew```\n````\n\nWho?")
        #expect(try browser.texts(".turn.user .name") == ["a <b>.csv"])
        #expect(try browser.texts("#files .chip") == [])
        // It stays with the message, and opens to be read.
        try browser.wait("document.querySelectorAll('.entry').length === 1")
        try browser.reload()
        try browser.waitForAnswers(1)
        try browser.click(".turn.user .chip summary")
        try browser.wait(
            "document.querySelector('.turn.user .chip pre')?.textContent.includes('Moss')")
        #expect(browser.complaints == [])
    }

    @Test func `files that are not text are refused with the reason`() throws {
        let browser = try PageServer(answers: ["Seen."]).open()
        try drop(
            [
                ("cat.png", "[new Uint8Array([137, 80, 78, 71, 0, 1])]"),
                ("latin.txt", "[new Uint8Array([0xe4, 0x20, 0xf6])]"), ("empty.txt", "[' ']"),
                ("large.txt", "['a'.repeat(1048577)]"),
                ("wide.txt", "[new Uint8Array([0xff, 0xfe, 0x6d, 0x00, 0xfc, 0x00])]"),
            ], browser)
        try browser.wait("document.querySelectorAll('#files .chip').length === 1")
        let notice = try browser.text("#notice") ?? ""
        for reason in [
            "cat.png is not a text file", "latin.txt is not a text file", "empty.txt is empty",
            "large.txt has 1.0 MiB; the limit is 1.0 MiB",
        ] {
            #expect(notice.contains(reason))
        }
        // UTF-16 with its mark is text. A file alone can be sent, or removed.
        #expect(try browser.text("#files .name") == "wide.txt")
        try browser.click("#send")
        try browser.waitForAnswers(1)
        #expect(
            try browser.asked()["messages"].items.first["content"].text
                == "File wide.txt:\n```\nmü\n```")
        #expect(try browser.text("#notice") == "")
        try drop([("a.txt", "['a']")], browser)
        try browser.wait("document.querySelectorAll('#files .chip').length === 1")
        try browser.click("#files .icon")
        #expect(try browser.texts("#files .chip") == [])
        #expect(browser.complaints == [])
    }

    @Test func `keys send, break lines, edit, focus, begin anew and show their list`() throws {
        let browser = try PageServer(answers: ["First.", "Second."]).open()
        let focused = "document.activeElement.id"
        try browser.evaluate("document.getElementById('text').focus()")
        try browser.insert("one")
        try browser.press("Enter", modifiers: 8)
        try browser.type("two")
        try browser.waitForAnswers(1)
        #expect(try browser.asked()["messages"].items.first["content"].text == "one\ntwo")
        // The arrow edits the last message; Escape leaves it as it was.
        try browser.press("ArrowUp")
        #expect(
            try browser.evaluate("document.querySelector('.editor textarea').value").text
                == "one\ntwo")
        try browser.press("Escape")
        #expect(try browser.texts(".editor") == [])
        #expect(try browser.evaluate(focused).text == "text")
        try browser.press("ArrowUp")
        try browser.type("!")
        try browser.wait(
            "document.querySelector('.turn:last-child .text').textContent === 'Second.'")
        try browser.waitForAnswers(1)
        #expect(try browser.texts(".turn .text") == ["one\ntwo!", "Second."])
        // Keys that type do so in the box, and act outside it.
        try browser.evaluate("document.getElementById('text').focus()")
        try browser.press("?")
        try browser.press("/")
        #expect(try browser.evaluate("document.getElementById('text').value").text == "?/")
        #expect(try browser.evaluate("document.getElementById('keys').open") == ConfigNode(false))
        try browser.evaluate("document.activeElement.blur()")
        try browser.press("?", modifiers: 8)
        #expect(try browser.evaluate("document.getElementById('keys').open") == ConfigNode(true))
        #expect(try browser.texts("#keys kbd").contains("Esc"))
        try browser.press("Escape")
        try browser.wait("!document.getElementById('keys').open")
        try browser.press("/")
        #expect(try browser.evaluate(focused).text == "text")
        try browser.press("o", modifiers: 10)
        #expect(try browser.texts(".turn") == [])
        #expect(try browser.evaluate(focused).text == "text")
        #expect(browser.complaints == [])
    }

    @Test func `Escape stops an answer, and what was there stays`() throws {
        // Held and not finished, so that only a stop ends it.
        let browser = try PageServer.holding("Some **bold", tokens: 3).open()
        try browser.evaluate("document.getElementById('text').focus()")
        try browser.type("Tell.")
        // What is not closed yet is shown as it will be.
        try browser.wait("document.querySelector('.going strong')?.textContent === 'bold'")
        #expect(try browser.text(".live")?.hasPrefix("3 tokens") == true)
        try browser.press("Escape")
        try browser.waitForAnswers(1)
        #expect(try browser.text(".turn.assistant .foot")?.contains("stopped") == true)
        #expect(try browser.text(".turn.assistant .text") == "Some **bold")
        #expect(browser.complaints == [])
    }
}
