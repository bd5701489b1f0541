// SPDX-License-Identifier: Apache-2.0
// What the page does: what it asks the server for.

/// The script that makes a request of a conversation: a chat, or for models without a chat template a plain transcript.
enum PageRequestScript: PageScript {
    static let name = "request.js"
    static let text = #"""
        import { messages } from "./conversation.js";
        import { find, notice } from "./dom.js";
        import { call } from "./server.js";
        import { sampling, settings } from "./settings.js";

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

        let hasTemplate = true;

        // Switches to plain transcripts for a model without a chat template, and says so once.
        export function setTemplate(isThere) {
          if (isThere === hasTemplate) return;
          hasTemplate = isThere;
          find("plain").hidden = isThere;
          if (!isThere) {
            notice("This model has no chat template, so it continues a plain transcript. "
              + "The settings have its form.", { isCalm: true });
          }
        }

        function request(conversation, nodes) {
          const body = {
            model: find("model").value || undefined, stream: true,
            stream_options: { include_usage: true, continuous_usage_stats: true }, ...sampling(),
          };
          const list = messages(conversation, nodes);
          if (hasTemplate) return { path: "v1/chat/completions", body: { ...body, messages: list } };
          const form = transcripts[settings.transcript.value];
          const first = list[0]?.role === "system" ? list.shift().content : form.system;
          body.prompt = (first ? first + "\n\n" : "") + list.map(message =>
            message.role === "user" ? form.user(message.content) : form.answer(message.content)).join("");
          if (form.stop.length) body.stop = form.stop;
          return { path: "v1/completions", body };
        }

        // Asks for the answer to messages; the response is a stream of events.
        export async function ask(conversation, nodes, signal) {
          const { path, body } = request(conversation, nodes);
          try {
            return await call(path, body, signal);
          } catch (error) {
            if (!hasTemplate || error.status !== 400 || !error.message.includes("no chat template")) {
              throw error;
            }
            setTemplate(false);
            return ask(conversation, nodes, signal);
          }
        }
        """#
}
