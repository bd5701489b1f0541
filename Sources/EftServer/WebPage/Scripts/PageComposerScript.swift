// SPDX-License-Identifier: Apache-2.0
// What the page does: the message box.

/// The script of the box in which messages are typed.
enum PageComposerScript: PageScript {
    static let name = "composer.js"
    static let text = #"""
        import { stop } from "./answer.js";
        import { find, notice } from "./dom.js";
        import { hasFiles, takeFiles } from "./files.js";
        import { editLast, say } from "./messages.js";
        import { areValid } from "./settings.js";
        import { on, running } from "./state.js";

        const box = find("text");

        function fit() {
          box.style.height = "auto";
          box.style.height = box.scrollHeight + "px";
          find("send").disabled = !box.value.trim() && !hasFiles();
        }

        function showRunning() {
          const isRunning = Boolean(running());
          const hadFocus = document.activeElement === find(isRunning ? "send" : "stop");
          find("send").hidden = isRunning;
          find("stop").hidden = !isRunning;
          if (hadFocus) box.focus();
        }

        export function startComposer() {
          box.addEventListener("input", fit);
          box.addEventListener("keydown", event => {
            if (event.isComposing) return;
            if (event.key === "Enter" && !event.shiftKey) {
              event.preventDefault();
              find("ask").requestSubmit();
            } else if (event.key === "ArrowUp" && !box.value && !hasFiles()) {
              if (editLast()) event.preventDefault();
            }
          });
          find("ask").addEventListener("submit", event => {
            event.preventDefault();
            const text = box.value.trim();
            if ((!text && !hasFiles()) || running() || !areValid()) return;
            box.value = "";
            notice();
            say(text, takeFiles());
            fit();
          });
          find("stop").addEventListener("click", stop);
          on("running", showRunning);
          on("shown", showRunning);
          fit();
        }
        """#
}
