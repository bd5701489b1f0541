// SPDX-License-Identifier: Apache-2.0
// Markdown in answers, in a browser.
import EftConfig
import EftServer
import Testing

@Suite(
    .serialized,
    .enabled(if: Browser.program != nil, "there is no Chromium: apt-get install chromium"))
struct WebPageMarkdownTests {
    /// Lets expressions show a text, `whole` or growing (`open`), and read the elements without buttons.
    private func open() throws -> Browser {
        let browser = try PageServer().open()
        try browser.evaluate(
            """
            import('./page/markdown.js').then(module => {
              const elements = view => {
                const copy = view.element.cloneNode(true);
                for (const button of copy.querySelectorAll('.copy')) button.remove();
                return copy['inner' + 'HTML'];
              };
              window.view = () => new module.MarkdownView(document.createElement('div'));
              window.shown = (text, isOpen) => {
                const view = window.view();
                view.show(text, isOpen);
                return elements(view);
              };
              window.grown = text => {
                const view = window.view();
                let dangerous = 0;
                for (let end = 0; end <= text.length; end += 1) {
                  view.show(text.slice(0, end), true);
                  dangerous += view.element.querySelectorAll('script, img, iframe, style').length;
                  for (const link of view.element.querySelectorAll('a')) {
                    if (!['http:', 'https:', 'mailto:'].includes(link.protocol)) dangerous += 1;
                  }
                }
                view.show(text, false);
                return dangerous ? 'dangerous' : elements(view);
              };
            })
            """)
        return browser
    }

    @Test func `Markdown becomes the elements that it means, and markup stays text`() throws {
        let browser = try open()
        for (cases, isOpen) in [(MarkdownCases.whole, false), (MarkdownCases.open, true)] {
            for test in cases {
                let shown = try browser.evaluate(
                    "shown(\(browser.quoted(test.text)), \(isOpen))")
                #expect(shown.text == test.elements, "\(test.name)")
            }
        }
        #expect(try browser.evaluate("document.title").text == "Eft")
        #expect(browser.complaints == [])
    }

    @Test func `a text that grew character by character ends as if it had come at once`() throws {
        let browser = try open()
        var texts = (MarkdownCases.whole + MarkdownCases.open).map(\.text)
        texts.append(texts.joined(separator: "\n\n"))
        texts.append(texts.joined(separator: "\n"))
        for text in texts {
            let text = browser.quoted(text)
            #expect(
                try browser.evaluate("grown(\(text))").text
                    == browser.evaluate("shown(\(text), false)").text, "\(text)")
        }
        #expect(browser.complaints == [])
    }

    @Test func `blocks that are complete stay the same elements while a text grows`() throws {
        let browser = try open()
        let text = "# A\n\nb\n\n```c\nd\ne\n```\n\n- f\n\ng *h* i"
        let replaced = try browser.evaluate(
            """
            (text => {
              const view = window.view();
              const kept = new Map();
              let replaced = 0;
              for (let end = 0; end <= text.length; end += 1) {
                view.show(text.slice(0, end), true);
                Array.from(view.element.children).slice(0, -2).forEach((element, place) => {
                  if (kept.has(place) && kept.get(place) !== element) replaced += 1;
                  kept.set(place, element);
                });
              }
              const code = view.element.querySelector('code');
              view.show(text, false);
              return [replaced, kept.size, code === view.element.querySelector('code')];
            })(\(browser.quoted(text)))
            """)
        #expect(replaced.items.map { Optional($0).integer }.prefix(2) == [0, 3])
        #expect(replaced.items.last == ConfigNode(true))
    }

    @Test func `hostile texts are shown whole and bounded in depth`() throws {
        let browser = try open()
        let texts = [
            "'*a '.repeat(20000)", "'a*'.repeat(20000)", "'**a *b '.repeat(8000) + 'c* d**'",
            "'['.repeat(50000)", "'[a](b'.repeat(10000)", "'`'.repeat(999).split('').join('a`')",
            "'>'.repeat(20000) + 'a'", "'- '.repeat(5000) + 'a'", "'|'.repeat(50000)",
            "'&<'.repeat(30000)", "'word '.repeat(60000)",
        ]
        for text in texts {
            let result = try browser.evaluate(
                """
                (text => {
                  const view = window.view();
                  view.show(text, true);
                  view.show(text, false);
                  let depth = 0;
                  const walk = (element, level) => {
                    depth = Math.max(depth, level);
                    for (const child of element.children) walk(child, level + 1);
                  };
                  walk(view.element, 0);
                  const letters = text => text.replace(/[^a-z]/g, '').length;
                  return [depth, letters(view.element.textContent) === letters(text)];
                })(\(text))
                """)
            #expect((result.items.first.integer ?? .max) <= 400, "\(text)")
            #expect(result.items.last == ConfigNode(true), "\(text)")
        }
        #expect(browser.complaints == [])
    }

    @Test func `code in an answer can be copied, and a link in it leads outside safely`() throws {
        let answer = "See [it](https://example.org/):\n\n```swift\nlet a = \"<b>\"\n```\n"
        let browser = try PageServer(answers: [answer]).open()
        try browser.say("Code?", answers: 1)
        #expect(try browser.text(".language") == "swift")
        // The browser of a test has no clipboard: what is copied is read off the command for it.
        try browser.evaluate(
            """
            Object.defineProperty(navigator, 'clipboard', { value: {
              writeText: async text => { window.copied = text; } } })
            """)
        try browser.click(".code .copy")
        try browser.wait("window.copied === 'let a = \"<b>\"'")
        try browser.click(".turn.assistant .foot .copy")
        try browser.wait("window.copied === \(browser.quoted(String(answer.dropLast())))")
        let link = try browser.evaluate(
            "(a => [a.href, a.rel, a.target])(document.querySelector('.turn a'))")
        #expect(
            link.items.map { Optional($0).text } == [
                "https://example.org/", "noopener noreferrer", "_blank",
            ])
        #expect(browser.complaints == [])
    }
}
