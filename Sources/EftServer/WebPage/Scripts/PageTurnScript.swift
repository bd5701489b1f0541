// SPDX-License-Identifier: Apache-2.0
// What the page does: one message on the screen.

/// The script that makes the elements of a message and of an answer.
enum PageTurnScript: PageScript {
    static let name = "turn.js"
    static let text = #"""
        import { copyButton, count, find, icon, iconButton, make, number } from "./dom.js";
        import { chip } from "./files.js";
        import { MarkdownView } from "./markdown.js";
        import { label } from "./settings.js";

        // A message. `actions` are what its buttons do: choose(node, step), edit(node, text), regenerate(node).
        class Turn {
          constructor(node, actions) {
            Object.assign(this, { node, actions });
            this.element = make("article", `turn ${node.role}`);
            this.body = make("div", "text");
            this.foot = make("div", "foot");
            this.switch = make("span", "switch");
            this.place = [0, 1];
          }

          // Shows which of the messages in this place it is.
          setBranch(place, total) {
            if (this.place[0] === place && this.place[1] === total) return;
            this.place = [place, total];
            const step = (label, name, by) => {
              const button = iconButton(name, label, "small", () => this.actions.choose(this.node, by));
              button.disabled = !(place + by in Array(total).fill(0));
              return button;
            };
            this.switch.replaceChildren(...total > 1 ? [
              step("Previous version", "left", -1),
              make("span", "", `${place + 1}/${total}`),
              step("Next version", "right", 1),
            ] : []);
          }
        }

        export class UserTurn extends Turn {
          constructor(node, actions) {
            super(node, actions);
            this.element.setAttribute("aria-label", "Your message");
            // What a person wrote is shown as it was typed.
            this.body.append(node.text);
            if (node.files?.length) this.element.append(make("div", "files", ...node.files.map(file => chip(file))));
            if (node.text) this.element.append(this.body);
            this.foot.append(this.switch,
              iconButton("edit", "Edit", "small edit", () => this.edit()),
              copyButton("Copy message", () => node.text, "small"));
            this.element.append(this.foot);
          }

          // Puts a box in the place of the text; sending it makes another branch.
          edit() {
            if (this.form) return;
            const box = make("textarea", "");
            [box.rows, box.value] = [1, this.node.text];
            box.setAttribute("aria-label", "Edited message");
            const cancel = make("button", "plain", "Cancel");
            cancel.type = "button";
            this.form = make("form", "editor", box, make("div", "buttons", cancel, make("button", "main", "Send")));
            const close = () => {
              this.form.replaceWith(this.body);
              this.form = null;
              this.element.classList.remove("editing");
              find("text").focus();
            };
            const fit = () => {
              box.style.height = "auto";
              box.style.height = box.scrollHeight + 2 + "px";
            };
            cancel.addEventListener("click", close);
            box.addEventListener("input", fit);
            box.addEventListener("keydown", event => {
              if (event.isComposing) return;
              if (event.key === "Escape") {
                event.stopPropagation();
                close();
              } else if (event.key === "Enter" && !event.shiftKey) {
                event.preventDefault();
                this.form.requestSubmit();
              }
            });
            this.form.addEventListener("submit", event => {
              event.preventDefault();
              const text = box.value.trim();
              if (!text && !this.node.files?.length) return;
              close();
              this.actions.edit(this.node, text);
            });
            this.element.classList.add("editing");
            if (this.body.isConnected) this.body.replaceWith(this.form);
            else this.foot.before(this.form);
            fit();
            box.focus();
          }
        }

        export class AnswerTurn extends Turn {
          constructor(node, actions) {
            super(node, actions);
            this.element.setAttribute("aria-label", "Answer");
            this.body.classList.add("markdown");
            this.markdown = new MarkdownView(this.body);
            this.live = make("div", "live");
            this.element.append(this.body);
          }

          // Shows what there is of the answer; called at least once.
          draw() {
            const { node } = this;
            const isGoing = Boolean(node.isOpen);
            this.element.classList.toggle("going", isGoing);
            this.element.setAttribute("aria-busy", String(isGoing));
            if (node.thoughts) this.drawThoughts();
            this.markdown.show(node.text, isGoing);
            this.body.hidden = !node.text && !isGoing;
            if (isGoing) {
              this.live.textContent = this.numbers().join(" · ");
              if (!this.live.isConnected) this.element.append(this.live);
            } else if (!this.foot.isConnected) {
              this.finish();
            }
          }

          drawThoughts() {
            const { node } = this;
            if (!this.thoughts) {
              this.thoughts = make("details", "thoughts", make("summary"), make("div"));
              this.thoughts.open = Boolean(node.isOpen) && !node.text;
              this.element.prepend(this.thoughts);
            }
            const [summary, text] = this.thoughts.children;
            const isThinking = node.isOpen && !node.text;
            summary.textContent = isThinking ? "Thinking…"
              : node.thinking ? `Thought for ${node.thinking.toFixed(1)} s` : "Thoughts";
            text.textContent = node.thoughts;
            // They fold once, when the answer begins; opened again, they stay open.
            if (node.text && !this.isFolded) {
              this.isFolded = true;
              this.thoughts.open = false;
            }
          }

          // Tokens and speed.
          numbers() {
            const { usage, speed, delay } = this.node;
            if (!usage) return [];
            const words = [count(usage.completion, "token")];
            if (speed) words.push(`${speed.toFixed(1)} tokens/s`);
            if (delay !== undefined) words.push(`first after ${delay.toFixed(2)} s`);
            return words;
          }

          // The line below a whole answer.
          finish() {
            const { node } = this;
            this.live.remove();
            if (node.failure) {
              this.element.append(make("p", "failure", node.failure));
            } else if (!node.text && node.end !== "stopped") {
              this.element.append(make("p", "hint", "The model ended without an answer."));
            }
            const words = this.numbers();
            const { usage } = node;
            // Which adapter it was matters where there is a choice.
            if (node.model && find("model").options.length > 1) words.unshift(label(node.model));
            if (usage) {
              const cached = usage.cached ? ` (${number(usage.cached)} cached)` : "";
              words.push(`prompt ${count(usage.prompt, "token")}${cached}`);
            }
            if (node.end === "length") words.push("cut at max tokens");
            if (node.end === "stopped") words.push("stopped");
            const again = iconButton("again", "Regenerate", "small again", () => this.actions.regenerate(node));
            this.foot.replaceChildren(this.switch, copyButton("Copy answer", () => node.text, "small"), again,
              ...words.map(text => make("span", "", text)));
            this.element.append(this.foot);
          }
        }
        """#
}
