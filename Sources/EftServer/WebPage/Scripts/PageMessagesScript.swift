// SPDX-License-Identifier: Apache-2.0
// What the page does: the messages of the conversation.

/// The script that keeps the list of messages on the screen like the shown path of the conversation: messages that stay keep
/// their elements.
enum PageMessagesScript: PageScript {
    static let name = "messages.js"
    static let text = #"""
        import { reply } from "./answer.js";
        import { add, choose, dropLast, path, siblings } from "./conversation.js";
        import { find } from "./dom.js";
        import { nameAddress, save } from "./library.js";
        import { areValid } from "./settings.js";
        import { emit, on, running, state } from "./state.js";
        import { AnswerTurn, UserTurn } from "./turn.js";

        const log = find("log");
        let turns = [];

        const actions = {
          choose(node, step) {
            const conversation = state.conversation;
            if (running()) return;
            const all = siblings(conversation, node);
            const other = all[all.indexOf(node) + step];
            if (!other) return;
            choose(conversation, other);
            draw();
            save(conversation);
            // The switch is pressed again with the same key.
            const buttons = turns.find(turn => turn.node === other)?.switch.querySelectorAll("button") ?? [];
            const [back, forth] = buttons;
            const [same, reverse] = step < 0 ? [back, forth] : [forth, back];
            (same?.disabled ? reverse : same)?.focus();
          },
          edit(node, text) {
            if (running() || !areValid()) return;
            const conversation = state.conversation;
            const edited = add(conversation, node.parent, { role: "user", text, files: node.files });
            reply(conversation, edited.id);
          },
          regenerate(node) {
            if (running() || !areValid()) return;
            const conversation = state.conversation;
            // An attempt that brought nothing is not worth a branch.
            if (!node.text && node.id === conversation.nodes.length - 1) dropLast(conversation);
            reply(conversation, node.parent);
          },
        };

        // Sends a message below the last one that is shown.
        export function say(text, files) {
          const conversation = state.conversation;
          const last = path(conversation).at(-1);
          const node = add(conversation, last?.id ?? -1, { role: "user", text, ...files.length && { files } });
          if (node.id === 0) nameAddress(conversation);
          reply(conversation, node.id);
          toEnd();
        }

        // Opens the last message of the person for editing; whether there is one.
        export function editLast() {
          if (running()) return false;
          const turn = turns.findLast(turn => turn instanceof UserTurn);
          turn?.edit();
          turn?.element.scrollIntoView({ block: "nearest" });
          return Boolean(turn);
        }

        function draw() {
          const nodes = path(state.conversation);
          let kept = 0;
          while (kept < turns.length && turns[kept].node === nodes[kept]) kept += 1;
          for (const turn of turns.splice(kept)) turn.element.remove();
          const added = nodes.slice(kept).map(node =>
            new (node.role === "user" ? UserTurn : AnswerTurn)(node, actions));
          turns.push(...added);
          log.append(...added.map(turn => turn.element));
          undrawn.push(...added.filter(turn => turn instanceof AnswerTurn));
          for (let count = 0; count < 10; count += 1) undrawn.pop()?.draw();
          drawRest();
          const places = new Map();
          for (const node of state.conversation.nodes) {
            places.set(node.parent, [...(places.get(node.parent) ?? []), node]);
          }
          for (const turn of turns) {
            const all = places.get(turn.node.parent);
            turn.setBranch(all.indexOf(turn.node), all.length);
          }
          turns.at(-1)?.draw?.();
          find("empty").hidden = nodes.length > 0;
        }

        // In a long conversation the end is drawn at once and the rest between frames, from the end to the beginning.
        let undrawn = [];
        let slice = 0;
        function drawRest() {
          clearTimeout(slice);
          undrawn = undrawn.filter(turn => turn.element.isConnected);
          const end = performance.now() + 8;
          while (undrawn.length && performance.now() < end) undrawn.pop().draw();
          if (undrawn.length) slice = setTimeout(drawRest, 16);
        }

        // Keeps the end in view for those who are there; those who read further up stay where they are.
        const isAtEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 60;
        function toEnd() {
          log.scrollTop = log.scrollHeight;
        }
        function following(action) {
          const follows = isAtEnd();
          action();
          if (follows) toEnd();
        }

        export function startMessages() {
          on("shown", () => {
            turns = [];
            for (const turn of log.querySelectorAll(".turn")) turn.remove();
            draw();
            toEnd();
            // Once more when messages further up have their real height.
            requestAnimationFrame(toEnd);
          });
          on("changed", conversation => {
            if (conversation === state.conversation) following(draw);
          });
          // Once a frame, however fast the tokens come.
          let frame = 0;
          on("grown", node => {
            const turn = turns.at(-1);
            if (turn?.node !== node) return;
            frame ||= requestAnimationFrame(() => {
              frame = 0;
              if (turn.element.isConnected) following(() => turn.draw());
            });
          });
          on("running", () => log.classList.toggle("busy", Boolean(running())));
          on("shown", () => log.classList.toggle("busy", Boolean(running())));
        }
        """#
}
