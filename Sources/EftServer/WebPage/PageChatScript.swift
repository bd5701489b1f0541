// SPDX-License-Identifier: Apache-2.0
// What the page does: the chat.

/// The part of the page's script that sends messages and shows answers as they come.
enum PageChatScript {
    static let text = #"""
        // Transcripts, for models without a chat template.

        const transcripts = {
          answers: {
            user: text => `Question: ${text}\nAnswer:`, answer: text => ` ${text}\n`,
            stop: ["\nQuestion:", "\n\n"],
          },
          speakers: {
            user: text => `User: ${text}\nAssistant:`, answer: text => ` ${text}\n`,
            stop: ["\nUser:"],
          },
          alpaca: {
            system: "Below is an instruction that describes a task. "
              + "Write a response that appropriately completes the request.",
            user: text => `### Instruction:\n${text}\n\n### Response:\n`, answer: text => `${text}\n\n`,
            stop: ["\n### Instruction:"],
          },
          bare: { user: text => text, answer: text => text, stop: [] },
        };

        // The conversation, and whether the model has a template for it.
        let turns = [];
        let hasTemplate = true;
        let going = null;

        function setTemplate(isThere) {
          hasTemplate = isThere;
          find("plain").hidden = isThere;
          if (!isThere) {
            notice("This model has no chat template: it goes on with a plain transcript.", true);
          }
        }

        function request() {
          const chosen = sampling();
          if (!chosen) return null;
          const body = {
            model: find("model").value || undefined, stream: true,
            stream_options: { include_usage: true }, ...chosen,
          };
          const system = settings.system.value.trim();
          if (hasTemplate) {
            body.messages = turns.map(turn => ({ role: turn.role, content: turn.text }));
            if (system) body.messages.unshift({ role: "system", content: system });
            return { path: "v1/chat/completions", body };
          }
          const style = transcripts[settings.transcript.value];
          const first = system || style.system;
          body.prompt = (first ? first + "\n\n" : "") + turns.map(turn =>
            turn.role === "user" ? style.user(turn.text) : style.answer(turn.text)).join("");
          if (style.stop.length) body.stop = style.stop;
          return { path: "v1/completions", body };
        }

        async function begin(signal) {
          const asked = request();
          if (!asked) return null;
          try {
            return await call(asked.path, asked.body, signal);
          } catch (error) {
            if (!hasTemplate || error.status !== 400 || !error.message.includes("no chat template")) {
              throw error;
            }
            setTemplate(false);
            return begin(signal);
          }
        }

        // Messages.

        // Text with its blocks of code, which stand between lines of three backticks.
        function fill(element, text) {
          element.replaceChildren(...text.split(/^```/m).map((part, place) => {
            if (place % 2 === 0) return document.createTextNode(part.replace(/^\n|\n$/g, ""));
            const code = part.replace(/^[^\n]*\n?/, "").replace(/\n$/, "");
            return make("pre", "", code);
          }));
        }

        function show(role, text) {
          find("empty").hidden = true;
          const element = make("article", "turn " + role);
          const body = make("div", "text");
          fill(body, text);
          element.append(body);
          find("log").append(element);
          return { element, body };
        }

        function isAtEnd() {
          const log = find("log");
          return log.scrollHeight - log.scrollTop - log.clientHeight < 60;
        }

        function toEnd() {
          find("log").scrollTop = find("log").scrollHeight;
        }

        function setGoing(controller) {
          going = controller;
          find("send").hidden = Boolean(controller);
          find("stop").hidden = !controller;
          find("send").disabled = !find("text").value.trim();
        }

        // The line below an answer.
        function foot(answer) {
          const line = make("div", "foot");
          const words = [];
          if (answer.tokens) {
            words.push(answer.tokens === 1 ? "1 token" : `${answer.tokens} tokens`);
            const seconds = (answer.end - answer.first) / 1000;
            // Answers that come all at once say nothing about the speed.
            if (answer.tokens > 1 && seconds > 0.25) {
              words.push(`${((answer.tokens - 1) / seconds).toFixed(1)} tokens/s`);
            }
            words.push(`first after ${((answer.first - answer.start) / 1000).toFixed(2)} s`);
          }
          if (answer.reason === "length") words.push("cut at the most tokens");
          if (answer.isStopped) words.push("stopped");
          line.append(...words.map(text => make("span", "", text)));
          const copy = make("button", "", "Copy");
          copy.type = "button";
          copy.addEventListener("click", async () => {
            try {
              await navigator.clipboard.writeText(answer.text);
              copy.textContent = "Copied";
              setTimeout(() => { copy.textContent = "Copy"; }, 1500);
            } catch {
              getSelection().selectAllChildren(answer.body);
            }
          });
          const again = make("button", "again", "Again");
          again.type = "button";
          again.addEventListener("click", () => {
            if (going) return;
            turns = turns.slice(0, answer.place);
            while (answer.element.nextSibling) answer.element.nextSibling.remove();
            answer.element.remove();
            reply();
          });
          line.append(copy, again);
          return line;
        }

        // Asks for the next message and shows it as it comes.
        async function reply() {
          const controller = new AbortController();
          const answer = {
            ...show("assistant", ""), place: turns.length, text: "", thoughts: "",
            start: performance.now(), first: 0, end: 0, tokens: 0,
          };
          answer.element.classList.add("going");
          setGoing(controller);
          toEnd();
          try {
            const response = await begin(controller.signal);
            if (!response) {
              answer.element.remove();
              return;
            }
            for await (const event of events(response)) take(event, answer);
          } catch (error) {
            answer.isStopped = error.name === "AbortError";
            if (!answer.isStopped) {
              answer.element.append(make("p", "failure", explain(error)));
            }
          } finally {
            finish(answer);
          }
        }

        function take(event, answer) {
          const choice = event.choices[0];
          if (event.usage) answer.tokens = event.usage.completion_tokens;
          if (!choice) return;
          const text = choice.delta ? choice.delta.content ?? "" : choice.text;
          const thoughts = choice.delta?.reasoning ?? "";
          if (choice.finish_reason) answer.reason = choice.finish_reason;
          if (!text && !thoughts) return;
          answer.end = performance.now();
          answer.first ||= answer.end;
          answer.text += text;
          answer.thoughts += thoughts;
          // Once a frame, however fast the tokens come.
          answer.frame ||= requestAnimationFrame(() => {
            answer.frame = 0;
            draw(answer);
          });
        }

        function draw(answer) {
          const follows = isAtEnd();
          if (answer.thoughts) {
            if (!answer.details) {
              answer.details = make("details");
              answer.details.append(make("summary", "", "Thoughts"), make("div"));
              answer.details.open = true;
              answer.element.prepend(answer.details);
            }
            answer.details.lastChild.textContent = answer.thoughts.trim();
            if (answer.text) answer.details.open = false;
          }
          fill(answer.body, answer.text.trimStart());
          if (follows) toEnd();
        }

        function finish(answer) {
          cancelAnimationFrame(answer.frame);
          const follows = isAtEnd();
          // As much as is there may be gone on with, also of an answer that was stopped.
          answer.text = answer.text.trim();
          draw(answer);
          answer.element.classList.remove("going");
          if (answer.element.isConnected) answer.element.append(foot(answer));
          if (answer.text) turns.push({ role: "assistant", text: answer.text });
          setGoing(null);
          if (follows) toEnd();
        }

        // The message box.

        const box = find("text");

        function fit() {
          box.style.height = "auto";
          box.style.height = box.scrollHeight + "px";
          find("send").disabled = !box.value.trim();
        }

        box.addEventListener("input", fit);
        box.addEventListener("keydown", event => {
          if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
          event.preventDefault();
          find("ask").requestSubmit();
        });
        find("ask").addEventListener("submit", event => {
          event.preventDefault();
          const text = box.value.trim();
          if (!text || going || !sampling()) return;
          // An unanswered message before is sent along with this one.
          const last = turns[turns.length - 1];
          if (last?.role === "user") last.text += "\n\n" + text;
          else turns.push({ role: "user", text });
          show("user", text);
          box.value = "";
          fit();
          reply();
        });
        find("stop").addEventListener("click", () => going?.abort());
        find("fresh").addEventListener("click", () => {
          going?.abort();
          turns = [];
          for (const turn of document.querySelectorAll(".turn")) turn.remove();
          find("empty").hidden = false;
          openPanel(false);
          box.focus();
        });
        """#
}
