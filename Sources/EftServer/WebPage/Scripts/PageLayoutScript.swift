// SPDX-License-Identifier: Apache-2.0
// What the page does: its columns.

/// The script that opens and closes the columns beside the chat, which lie over it on a phone.
enum PageLayoutScript: PageScript {
    static let name = "layout.js"
    static let text = #"""
        import { find } from "./dom.js";
        import { values } from "./store.js";

        const narrow = matchMedia("(max-width: 860px)");
        const columns = [
          { panel: find("conversations"), button: find("menu"), name: "eft.conversations" },
          { panel: find("side"), button: find("panel"), name: "eft.side" },
        ];
        const [list, side] = columns;

        function set(column, isOpen) {
          column.isOpen = isOpen;
          column.panel.hidden = !isOpen;
          column.button.setAttribute("aria-expanded", String(isOpen));
          document.body.classList.toggle("has-" + column.panel.id, isOpen);
          if (!narrow.matches) values.write("browser", column.name, isOpen ? "open" : "closed");
          // A phone has room for one.
          else if (isOpen) for (const other of columns) if (other !== column) set(other, false);
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
              set(column, !narrow.matches && values.read("browser", column.name) !== "closed");
            }
          };
          for (const column of columns) column.button.addEventListener("click", () => set(column, !column.isOpen));
          narrow.addEventListener("change", arrange);
          arrange();
        }
        """#
}
