// SPDX-License-Identifier: Apache-2.0
// What the page does: the blocks of Markdown.

/// The script that divides Markdown into blocks, by the rules of CommonMark and GitHub's tables, with some leniency for how
/// models indent nested lists.
enum PageBlocksScript: PageScript {
    static let name = "blocks.js"
    static let text = #"""
        // A block is { kind, start, ... }, where `start` is its first line. Kinds: heading (level, text), code (language, text),
        // rule, quote (blocks), list (isOrdered, first, isTight, items of { isDone, blocks }), table (align, head, rows),
        // paragraph (text).

        // Deeper quotes and lists are paragraphs, so that no text can exhaust the stack.
        const deepest = 16;

        const fence = /^ {0,3}(`{3,}|~{3,})[ \t]*([^`]*)$/;
        const heading = /^ {0,3}(#{1,6})(?:[ \t]+(.*))?$/;
        const rule = /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/;
        const quote = /^ {0,3}> ?/;
        const item = /^( {0,3})([-*+]|\d{1,9}[.)])( +|$)/;
        const underline = /^ {0,3}(=+|-+)[ \t]*$/;
        const delimiters = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

        const isBlank = line => line.trim() === "";
        const indentation = line => line.length - line.trimStart().length;
        // Tabs that indent count as four columns.
        const untabbed = line => line.replace(/^[ \t]+/, space => space.replaceAll("\t", "    "));
        const dedented = (line, most) => line.slice(Math.min(indentation(line), most));

        export function blocks(text) {
          return parse(text.split("\n").map(untabbed), 0);
        }

        function parse(lines, depth) {
          const found = [];
          let place = 0;
          while (place < lines.length) {
            if (isBlank(lines[place])) {
              place += 1;
              continue;
            }
            const [block, end] = next(lines, place, depth);
            found.push({ ...block, start: place });
            place = end;
          }
          return found;
        }

        // The block that begins at a line, and the line behind it.
        function next(lines, place, depth) {
          const line = lines[place];
          return code(lines, place) ?? indented(lines, place)
            ?? (rule.test(line) ? [{ kind: "rule" }, place + 1] : null)
            ?? titled(line, place)
            ?? (depth < deepest ? quoted(lines, place, depth) ?? list(lines, place, depth) : null)
            ?? table(lines, place) ?? paragraph(lines, place);
        }

        function code(lines, place) {
          const open = fence.exec(lines[place]);
          if (!open) return null;
          const close = new RegExp(`^ {0,3}${open[1][0]}{${open[1].length},}[ \\t]*$`);
          let end = place + 1;
          while (end < lines.length && !close.test(lines[end])) end += 1;
          const space = indentation(lines[place]);
          const text = lines.slice(place + 1, end).map(line => dedented(line, space)).join("\n");
          const language = open[2].trim().split(/[\s{,:]/)[0];
          return [{ kind: "code", language, text }, Math.min(end + 1, lines.length)];
        }

        function indented(lines, place) {
          if (indentation(lines[place]) < 4) return null;
          let end = place;
          while (end < lines.length && (isBlank(lines[end]) || indentation(lines[end]) >= 4)) end += 1;
          const text = lines.slice(place, end).map(line => dedented(line, 4)).join("\n");
          return [{ kind: "code", language: "", text: text.trimEnd() }, end];
        }

        function titled(line, place) {
          const found = heading.exec(line);
          if (!found) return null;
          const text = (found[2] ?? "").trim().replace(/(^|[ \t])#+$/, "").trim();
          return [{ kind: "heading", level: found[1].length, text }, place + 1];
        }

        // Whether a line ends a paragraph before it.
        function interrupts(line) {
          if (fence.test(line) || heading.test(line) || quote.test(line) || rule.test(line)) return true;
          const found = item.exec(line);
          return Boolean(found) && found[0].length < line.length && !/^\d/.test(found[2].replace(/^1[.)]$/, "-"));
        }

        function quoted(lines, place, depth) {
          if (!quote.test(lines[place])) return null;
          const inner = [];
          let end = place;
          for (; end < lines.length; end += 1) {
            const line = lines[end];
            if (quote.test(line)) inner.push(line.replace(quote, ""));
            // A line without the mark goes on with the paragraph before it.
            else if (!isBlank(line) && !isBlank(inner.at(-1)) && !interrupts(line)) inner.push(line);
            else break;
          }
          return [{ kind: "quote", blocks: parse(inner.map(untabbed), depth + 1) }, end];
        }

        function list(lines, place, depth) {
          const first = item.exec(lines[place]);
          if (!first) return null;
          const sort = first[2].at(-1);
          const items = [];
          let [end, isTight] = [place, true];
          while (end < lines.length) {
            const mark = item.exec(lines[end]);
            if (!mark || mark[2].at(-1) !== sort || rule.test(lines[end])) break;
            const [inner, behind] = gather(lines, end, mark);
            const task = /^\[([ xX])\] +/.exec(inner[0]);
            if (task) inner[0] = inner[0].slice(task[0].length);
            const isLast = behind >= lines.length;
            const gap = inner.findLastIndex(line => !isBlank(line)) + 1;
            const parts = parse(inner.slice(0, gap), depth + 1);
            items.push({ isDone: task ? task[1] !== " " : null, blocks: parts });
            if (parts.some((part, place) => place > 0 && isBlank(inner[part.start - 1]))) isTight = false;
            end = behind;
            const following = isLast ? null : item.exec(lines[end]);
            if (gap < inner.length && following?.[2].at(-1) === sort) isTight = false;
          }
          const number = parseInt(first[2], 10);
          return [
            { kind: "list", isOrdered: !Number.isNaN(number), first: number, isTight, items }, end];
        }

        // The lines of an item without their indentation, and the line behind them.
        function gather(lines, place, mark) {
          const space = mark[3].length > 4 ? 1 : Math.max(1, mark[3].length);
          const width = mark[1].length + mark[2].length + space;
          // Models often indent what is below "1." by two columns, where CommonMark wants three.
          const least = Math.min(width, mark[1].length + 2);
          const inner = [lines[place].slice(width)];
          let [end, inset] = [place + 1, 0];
          for (; end < lines.length; end += 1) {
            const line = lines[end];
            if (isBlank(line)) {
              inner.push("");
              continue;
            }
            const found = item.exec(line);
            const isSibling = indentation(line) < width && found
              && found[2].at(-1) === mark[2].at(-1) && /\d/.test(mark[2]);
            if (indentation(line) >= least && !isSibling) {
              inset ||= Math.min(width, indentation(line));
              inner.push(dedented(line, inset));
            } else if (!isBlank(inner.at(-1)) && !found && !interrupts(line)) {
              inner.push(line.trimStart());
            } else {
              break;
            }
          }
          return [inner, end];
        }

        function table(lines, place) {
          if (!lines[place].includes("|") || place + 1 >= lines.length) return null;
          if (!delimiters.test(lines[place + 1])) return null;
          const head = cells(lines[place]);
          const align = cells(lines[place + 1]).map(cell =>
            cell.endsWith(":") ? (cell.startsWith(":") ? "center" : "right") : "");
          if (head.length !== align.length) return null;
          const rows = [];
          let end = place + 2;
          for (; end < lines.length && !isBlank(lines[end]) && !interrupts(lines[end]); end += 1) {
            const row = cells(lines[end]);
            // As many cells as the head has: missing ones are empty, and what is too much stays in the last one.
            const last = row.slice(head.length - 1).join(" | ");
            rows.push(head.map((_, column) => (column === head.length - 1 ? last : row[column] ?? "")));
          }
          return [{ kind: "table", align, head, rows }, end];
        }

        function cells(line) {
          const inner = line.trim().replace(/^\|/, "").replace(/(^|[^\\])\|$/, "$1");
          return inner.split(/(?<!\\)\|/).map(cell => cell.trim().replaceAll("\\|", "|"));
        }

        function paragraph(lines, place) {
          let end = place + 1;
          for (; end < lines.length && !isBlank(lines[end]); end += 1) {
            const found = underline.exec(lines[end]);
            if (found) {
              const text = trimmed(lines.slice(place, end));
              return [{ kind: "heading", level: found[1][0] === "=" ? 1 : 2, text }, end + 1];
            }
            if (interrupts(lines[end]) || table(lines, end)) break;
          }
          return [{ kind: "paragraph", text: trimmed(lines.slice(place, end)) }, end];
        }

        const trimmed = lines => lines.map(line => line.trimStart()).join("\n").trimEnd();
        """#
}
