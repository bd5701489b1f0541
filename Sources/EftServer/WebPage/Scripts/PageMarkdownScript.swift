// SPDX-License-Identifier: Apache-2.0
// What the page does: Markdown on the screen.

/// The script that shows Markdown, also while it grows: blocks that did not change stay the elements that they were.
enum PageMarkdownScript: PageScript {
    static let name = "markdown.js"
    static let text = #"""
        import { blocks } from "./blocks.js";
        import { copyButton, make } from "./dom.js";
        import { inline } from "./inline.js";

        // A mark alone on the last line may become anything: it waits for what follows.
        const undecided = /(?:^|\n)[ \t]*(?:[-*+>=|]+|#{1,6}|\d{1,9}[.)]?|`{1,2}|~{1,2})[ \t]*$/;

        export class MarkdownView {
          constructor(element) {
            this.element = element;
            // What is shown: for each block its lines and its element.
            this.shown = [];
            this.reset();
          }

          reset() {
            // Blocks before this one are final, and end at this place of the text.
            [this.final, this.place, this.text] = [0, 0, ""];
          }

          // Shows a text; one that `isOpen` goes on growing.
          show(text, isOpen = false) {
            if (!isOpen || !text.startsWith(this.text)) this.reset();
            const whole = text;
            if (isOpen) text = text.replace(undecided, "");
            const rest = text.slice(this.place);
            const lines = rest.split("\n");
            const found = blocks(rest);
            if (isOpen) openTable(found, lines);
            found.forEach((block, place) => {
              const source = lines.slice(block.start, found[place + 1]?.start).join("\n").trimEnd();
              this.put(this.final + place, block, source, isOpen && place === found.length - 1);
            });
            for (const old of this.shown.splice(this.final + found.length)) old.element.remove();
            // The last line may still join the block before it, so that the last two are never final.
            const kept = Math.max(0, found.length - 2);
            if (isOpen && kept > 0) {
              this.final += kept;
              this.place += lines.slice(0, found[kept].start).reduce((sum, line) => sum + line.length + 1, 0);
            }
            this.text = whole.slice(0, this.place);
          }

          put(place, block, source, isOpen) {
            const old = this.shown[place];
            if (old && old.source === source && old.isOpen === isOpen) return;
            let element = old?.element;
            if (block.kind === "code" && old?.kind === "code" && old.language === block.language) {
              // Code that grows keeps its element, and with it how far it is scrolled.
              setCode(element, block.text);
            } else {
              element = render(block, isOpen);
              if (old) old.element.replaceWith(element);
              else this.element.append(element);
            }
            this.shown[place] = { source, isOpen, element, kind: block.kind, language: block.language };
          }
        }

        // The first line of a table is shown as one before the line of dashes has come.
        function openTable(found, lines) {
          const last = found.at(-1);
          if (last?.kind !== "paragraph") return;
          const [head, dashes = "", more] = lines.slice(last.start);
          if (more !== undefined || !/^ {0,3}\|.*\|/.test(head) || !/^[ \t|:-]*$/.test(dashes)) return;
          const cells = head.trim().replace(/^\||\|$/g, "").split("|").map(cell => cell.trim());
          found[found.length - 1] = { kind: "table", start: last.start, align: [], head: cells, rows: [] };
        }

        // A block as an element. Everything that is text goes through `inline`, or is a text node.
        function render(block, isOpen) {
          switch (block.kind) {
          // The page itself has headings of the first and second level.
          case "heading":
            return make("h" + Math.min(6, block.level + 2), "level" + block.level, inline(block.text, isOpen));
          case "code": return renderCode(block);
          case "rule": return make("hr");
          case "quote": return make("blockquote", "", ...renderAll(block.blocks, isOpen));
          case "list": return renderList(block, isOpen);
          case "table": return renderTable(block, isOpen);
          default: return make("p", "", inline(block.text, isOpen));
          }
        }

        const renderAll = (blocks, isOpen) =>
          blocks.map((block, place) => render(block, isOpen && place === blocks.length - 1));

        function renderCode(block) {
          const code = make("code", "", block.text);
          const pre = make("pre", "", code);
          pre.tabIndex = 0;
          const head = make("figcaption", "", make("span", "language", block.language || "text"),
            copyButton("Copy code", () => code.textContent, "small"));
          return make("figure", "code", head, pre);
        }

        function setCode(figure, text) {
          const code = figure.querySelector("code");
          const old = code.firstChild;
          if (old && text.startsWith(old.data)) old.appendData(text.slice(old.data.length));
          else code.textContent = text;
        }

        function renderList(block, isOpen) {
          const list = make(block.isOrdered ? "ol" : "ul");
          if (block.isOrdered && block.first !== 1) list.start = block.first;
          block.items.forEach((item, place) => {
            const isLast = isOpen && place === block.items.length - 1;
            const entry = make("li");
            if (item.isDone !== null) {
              const box = make("input");
              [box.type, box.disabled, box.checked] = ["checkbox", true, item.isDone];
              box.setAttribute("aria-label", item.isDone ? "done" : "to do");
              entry.className = "task";
              entry.append(box);
            }
            item.blocks.forEach((inner, place) => {
              const isEnd = isLast && place === item.blocks.length - 1;
              if (block.isTight && inner.kind === "paragraph") {
                entry.append(make("span", "line", inline(inner.text, isEnd)));
              } else {
                entry.append(render(inner, isEnd));
              }
            });
            list.append(entry);
          });
          return list;
        }

        function renderTable(block, isOpen) {
          const row = (name, cells, isLast) => make("tr", "", ...cells.map((text, column) => {
            const cell = make(name, block.align[column], inline(text, isLast && column === cells.length - 1));
            if (name === "th") cell.scope = "col";
            return cell;
          }));
          const body = make("tbody", "", ...block.rows.map((cells, place) =>
            row("td", cells, isOpen && place === block.rows.length - 1)));
          const table = make("table", "", make("thead", "", row("th", block.head, false)), body);
          // A wide table scrolls by itself, also by keys.
          const frame = make("div", "table", table);
          frame.tabIndex = 0;
          frame.setAttribute("role", "region");
          frame.setAttribute("aria-label", "Table");
          return frame;
        }
        """#
}
