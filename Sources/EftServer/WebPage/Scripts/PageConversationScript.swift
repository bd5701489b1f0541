// SPDX-License-Identifier: Apache-2.0
// What the page does: conversations as trees of messages.

/// The script that knows what a conversation is: messages, each with the one before it, so that an edited message or a
/// regenerated answer is a branch beside the earlier one.
enum PageConversationScript: PageScript {
    static let name = "conversation.js"
    static let text = #"""
        // A conversation's `nodes` are messages in the order in which they were written; `id` is a node's place there, and
        // `parent` that of the message before it, -1 for a first one. `chosen` of a node, or of the conversation for the first
        // message, is the child that is shown.
        export function newConversation(system = "") {
          const random = crypto.getRandomValues(new Uint8Array(12));
          const id = Array.from(random, byte => byte.toString(16).padStart(2, "0")).join("");
          return { id, title: "", system, updated: Date.now(), nodes: [], chosen: -1 };
        }

        // Whether a stored record has the form of a conversation. A parent precedes its children, so that no path is endless.
        export function isConversation(record) {
          return typeof record?.id === "string" && Array.isArray(record.nodes)
            && record.nodes.every((node, place) => node.id === place
              && Number.isInteger(node.parent) && node.parent >= -1 && node.parent < place
              && typeof node.text === "string" && ["user", "assistant"].includes(node.role));
        }

        const holder = (conversation, id) => conversation.nodes[id] ?? conversation;

        // Adds a message below another, and shows it.
        export function add(conversation, parent, fields) {
          const node = { id: conversation.nodes.length, parent, chosen: -1, text: "", ...fields };
          conversation.nodes.push(node);
          holder(conversation, parent).chosen = node.id;
          conversation.updated = Date.now();
          return node;
        }

        // Takes the last message that was added away again.
        export function dropLast(conversation) {
          const node = conversation.nodes.pop();
          const others = siblings(conversation, node);
          holder(conversation, node.parent).chosen = others.at(-1)?.id ?? -1;
        }

        // Messages in the place of this one, itself among them.
        export function siblings(conversation, node) {
          return conversation.nodes.filter(other => other.parent === node.parent);
        }

        // Shows another branch.
        export function choose(conversation, node) {
          holder(conversation, node.parent).chosen = node.id;
        }

        // The messages that are shown, first to last.
        export function path(conversation) {
          const nodes = [];
          let node = conversation.nodes[conversation.chosen];
          while (node && node.parent === (nodes.at(-1)?.id ?? -1)) {
            nodes.push(node);
            node = conversation.nodes[node.chosen];
          }
          return nodes;
        }

        // The messages up to one, first to last.
        export function pathTo(conversation, id) {
          const nodes = [];
          for (let node = conversation.nodes[id]; node; node = conversation.nodes[node.parent]) nodes.unshift(node);
          return nodes;
        }

        // What the sidebar calls it: the name that it was given, or the beginning of its first message.
        export function title(conversation) {
          if (conversation.title) return conversation.title;
          const first = path(conversation)[0];
          const line = (first?.text || first?.files?.[0]?.name || "").trim().split("\n")[0];
          return Array.from(line).length > 60 ? Array.from(line).slice(0, 59).join("") + "…" : line || "New chat";
        }

        // A message as a model reads it: files first, each between fences longer than any in it, then the text.
        export function content(node) {
          const files = (node.files ?? []).map(file => {
            const longest = Math.max(2, ...Array.from(file.text.matchAll(/`{3,}/g), run => run[0].length));
            const fence = "`".repeat(longest + 1);
            return `File ${file.name}:\n${fence}\n${file.text.replace(/\n$/, "")}\n${fence}`;
          });
          return [...files, node.text].filter(Boolean).join("\n\n");
        }

        // Messages for a request. Empty answers are left out, and a message without an answer is sent along with
        // the next one: many templates refuse two in a row from the same side.
        export function messages(conversation, nodes) {
          const list = [];
          if (conversation.system.trim()) list.push({ role: "system", content: conversation.system.trim() });
          for (const node of nodes) {
            const last = list.at(-1);
            if (!content(node)) continue;
            if (last?.role === node.role) last.content += "\n\n" + content(node);
            else list.push({ role: node.role, content: content(node) });
          }
          return list;
        }
        """#
}
