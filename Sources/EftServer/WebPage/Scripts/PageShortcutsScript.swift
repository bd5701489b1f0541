// SPDX-License-Identifier: Apache-2.0
// What the page does: keys.

/// The script of the keyboard shortcuts that hold everywhere on the page; those of the message box are the composer's.
enum PageShortcutsScript: PageScript {
    static let name = "shortcuts.js"
    static let text = #"""
        import { stop } from "./answer.js";
        import { find } from "./dom.js";
        import { closeOver } from "./layout.js";
        import { begin } from "./sidebar.js";

        const isTyping = target => target.closest("input, textarea, select") !== null;

        function press(event) {
          if (event.isComposing || event.defaultPrevented || find("keys").open) return false;
          const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey;
          if (event.key === "Escape") {
            if (!closeOver()) stop();
          } else if ((event.ctrlKey || event.metaKey) && event.shiftKey && event.key.toLowerCase() === "o") {
            begin();
          } else if (isPlain && event.key === "/" && !isTyping(event.target)) {
            find("text").focus();
          } else if (isPlain && event.key === "?" && !isTyping(event.target)) {
            find("keys").showModal();
          } else {
            return false;
          }
          return true;
        }

        export function startShortcuts() {
          document.addEventListener("keydown", event => {
            if (press(event)) event.preventDefault();
          });
          find("help").addEventListener("click", () => find("keys").showModal());
          // A click beside the overlay closes it, as Escape does.
          find("keys").addEventListener("click", event => {
            if (event.target === find("keys")) find("keys").close();
          });
        }
        """#
}
