// SPDX-License-Identifier: Apache-2.0
// What the page does: elements, icons, numbers and the clipboard.

/// The script that other scripts make elements with. Text goes in as text nodes alone, so that nothing that a model or a
/// person writes can become markup.
enum PageDOMScript: PageScript {
    static let name = "dom.js"
    static let text = #"""
        export const find = id => document.getElementById(id);

        // An element with a class and with children: elements, or strings, which become text nodes.
        export function make(name, kind, ...children) {
          const element = document.createElement(name);
          if (kind) element.className = kind;
          element.append(...children);
          return element;
        }

        // A copy of an icon from the page's template.
        export function icon(name) {
          return find("icons").content.getElementById("icon-" + name).cloneNode(true);
        }

        // A button of an icon; its label is for screen readers and for the pointer that rests on it.
        export function iconButton(name, label, kind, action) {
          const button = make("button", "icon " + kind, icon(name));
          button.type = "button";
          setLabel(button, label);
          button.addEventListener("click", action);
          return button;
        }

        export function setLabel(button, label) {
          button.setAttribute("aria-label", label);
          button.title = label;
        }

        // A button that copies a text, and says so for a moment.
        export function copyButton(label, text, kind = "") {
          const button = iconButton("copy", label, "copy " + kind, async () => {
            const isCopied = await copy(text());
            button.replaceChildren(icon(isCopied ? "check" : "close"));
            announce(isCopied ? "Copied" : "The browser does not allow copying");
            setTimeout(() => button.replaceChildren(icon("copy")), 1500);
          });
          return button;
        }

        async function copy(text) {
          try {
            await navigator.clipboard.writeText(text);
            return true;
          } catch {
            // Browsers offer the clipboard to pages from this machine or over TLS only; the older way works everywhere.
            const field = make("textarea", "unseen");
            field.value = text;
            const focused = document.activeElement;
            document.body.append(field);
            field.select();
            const isCopied = document.execCommand("copy");
            field.remove();
            focused?.focus();
            return isCopied;
          }
        }

        // A sentence for screen readers.
        export function announce(text) {
          find("announcement").textContent = text;
        }

        // A line above the message box; an action is a label and what its button does.
        export function notice(text, { isCalm = false, action } = {}) {
          const line = find("notice");
          line.replaceChildren(text ?? "");
          line.hidden = !text;
          line.classList.toggle("calm", isCalm);
          if (!text) return;
          if (action) {
            const button = make("button", "plain", action.label);
            button.type = "button";
            button.addEventListener("click", () => {
              notice();
              action.run();
            });
            line.append(button);
          }
          line.append(iconButton("close", "Dismiss", "small", () => notice()));
        }

        // Sizes with three digits or more, as the program itself writes them.
        export function bytes(count) {
          const units = ["B", "KiB", "MiB", "GiB", "TiB"];
          let place = 0;
          while (count >= 1024 && place < units.length - 1) {
            count /= 1024;
            place += 1;
          }
          return `${count.toFixed(place < 2 || count >= 100 ? 0 : 1)} ${units[place]}`;
        }

        export const number = count => count.toLocaleString("en");

        export const count = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;
        """#
}
