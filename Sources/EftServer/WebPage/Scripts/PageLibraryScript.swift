// SPDX-License-Identifier: Apache-2.0
// What the page does: opening, keeping and deleting conversations.

/// The script between the store and the screen.
enum PageLibraryScript: PageScript {
    static let name = "library.js"
    static let text = #"""
        import { newConversation, title } from "./conversation.js";
        import { find, notice } from "./dom.js";
        import { firstSystem } from "./settings.js";
        import { emit, on, state } from "./state.js";
        import { explainStorage, isLasting, onOtherTab, read, remove, write } from "./store.js";

        // Conversations that were deleted while an answer to them was under way must not come back.
        const deleted = new Set();

        export async function save(conversation) {
          if (deleted.has(conversation.id)) return;
          try {
            await write(conversation);
          } catch (error) {
            notice(explainStorage(error));
          }
          emit("listed");
        }

        function show(conversation) {
          state.conversation = conversation;
          document.title = conversation.nodes.length ? `${title(conversation)} · Eft` : "Eft";
          emit("shown");
        }

        // The conversation of an id: one that an answer is growing in is only in memory up to date.
        const load = async id => (state.conversation.id === id ? state.conversation : null)
          ?? state.running.get(id)?.conversation ?? await read(id);

        // Shows a conversation, and gives it the page's address, so that loading the page again comes back to it.
        export async function open(id) {
          const conversation = await load(id).catch(error => void notice(explainStorage(error)));
          if (!conversation) return false;
          setAddress("#" + id);
          show(conversation);
          return true;
        }

        export function startNew() {
          setAddress(location.pathname + location.search);
          show(newConversation(firstSystem()));
        }

        function setAddress(address) {
          if (new URL(address, location).href !== location.href) history.pushState(null, "", address);
        }

        // Gives a new conversation its address when its first message is there.
        export function nameAddress(conversation) {
          if (conversation !== state.conversation) return;
          history.replaceState(null, "", "#" + conversation.id);
          document.title = `${title(conversation)} · Eft`;
        }

        export async function rename(id, name) {
          const conversation = await load(id);
          if (!conversation) return;
          conversation.title = name.trim().slice(0, 200);
          if (conversation === state.conversation) document.title = `${title(conversation)} · Eft`;
          await save(conversation);
        }

        // Deletes a conversation; until the line about it is gone it can be had back.
        export async function discard(id) {
          const conversation = await load(id).catch(() => null);
          state.running.get(id)?.controller.abort();
          deleted.add(id);
          try {
            await remove(id);
          } catch (error) {
            return notice(explainStorage(error));
          }
          if (state.conversation.id === id) startNew();
          emit("listed");
          if (!conversation) return;
          const undo = async () => {
            deleted.delete(id);
            await save(conversation);
            open(id);
          };
          notice(`“${title(conversation)}” was deleted.`, { isCalm: true, action: { label: "Undo", run: undo } });
        }

        // The conversation of the page's address, or a new one.
        async function follow() {
          const id = location.hash.slice(1);
          if (id === state.conversation.id) return;
          if (id && await open(id)) return;
          history.replaceState(null, "", location.pathname + location.search);
          show(newConversation(firstSystem()));
        }

        // Other tabs may change or delete what is shown here.
        async function compare(id) {
          emit("listed");
          const shown = state.conversation;
          if (id !== shown.id || state.running.has(id)) return;
          const stored = await read(id);
          if (!stored && shown.nodes.length) startNew();
          else if (stored && stored.updated > shown.updated) show(stored);
        }

        export async function startLibrary() {
          let waiting = 0;
          on("system", () => {
            clearTimeout(waiting);
            const conversation = state.conversation;
            if (conversation.nodes.length) waiting = setTimeout(() => save(conversation), 500);
          });
          addEventListener("popstate", follow);
          // A last attempt for answers that are growing; they are kept every few seconds anyhow.
          addEventListener("pagehide", () => {
            for (const { conversation } of state.running.values()) save(conversation);
          });
          onOtherTab(compare);
          state.conversation.system = firstSystem();
          emit("shown");
          emit("listed");
          if (location.hash.length > 1) await follow();
          find("lasting").hidden = await isLasting();
        }
        """#
}
