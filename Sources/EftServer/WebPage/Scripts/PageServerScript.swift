// SPDX-License-Identifier: Apache-2.0
// What the page does: requests to the server.

/// The script that sends requests with the key and reads streams. Addresses are relative, so that the page works below any
/// path of a proxy.
enum PageServerScript: PageScript {
    static let name = "server.js"
    static let text = #"""
        import { find } from "./dom.js";

        export class Failure extends Error {
          constructor(status, message) {
            super(message);
            this.status = status;
          }
        }

        export async function call(path, body, signal) {
          const headers = {};
          const key = find("key").value.trim();
          if (key) headers.Authorization = "Bearer " + key;
          if (body) headers["Content-Type"] = "application/json";
          const answer = await fetch(path, {
            method: body ? "POST" : "GET", headers, signal, cache: "no-store",
            body: body && JSON.stringify(body),
          });
          if (answer.ok) return answer;
          let error;
          try {
            error = (await answer.json()).error;
          } catch {}
          throw new Failure(answer.status, error?.message ?? `The server answered ${answer.status}.`);
        }

        // The events of a stream, as they come.
        export async function* events(answer) {
          const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
          let rest = "";
          try {
            for (;;) {
              const { done, value } = await reader.read();
              if (done) throw new Failure(0, "The connection was closed before the answer was complete.");
              rest += value;
              const lines = rest.split("\n");
              rest = lines.pop();
              for (const line of lines) {
                if (!line.startsWith("data:")) continue;
                const data = line.slice(5).trim();
                if (data === "[DONE]") return;
                const event = JSON.parse(data);
                if (event.error) throw new Failure(event.error.code, event.error.message);
                yield event;
              }
            }
          } finally {
            reader.cancel().catch(() => {});
          }
        }

        // What a person is told of an error.
        export function explain(error) {
          if (error.status === 401) return "This server needs an API key. Enter it in the settings.";
          if (error instanceof TypeError) return "The server cannot be reached. Is it still running?";
          return error.message;
        }
        """#
}
