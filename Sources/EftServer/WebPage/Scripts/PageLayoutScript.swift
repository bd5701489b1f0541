// SPDX-License-Identifier: Apache-2.0
// What the page does: its columns.

/// The script that opens and closes the columns beside the chat, which lie over it on a phone.
enum PageLayoutScript: PageScript {
    static let name = "layout.js"
    static let text = #"""
        import { find } from "./dom.js";
        import { values } from "./store.js";

        const narrow = matchMedia("(max-width: 860px)");
        // `least` is the width of the window from which a column is open unless somebody closed it.
        const columns = [
          { panel: find("conversations"), button: find("menu"), name: "eft.conversations", least: 860 },
          { panel: find("side"), button: find("panel"), name: "eft.side", least: 1100 },
        ];
        const [list, side] = columns;

        function set(column, isOpen, isChoice = true) {
          column.isOpen = isOpen;
          column.panel.hidden = !isOpen;
          column.button.setAttribute("aria-expanded", String(isOpen));
          document.body.classList.toggle("has-" + column.panel.id, isOpen);
          // What a column lies over takes no focus; the line above the message box stays in reach.
          const isOver = narrow.matches && columns.some(column => column.isOpen);
          for (const part of document.querySelectorAll(".log, .box")) part.inert = isOver;
          if (narrow.matches) {
            // A phone has room for one.
            if (isOpen) for (const other of columns) if (other !== column) set(other, false);
          } else if (isChoice) {
            values.write("browser", column.name, isOpen ? "open" : "closed");
          }
        }

        export const openSide = isOpen => set(side, isOpen);
        export const openList = isOpen => set(list, isOpen);

        // Closes what lies over the chat; whether there was anything.
        export function closeOver() {
          const open = narrow.matches ? columns.filter(column => column.isOpen) : [];
          for (const column of open) set(column, false);
          open[0]?.button.focus();
          return open.length > 0;
        }

        export function startLayout() {
          const arrange = () => {
            for (const column of columns) {
              const isRemembered = values.read("browser", column.name);
              const isOpen = isRemembered ? isRemembered === "open" : innerWidth >= column.least;
              set(column, !narrow.matches && isOpen, false);
            }
          };
          for (const column of columns) column.button.addEventListener("click", () => set(column, !column.isOpen));
          narrow.addEventListener("change", arrange);
          arrange();
        }
        """#
}
