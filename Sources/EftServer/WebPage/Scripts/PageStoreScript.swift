// SPDX-License-Identifier: Apache-2.0
// What the page does: what it keeps in the browser.

/// The script that keeps conversations in IndexedDB, which holds far more than the five million characters of local storage,
/// and small values in the storages of the browser and of the tab.
enum PageStoreScript: PageScript {
    static let name = "store.js"
    static let text = #"""
        import { isConversation, title } from "./conversation.js";

        // Heads (id, title, time) stand apart from bodies, so that the sidebar reads no messages.
        const [heads, bodies] = ["heads", "bodies"];
        // What a browser without a database has: conversations until the tab is closed.
        const memory = new Map();
        let opening = null;

        // The database, or null where the browser grants none.
        function database() {
          opening ??= new Promise(resolve => {
            try {
              const request = indexedDB.open("eft", 1);
              request.onupgradeneeded = () => {
                for (const name of [heads, bodies]) request.result.createObjectStore(name, { keyPath: "id" });
              };
              request.onsuccess = () => {
                // Another tab with a newer page must not wait for this one.
                request.result.onversionchange = () => request.result.close();
                resolve(request.result);
              };
              request.onerror = request.onblocked = () => resolve(null);
            } catch {
              resolve(null);
            }
          });
          return opening;
        }

        const finished = request => new Promise((resolve, reject) => {
          request.onsuccess = () => resolve(request.result);
          request.onerror = () => reject(request.error);
        });

        // Changes both stores together or not at all.
        async function change(action) {
          const base = await database();
          if (!base) return false;
          await new Promise((resolve, reject) => {
            const transaction = base.transaction([heads, bodies], "readwrite");
            transaction.oncomplete = resolve;
            transaction.onabort = () => reject(transaction.error ?? new Error("The browser stored nothing."));
            action(transaction.objectStore(heads), transaction.objectStore(bodies));
          });
          return true;
        }

        // Other tabs with this page hear of changes.
        const channel = globalThis.BroadcastChannel ? new BroadcastChannel("eft") : null;
        export function onOtherTab(action) {
          channel?.addEventListener("message", event => action(event.data));
        }

        // Whether conversations outlive the tab.
        export const isLasting = async () => Boolean(await database());

        // All conversations by id, title and time, the newest first.
        export async function list() {
          const base = await database();
          const all = base
            ? await finished(base.transaction(heads).objectStore(heads).getAll())
            : Array.from(memory.values(), head);
          return all.sort((one, other) => other.updated - one.updated);
        }

        const head = conversation => (
          { id: conversation.id, title: title(conversation), updated: conversation.updated });

        // A conversation; undefined when it is not there, or is not what this page wrote.
        export async function read(id) {
          const base = await database();
          const record = base
            ? await finished(base.transaction(bodies).objectStore(bodies).get(id)) : memory.get(id);
          if (!isConversation(record)) return undefined;
          // An answer that was growing when its page was closed is one that was stopped.
          for (const node of record.nodes) {
            if (!node.isOpen) continue;
            delete node.isOpen;
            node.end = "stopped";
          }
          return record;
        }

        // Keeps a conversation. Rejects with a QuotaExceededError when the browser has no room.
        export async function write(conversation) {
          const isWritten = await change((heads, bodies) => {
            heads.put(head(conversation));
            bodies.put(conversation);
          });
          if (!isWritten) memory.set(conversation.id, conversation);
          channel?.postMessage(conversation.id);
        }

        export async function remove(id) {
          const isRemoved = await change((heads, bodies) => {
            heads.delete(id);
            bodies.delete(id);
          });
          if (!isRemoved) memory.delete(id);
          channel?.postMessage(id);
        }

        // What a person is told when a conversation could not be kept.
        export function explainStorage(error) {
          return error?.name === "QuotaExceededError"
            ? "This browser has no room left for conversations. Delete some in the sidebar: until then new messages are lost "
              + "when the page is closed."
            : `The browser did not store the conversation: ${error?.message ?? error}`;
        }

        // Small values: settings stay in the browser, the key in the tab until it is closed. Either may be forbidden.
        const areas = { browser: () => localStorage, tab: () => sessionStorage };
        export const values = {
          read(area, name) {
            try { return areas[area]().getItem(name); } catch { return null; }
          },
          write(area, name, value) {
            try { areas[area]().setItem(name, value); } catch {}
          },
        };
        """#
}
