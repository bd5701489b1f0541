// SPDX-License-Identifier: Apache-2.0
// What the page does: answers as they come.

/// The script that asks for an answer and lets it grow in its conversation, on the screen or not.
enum PageAnswerScript: PageScript {
    static let name = "answer.js"
    static let text = #"""
        import { add, pathTo } from "./conversation.js";
        import { announce, find } from "./dom.js";
        import { save } from "./library.js";
        import { ask } from "./request.js";
        import { events, explain } from "./server.js";
        import { areValid } from "./settings.js";
        import { emit, running, state } from "./state.js";
        import { firstStatus } from "./status.js";

        // An answer that grows is kept this often, in milliseconds, so that a page that is closed loses little of it.
        const interval = 2000;

        // Asks for the message below a parent and lets it grow.
        export async function reply(conversation, parent) {
          if (state.running.has(conversation.id) || !areValid()) return;
          const node = add(conversation, parent, { role: "assistant", isOpen: true, model: find("model").value });
          const answer = {
            conversation, node, controller: new AbortController(), raw: "", reasoning: "",
            start: performance.now(), first: 0, end: 0, thought: 0, kept: performance.now(),
          };
          state.running.set(conversation.id, answer);
          emit("running");
          emit("changed", conversation);
          save(conversation);
          try {
            // It brings the defaults of sampling.
            await firstStatus;
            const response = await ask(conversation, pathTo(conversation, parent), answer.controller.signal);
            for await (const event of events(response)) take(event, answer);
          } catch (error) {
            if (error.name === "AbortError") node.end = "stopped";
            else node.failure = explain(error);
          } finally {
            finish(answer);
          }
        }

        export function stop() {
          running()?.controller.abort();
        }

        function take(event, answer) {
          const { node } = answer;
          const choice = event.choices?.[0];
          if (event.usage) {
            node.usage = {
              prompt: event.usage.prompt_tokens, completion: event.usage.completion_tokens,
              cached: event.usage.prompt_tokens_details?.cached_tokens ?? 0,
            };
          }
          if (!choice) return;
          const text = (choice.delta ? choice.delta.content : choice.text) ?? "";
          const reasoning = choice.delta?.reasoning ?? "";
          if (choice.finish_reason) node.end = choice.finish_reason;
          if (!text && !reasoning) return;
          answer.end = performance.now();
          answer.first ||= answer.end;
          answer.raw += text;
          answer.reasoning += reasoning;
          divide(answer);
          measure(answer);
          emit("grown", node);
          if (answer.end - answer.kept > interval) {
            answer.kept = answer.end;
            save(answer.conversation);
          }
        }

        // Separates thoughts from the answer: the server does it when it knows the model's form, and the most common form
        // is recognized here.
        function divide(answer, isWhole = false) {
          const [open, close] = ["<think>", "</think>"];
          const { node } = answer;
          let text = answer.raw.replaceAll("\r\n", "\n").trimStart();
          let thoughts = answer.reasoning;
          if (text.startsWith(open)) {
            const end = text.indexOf(close);
            thoughts += text.slice(open.length, end < 0 ? undefined : end);
            text = end < 0 ? "" : text.slice(end + close.length).trimStart();
          } else if (!isWhole && open.startsWith(text)) {
            text = "";
          }
          node.text = text;
          thoughts = thoughts.trim();
          if (thoughts) {
            node.thoughts = thoughts;
            if (!text) node.thinking = (answer.end - answer.first) / 1000;
          }
        }

        // How fast it came. Answers that come all at once say nothing about the speed.
        function measure({ node, start, first, end }) {
          node.delay = (first - start) / 1000;
          const seconds = (end - first) / 1000;
          const count = node.usage?.completion ?? 0;
          node.speed = count > 1 && seconds > 0.25 ? (count - 1) / seconds : 0;
        }

        function finish(answer) {
          const { conversation, node } = answer;
          if (answer.first) divide(answer, true);
          // As much as is there may be continued, also of an answer that was stopped.
          node.text = node.text.trim();
          if (answer.first) measure(answer);
          delete node.isOpen;
          conversation.updated = Date.now();
          state.running.delete(conversation.id);
          if (conversation === state.conversation) announce(node.failure ?? (node.text || "The answer is empty."));
          emit("changed", conversation);
          emit("running");
          save(conversation);
        }
        """#
}
