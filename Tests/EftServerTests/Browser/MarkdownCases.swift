// SPDX-License-Identifier: Apache-2.0
// Markdown and the elements that the page makes of it.

import Testing

/// Cases by their names; elements as HTML, where what is the same everywhere is shortened.
enum MarkdownCases {
    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let text: String
        private let short: String

        init(_ name: String, _ text: String, _ short: String) {
            (self.name, self.text, self.short) = (name, text, short)
        }

        /// The elements: ` R ` stands for what every link has, `C` and `T` for the beginning of code and of a table.
        var elements: String {
            short.replacing(" R ", with: " target=\"_blank\" rel=\"noopener noreferrer\" ")
                .replacing("C<span", with: "<figure class=\"code\"><figcaption><span")
                .replacing(
                    "T<table",
                    with: "<div class=\"table\" tabindex=\"0\" role=\"region\" "
                        + "aria-label=\"Table\"><table")
        }

        var testDescription: String { name }
    }

    /// Whole texts.
    static let whole = [
        Case(
            "headings",
            "# One\n## Two ##\n###### Six\n#hash",
            "<h3 class=\"level1\">One</h3><h4 class=\"level2\">Two</h4><h6 "
                + "class=\"level6\">Six</h6><p>#hash</p>"),
        Case(
            "underlined headings",
            "One\n===\nTwo\n---",
            "<h3 class=\"level1\">One</h3><h4 class=\"level2\">Two</h4>"),
        Case(
            "emphasis",
            "*a* **b** ***c*** __d__ _e_ ~~f~~ snake_case_name 2*3*4",
            "<p><em>a</em> <strong>b</strong> <em><strong>c</strong></em> <strong>d</strong> "
                + "<em>e</em> <del>f</del> snake_case_name 2<em>3</em>4</p>"),
        Case(
            "marks that are no emphasis",
            "5 * 3 * 2, a ** b, **",
            "<p>5 * 3 * 2, a ** b, **</p>"),
        Case(
            "nested emphasis",
            "**a *b* c** *d **e***",
            "<p><strong>a <em>b</em> c</strong> <em>d <strong>e</strong></em></p>"),
        Case(
            "escapes and entities",
            "\\*a\\* &amp; &lt;b&gt; &#65; &bogus;",
            "<p>*a* &amp; &lt;b&gt; A &amp;bogus;</p>"),
        Case(
            "inline code",
            "`a*b*` ``c`d`` `open",
            "<p><code>a*b*</code> <code>c`d</code> `open</p>"),
        Case(
            "lines of a paragraph stay lines",
            "a\nb  \nc\\\nd",
            "<p>a\nb  \nc\nd</p>"),
        Case(
            "links",
            "[a](https://x.y/z) <https://x.y> https://x.y/q?a=1. [m](mailto:a@b.c)",
            "<p><a href=\"https://x.y/z\" R title=\"https://x.y/z\">a</a> <a "
                + "href=\"https://x.y/\" R title=\"https://x.y/\">https://x.y</a> <a "
                + "href=\"https://x.y/q?a=1\" R title=\"https://x.y/q?a=1\">https://x.y/q?a=1</a>. <a "
                + "href=\"mailto:a@b.c\" R title=\"mailto:a@b.c\">m</a></p>"),
        Case(
            "links with titles and parentheses",
            "[a](https://x.y/(b) \"t\") (see https://x.y/c)",
            "<p><a href=\"https://x.y/(b)\" R title=\"https://x.y/(b)\">a</a> (see <a "
                + "href=\"https://x.y/c\" R title=\"https://x.y/c\">https://x.y/c</a>)</p>"),
        Case(
            "emphasis in links",
            "[**a** b](https://x.y/)",
            "<p><a href=\"https://x.y/\" R title=\"https://x.y/\"><strong>a</strong> b</a></p>"),
        Case(
            "pictures are links",
            "![cat](https://x.y/c.png)",
            "<p><a href=\"https://x.y/c.png\" R title=\"https://x.y/c.png\">cat</a></p>"),
        Case(
            "links to scripts stay text",
            "[a](javascript:alert(1)) [b](JaVaScRiPt:x) [c](data:text/html,x) [d](vbscript:x) "
                + "<javascript:x> [e](./f) [g](file:///etc/passwd)",
            "<p>[a](javascript:alert(1)) [b](JaVaScRiPt:x) [c](data:text/html,x) [d](vbscript:x) "
                + "&lt;javascript:x&gt; [e](./f) [g](file:///etc/passwd)</p>"),
        Case(
            "schemes with control characters stay text",
            "[a](java\tscript:x) [b](\u{1}javascript:x) [c](&#106;avascript:x)",
            "<p>[a](java\tscript:x) [b](\u{1}javascript:x) [c](javascript:x)</p>"),
        Case(
            "markup is text",
            "<script>document.title='broken'</script>\n<img src=x "
                + "onerror=\"document.title='broken'\">",
            "<p>&lt;script&gt;document.title='broken'&lt;/script&gt;\n&lt;img src=x "
                + "onerror=\"document.title='broken'\"&gt;</p>"),
        Case(
            "markup in code, headings and tables is text",
            "# <b>a</b>\n`<i>`\n\n| <u>h</u> |\n|---|\n| <s>c</s> |",
            "<h3 class=\"level1\">&lt;b&gt;a&lt;/b&gt;</h3><p><code>&lt;i&gt;</code></p>T<table><"
                + "thead><tr><th scope=\"col\">&lt;u&gt;h&lt;/u&gt;</th></tr></thead><tbody><tr><td>&lt"
                + ";s&gt;c&lt;/s&gt;</td></tr></tbody></table></div>"),
        Case(
            "attributes cannot be closed",
            "[a](https://x.y/\"onmouseover=\"z) ```\"><img>",
            "<p><a href=\"https://x.y/%22onmouseover=%22z\" R "
                + "title=\"https://x.y/%22onmouseover=%22z\">a</a> ```\"&gt;&lt;img&gt;</p>"),
        Case(
            "code with a language",
            "```python\ndef f():\n    return 1\n\n```\nafter",
            "C<span class=\"language\">python</span></figcaption><pre tabindex=\"0\"><code>def "
                + "f():\n    return 1\n</code></pre></figure><p>after</p>"),
        Case(
            "code without a language, with a longer fence",
            "~~~\na\n~~~\n````md\n```\nb\n```\n````",
            "C<span class=\"language\">text</span></figcaption><pre "
                + "tabindex=\"0\"><code>a</code></pre></figure>C<span "
                + "class=\"language\">md</span></figcaption><pre "
                + "tabindex=\"0\"><code>```\nb\n```</code></pre></figure>"),
        Case(
            "an unclosed fence",
            "```js\nlet a = '<b>';\n# no heading",
            "C<span class=\"language\">js</span></figcaption><pre tabindex=\"0\"><code>let a = "
                + "'&lt;b&gt;';\n# no heading</code></pre></figure>"),
        Case(
            "a language that is markup",
            "```<img/src=x>\na\n```",
            "C<span class=\"language\">&lt;img/src=x&gt;</span></figcaption><pre "
                + "tabindex=\"0\"><code>a</code></pre></figure>"),
        Case(
            "indented code",
            "a\n\n    b\n      c\n\nd",
            "<p>a</p>C<span class=\"language\">text</span></figcaption><pre "
                + "tabindex=\"0\"><code>b\n  c</code></pre></figure><p>d</p>"),
        Case(
            "lists",
            "- a\n- b\n* c\n\n1. d\n2) e",
            "<ul><li><span class=\"line\">a</span></li><li><span "
                + "class=\"line\">b</span></li></ul><ul><li><span "
                + "class=\"line\">c</span></li></ul><ol><li><span class=\"line\">d</span></li></ol><ol "
                + "start=\"2\"><li><span class=\"line\">e</span></li></ol>"),
        Case(
            "nested lists",
            "1. a\n   - b\n     - c\n2. d\n   1. e",
            "<ol><li><span class=\"line\">a</span><ul><li><span "
                + "class=\"line\">b</span><ul><li><span "
                + "class=\"line\">c</span></li></ul></li></ul></li><li><span "
                + "class=\"line\">d</span><ol><li><span class=\"line\">e</span></li></ol></li></ol>"
        ),
        Case(
            "lists nested by two, four columns and tabs",
            "1. a\n  - b\n    - c\n\n- d\n    - e\n\t- f",
            "<ol><li><span class=\"line\">a</span><ul><li><span "
                + "class=\"line\">b</span><ul><li><span "
                + "class=\"line\">c</span></li></ul></li></ul></li></ol><ul><li><span "
                + "class=\"line\">d</span><ul><li><span class=\"line\">e</span></li><li><span "
                + "class=\"line\">f</span></li></ul></li></ul>"),
        Case(
            "items with paragraphs and code",
            "1. a\n\n   b\n\n   ```c\n   d\n   ```\n2. e",
            "<ol><li><p>a</p><p>b</p>C<span class=\"language\">c</span></figcaption><pre "
                + "tabindex=\"0\"><code>d</code></pre></figure></li><li><p>e</p></li></ol>"),
        Case(
            "a list goes on after code that is not indented",
            "1. a\n```\nb\n```\n2. c",
            "<ol><li><span class=\"line\">a</span></li></ol>C<span "
                + "class=\"language\">text</span></figcaption><pre "
                + "tabindex=\"0\"><code>b</code></pre></figure><ol start=\"2\"><li><span "
                + "class=\"line\">c</span></li></ol>"),
        Case(
            "tasks",
            "- [x] a\n- [ ] b",
            "<ul><li class=\"task\"><input type=\"checkbox\" disabled=\"\" "
                + "aria-label=\"done\"><span class=\"line\">a</span></li><li class=\"task\"><input "
                + "type=\"checkbox\" disabled=\"\" aria-label=\"to do\"><span "
                + "class=\"line\">b</span></li></ul>"),
        Case(
            "a list after a paragraph, a number in one",
            "a:\n- b\n\nin\n1984. c",
            "<p>a:</p><ul><li><span class=\"line\">b</span></li></ul><p>in\n1984. c</p>"),
        Case(
            "quotes",
            "> a\nb\n> > c\n\nd",
            "<blockquote><p>a\nb</p><blockquote><p>c</p></blockquote></blockquote><p>d</p>"),
        Case(
            "a quote with a list and code",
            "> - a\n> ```\n> b\n> ```",
            "<blockquote><ul><li><span class=\"line\">a</span></li></ul>C<span "
                + "class=\"language\">text</span></figcaption><pre "
                + "tabindex=\"0\"><code>b</code></pre></figure></blockquote>"),
        Case(
            "rules",
            "a\n\n---\n***\n_ _ _",
            "<p>a</p><hr><hr><hr>"),
        Case(
            "a table",
            "| a | b |\n|:-:|--:|\n| **c** | `d` |\n\ne",
            "T<table><thead><tr><th class=\"center\" scope=\"col\">a</th><th class=\"right\" "
                + "scope=\"col\">b</th></tr></thead><tbody><tr><td "
                + "class=\"center\"><strong>c</strong></td><td "
                + "class=\"right\"><code>d</code></td></tr></tbody></table></div><p>e</p>"),
        Case(
            "a table with odd cells",
            "a | b\n-|-\nc\nd | e | f\n| g \\| h | i |\n||",
            "T<table><thead><tr><th scope=\"col\">a</th><th "
                + "scope=\"col\">b</th></tr></thead><tbody><tr><td>c</td><td></td></tr><tr><td>d</td><t"
                + "d>e | f</td></tr><tr><td>g | "
                + "h</td><td>i</td></tr><tr><td></td><td></td></tr></tbody></table></div>"),
        Case(
            "no table without a line of dashes",
            "a | b\nc | d",
            "<p>a | b\nc | d</p>"),
        Case(
            "nothing",
            " \n\n",
            ""),
    ]

    /// Texts that go on growing.
    static let open = [
        Case(
            "bold that is not closed yet",
            "a **b",
            "<p>a <strong>b</strong></p>"),
        Case(
            "a mark that has just come",
            "a **",
            "<p>a </p>"),
        Case(
            "code that is not closed yet",
            "a `b",
            "<p>a <code>b</code></p>"),
        Case(
            "a link whose address is on its way",
            "a [b](https://x",
            "<p>a b</p>"),
        Case(
            "a bullet without text",
            "a\n-",
            "<p>a</p>"),
        Case(
            "backticks before a fence",
            "a\n``",
            "<p>a</p>"),
        Case(
            "a fence that is not closed yet",
            "```js\nlet",
            "C<span class=\"language\">js</span></figcaption><pre "
                + "tabindex=\"0\"><code>let</code></pre></figure>"),
        Case(
            "the first line of a table",
            "| a | b |",
            "T<table><thead><tr><th scope=\"col\">a</th><th "
                + "scope=\"col\">b</th></tr></thead><tbody></tbody></table></div>"),
        Case(
            "half of the dashes of a table",
            "| a | b |\n|--",
            "T<table><thead><tr><th scope=\"col\">a</th><th "
                + "scope=\"col\">b</th></tr></thead><tbody></tbody></table></div>"),
        Case(
            "strikethrough in an item",
            "- a ~~b",
            "<ul><li><span class=\"line\">a <del>b</del></span></li></ul>"),
    ]
}
