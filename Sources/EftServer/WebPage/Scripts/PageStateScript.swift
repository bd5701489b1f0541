// SPDX-License-Identifier: Apache-2.0
// What the page does: what its parts know in common.

/// The script that holds which conversation is shown and which answers are being generated, and that lets parts of the page
/// hear of changes without knowing each other.
enum PageStateScript: PageScript {
    static let name = "state.js"
    static let text = #"""
        import { newConversation } from "./conversation.js";

        export const state = {
          // The conversation on the screen.
          conversation: newConversation(),
          // Answers being generated, by the id of their conversation. They go on while another one is shown.
          running: new Map(),
          // What the server said last of itself.
          status: null,
        };

        export const running = () => state.running.get(state.conversation.id);

        // Events: "shown" (another conversation is on the screen), "changed" (a conversation's messages), "grown" (the text
        // of an answer), "listed" (what the sidebar shows), "running" (an answer began or ended), "system" (a system prompt was
        // edited), "key" (another API key), "reached" (the server answered).
        const listeners = new Map();

        export function on(name, action) {
          listeners.set(name, [...(listeners.get(name) ?? []), action]);
        }

        export function emit(name, ...values) {
          for (const action of listeners.get(name) ?? []) action(...values);
        }
        """#
}
