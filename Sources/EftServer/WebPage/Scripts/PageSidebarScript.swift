// SPDX-License-Identifier: Apache-2.0
// What the page does: the list of conversations.

/// The script of the sidebar: opening, renaming and deleting conversations, the newest first.
enum PageSidebarScript: PageScript {
    static let name = "sidebar.js"
    static let text = #"""
        import { find, iconButton, make, notice } from "./dom.js";
        import { closeOver } from "./layout.js";
        import { discard, open, rename, startNew } from "./library.js";
        import { on, state } from "./state.js";
        import { explainStorage, list } from "./store.js";

        let heads = [];
        let renamed = null;

        async function refresh() {
          try {
            heads = await list();
          } catch (error) {
            return notice(explainStorage(error));
          }
          draw();
        }

        // Which days a time belongs to.
        function period(time) {
          const today = new Date().setHours(0, 0, 0, 0);
          const days = (today - new Date(time).setHours(0, 0, 0, 0)) / 86_400_000;
          return days < 0.5 ? "Today" : days < 1.5 ? "Yesterday" : days < 7.5 ? "This week" : "Earlier";
        }

        const rows = new Map();

        function draw() {
          const parts = [];
          let last = "";
          for (const head of heads) {
            const name = period(head.updated);
            if (name !== last) parts.push(make("li", "period", name));
            last = name;
            parts.push(row(head));
          }
          for (const id of rows.keys()) if (!heads.some(head => head.id === id)) rows.delete(id);
          const items = find("list");
          // Elements in their place stay: moving one would take the focus away.
          parts.forEach((part, place) => {
            if (items.children[place] !== part) items.insertBefore(part, items.children[place] ?? null);
          });
          while (items.children.length > parts.length) items.lastChild.remove();
          find("none").hidden = heads.length > 0;
        }

        // The row of a conversation, made anew only when it looks different.
        function row(head) {
          const look = JSON.stringify([head.title, head.id === state.conversation.id,
            state.running.has(head.id), renamed === head.id]);
          const old = rows.get(head.id);
          if (old?.look === look) return old.element;
          const element = renamed === head.id ? editor(head) : entry(head);
          rows.set(head.id, { look, element });
          if (old?.element.contains(document.activeElement)) {
            queueMicrotask(() => element.querySelector("input, .open")?.focus());
          }
          return element;
        }

        function entry(head) {
          const button = make("button", "open", make("span", "title", head.title));
          button.type = "button";
          button.title = head.title;
          if (head.id === state.conversation.id) button.setAttribute("aria-current", "true");
          if (state.running.has(head.id)) {
            const dot = make("span", "pulse");
            dot.setAttribute("role", "img");
            dot.setAttribute("aria-label", "generating");
            button.append(dot);
          }
          button.addEventListener("click", async () => {
            if (await open(head.id)) closeOver();
            else notice("This conversation is no longer stored in this browser.");
            find("text").focus();
          });
          const begin = () => {
            renamed = head.id;
            draw();
            rows.get(head.id)?.element.querySelector("input").select();
          };
          button.addEventListener("dblclick", begin);
          return make("li", "entry", button,
            iconButton("edit", `Rename ${head.title}`, "small rename", begin),
            iconButton("trash", `Delete ${head.title}`, "small delete", () => discard(head.id)));
        }

        function editor(head) {
          const field = make("input");
          field.value = head.title;
          field.maxLength = 200;
          field.setAttribute("aria-label", "Name of the conversation");
          const end = isKept => {
            if (renamed !== head.id) return;
            renamed = null;
            const name = field.value.trim();
            if (isKept && name && name !== head.title) rename(head.id, name);
            else draw();
          };
          field.addEventListener("keydown", event => {
            event.stopPropagation();
            if (event.key === "Enter" && !event.isComposing) end(true);
            if (event.key === "Escape") end(false);
          });
          field.addEventListener("blur", () => end(true));
          return make("li", "entry", field);
        }

        export function begin() {
          startNew();
          closeOver();
          find("text").focus();
        }

        export function startSidebar() {
          for (const button of document.querySelectorAll(".fresh")) button.addEventListener("click", begin);
          on("listed", refresh);
          on("running", draw);
          on("shown", draw);
        }
        """#
}
