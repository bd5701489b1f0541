// SPDX-License-Identifier: Apache-2.0
// What the page does: the inline part of Markdown.

/// The script that turns the text of a paragraph into elements: code, emphasis, links. Whatever else stands in it, markup above
/// all, becomes text nodes.
enum PageInlineScript: PageScript {
    static let name = "inline.js"
    static let text = #"""
        import { make } from "./dom.js";

        // Longer paragraphs are plain text, and no more marks than these wait for their partner, so that time and nesting
        // stay bounded for any text.
        const [longest, mostOpen, longestRun] = [100_000, 60, 6];

        const destination = /\(\s*(?:<([^<>\n]*)>|([^\s()<]*(?:\([^\s()]*\)[^\s()]*)*))(?:\s+(?:"[^"]*"|'[^']*'))?\s*\)/y;
        const bracketed = /<([a-zA-Z][a-zA-Z0-9+.-]*:[^\s<>]*|[\w.+-]+@[\w-]+(?:\.[\w-]+)+)>/y;
        const bare = /(?:https?):\/\/[^\s<>"`]+/y;
        const entity = /&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|(\w{2,8}));/y;
        const entities = {
          amp: "&", lt: "<", gt: ">", quot: "\"", apos: "'", nbsp: "\u00a0", copy: "©", hellip: "…", mdash: "—",
          ndash: "–", rarr: "→", larr: "←", times: "×",
        };

        // The address of a link, when it leads where links may lead.
        export function address(text) {
          try {
            const url = new URL(text);
            return /^(?:https?|mailto):$/.test(url.protocol) ? url.href : null;
          } catch {
            return null;
          }
        }

        // The nodes of a text. While `isOpen`, its end is still on its way: what has begun there is shown as if it were complete.
        export function inline(text, isOpen = false) {
          if (text.length > longest) return document.createTextNode(text);
          return new Inline(isOpen ? text.replace(/[*_~`]+$|\[$/, "") : text, isOpen).parse();
        }

        class Inline {
          constructor(text, isOpen) {
            Object.assign(this, { text, isOpen, place: 0, plain: "" });
            this.nodes = document.createDocumentFragment();
            // Marks of emphasis, and brackets, that wait for their partner.
            this.marks = [];
            this.brackets = [];
            // The length of a run of backticks that nothing closes from here on.
            this.unclosed = new Set();
          }

          parse() {
            while (this.place < this.text.length) this.step();
            this.flush();
            if (this.isOpen) this.closeAll();
            return this.nodes;
          }

          // Takes what matches at the present place.
          match(pattern, place = this.place) {
            pattern.lastIndex = place;
            return pattern.exec(this.text);
          }

          step() {
            const character = this.text[this.place];
            switch (character) {
            case "\\": return this.escaped();
            case "`": return this.code();
            case "*": case "_": case "~": return this.mark(character);
            case "[": case "!": return this.openBracket(character);
            case "]": return this.closeBracket();
            case "<": return this.automatic(this.match(bracketed));
            case "h": return this.bareLink();
            case "&": return this.entity();
            default: this.add(character);
            }
          }

          add(text) {
            this.plain += text;
            this.place += text.length;
          }

          flush() {
            if (this.plain) this.nodes.append(this.plain);
            this.plain = "";
          }

          push(node) {
            this.flush();
            this.nodes.append(node);
          }

          escaped() {
            const after = this.text[this.place + 1] ?? "";
            if (/[!-/:-@[-`{-~]/.test(after)) {
              this.plain += after;
              this.place += 2;
            } else if (after === "\n") {
              this.place += 1;
            } else {
              this.add("\\");
            }
          }

          code() {
            const run = this.match(/`+/y)[0];
            const from = this.place + run.length;
            let end = -1;
            if (!this.unclosed.has(run.length)) {
              const close = new RegExp("(?<!`)`{" + run.length + "}(?!`)", "g");
              close.lastIndex = from;
              end = close.exec(this.text)?.index ?? -1;
              if (end < 0) this.unclosed.add(run.length);
            }
            if (end < 0 && !this.isOpen) return this.add(run);
            let inner = this.text.slice(from, end < 0 ? undefined : end).replaceAll("\n", " ");
            if (/^ .*[^ ].* $|^ [^ ] $/.test(inner)) inner = inner.slice(1, -1);
            this.push(make("code", "", inner));
            this.place = end < 0 ? this.text.length : end + run.length;
          }

          // Emphasis: a run of marks may open before a word and close behind one.
          mark(character) {
            const run = this.match(character === "*" ? /\*+/y : character === "_" ? /_+/y : /~+/y)[0];
            const before = this.text[this.place - 1] ?? " ";
            const after = this.text[this.place + run.length] ?? " ";
            const isMark = /[\p{P}\p{S}]/u;
            const opens = !/\s/.test(after) && (!isMark.test(after) || /\s/.test(before) || isMark.test(before));
            const closes = !/\s/.test(before) && (!isMark.test(before) || /\s/.test(after) || isMark.test(after));
            // Underscores inside words are part of names.
            const isInWord = character === "_" && /[\p{L}\p{N}]/u.test(before) && /[\p{L}\p{N}]/u.test(after);
            if (run.length > longestRun || isInWord || (character === "~" && run.length !== 2) || !(opens || closes)) {
              return this.add(run);
            }
            const mark = {
              character, count: run.length, whole: run.length, opens, closes, node: document.createTextNode(run),
            };
            this.push(mark.node);
            this.place += run.length;
            if (closes) this.closeMark(mark);
            if (opens && mark.count > 0) this.marks.push(mark);
            if (this.marks.length > mostOpen) this.marks.shift();
          }

          closeMark(mark) {
            while (mark.count > 0) {
              const place = this.marks.findLastIndex(open => open.character === mark.character
                // The rule that keeps `*a**b*` together: lengths of marks on both sides do not sum to a multiple of three.
                && !((open.closes || mark.opens) && (open.whole + mark.whole) % 3 === 0
                  && (open.whole % 3 || mark.whole % 3)));
              if (place < 0) break;
              const open = this.marks[place];
              const used = Math.min(2, open.count, mark.count);
              wrap(open, used, mark.node);
              mark.count -= used;
              mark.node.data = mark.node.data.slice(used);
              this.marks.length = open.count ? place + 1 : place;
            }
            if (!mark.count) mark.node.remove();
          }

          openBracket(character) {
            const isImage = character === "!";
            if (isImage && this.text[this.place + 1] !== "[") return this.add("!");
            const node = document.createTextNode(isImage ? "![" : "[");
            this.push(node);
            this.brackets.push({ node, isImage, marks: this.marks.length });
            if (this.brackets.length > mostOpen) this.brackets.shift();
            this.place += node.data.length;
          }

          closeBracket() {
            const open = this.brackets.pop();
            if (!open) return this.add("]");
            const found = this.match(destination, this.place + 1);
            const rest = this.text.slice(this.place + 1);
            // The beginning of an address that is still on its way is not shown.
            if (!found && this.isOpen && /^\([^\s()]*$/.test(rest)) {
              open.node.remove();
              this.place = this.text.length;
              return;
            }
            const href = found && address(found[1] ?? found[2]);
            if (!href) return this.add("]");
            this.flush();
            const link = this.link(href);
            while (open.node.nextSibling) link.append(open.node.nextSibling);
            // A picture is not loaded, for that would tell its server who reads this; its address is a link.
            if (!link.textContent) link.textContent = href;
            open.node.replaceWith(link);
            this.marks.length = Math.min(this.marks.length, open.marks);
            // No link holds another.
            if (!open.isImage) this.brackets = [];
            this.place = destination.lastIndex;
          }

          automatic(found) {
            if (!found) return this.add("<");
            const href = address(found[1].includes(":") ? found[1] : "mailto:" + found[1]);
            if (!href) return this.add("<");
            this.push(this.link(href, found[1]));
            this.place += found[0].length;
          }

          bareLink() {
            const isInWord = /[\p{L}\p{N}]/u.test(this.text[this.place - 1] ?? " ");
            const found = isInWord || this.brackets.length ? null : this.match(bare)?.[0];
            if (!found) return this.add("h");
            let text = found.replace(/[.,;:!?'*_~\]]+$/, "");
            // A closing parenthesis belongs to the sentence when the address opens none.
            while (text.endsWith(")") && text.split("(").length < text.split(")").length) text = text.slice(0, -1);
            const href = address(text);
            if (!href) return this.add("h");
            this.push(this.link(href, text));
            this.place += text.length;
          }

          entity() {
            const found = this.match(entity);
            const point = found?.[1] ? parseInt(found[1], 10) : found?.[2] ? parseInt(found[2], 16) : null;
            const text = point !== null
              ? (point > 0 && point <= 0x10ffff ? String.fromCodePoint(point) : "\ufffd")
              : Object.hasOwn(entities, found?.[3] ?? "") ? entities[found[3]] : null;
            if (text === null) return this.add("&");
            this.plain += text;
            this.place += found[0].length;
          }

          link(href, ...children) {
            const link = make("a", "", ...children);
            link.href = href;
            link.target = "_blank";
            link.rel = "noopener noreferrer";
            link.title = href;
            return link;
          }

          // Closes what is open at the end of a text that goes on.
          closeAll() {
            for (const open of this.marks.reverse()) {
              while (open.count > 0 && open.node.nextSibling) wrap(open, Math.min(2, open.count), null);
            }
          }
        }

        // Puts what stands between two marks into an element.
        function wrap(open, used, end) {
          const element = make(open.character === "~" ? "del" : used === 2 ? "strong" : "em");
          while (open.node.nextSibling !== end) element.append(open.node.nextSibling);
          open.node.after(element);
          open.count -= used;
          open.node.data = open.node.data.slice(used);
          if (!open.count) open.node.remove();
        }
        """#
}
