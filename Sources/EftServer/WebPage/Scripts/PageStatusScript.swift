// SPDX-License-Identifier: Apache-2.0
// What the page does: the view of the memory and of the engine.

/// The part of the page's script that shows what the server is doing, every second while the page is seen.
enum PageStatusScript: PageScript {
    static let name = "status.js"
    static let text = #"""
        import { bytes, find, make, notice, number } from "./dom.js";
        import { setTemplate } from "./request.js";
        import { call, explain } from "./server.js";
        import { setDefaults } from "./settings.js";
        import { emit, on, state } from "./state.js";

        const colours = {
          "weights": 0, "adapters": 1, "activations": 2, "KV cache": 3, "workspace": 4, "I/O window": 5,
          "program": 6, "gradients": 7, "optimizer": 8,
        };
        const colour = purpose => "c" + (colours[purpose] ?? 6);

        function showMemory(memory) {
          const planned = memory.planned.reduce((sum, part) => sum + part.bytes, 0);
          const limit = memory.limit ?? Math.max(planned, memory.resident ?? 0);
          const whole = Math.max(limit, planned, 1);
          const share = count => Math.min(100, (100 * count) / whole).toFixed(2) + "%";
          find("bar").replaceChildren(...memory.planned.map(part => {
            const piece = make("i", colour(part.purpose));
            piece.style.width = share(part.bytes);
            piece.title = `${part.purpose}: ${bytes(part.bytes)}`;
            return piece;
          }));
          find("parts").replaceChildren(...memory.planned.map(part => {
            const row = make("li");
            row.append(
              make("span", "dot " + colour(part.purpose)), make("span", "name", part.purpose),
              make("span", "bytes", bytes(part.bytes)));
            return row;
          }));
          const held = memory.resident;
          find("held").style.width = held === null ? "0" : share(held);
          find("held").parentElement.classList.toggle("over", held > limit);
          find("planned").textContent = bytes(planned);
          find("resident").textContent = held === null ? "not known" : bytes(held);
          find("limit").textContent = memory.limit === null ? "none" : bytes(memory.limit);
          find("fit").textContent =
            held === null ? "" : `${Math.round((100 * held) / Math.max(limit, 1))} % held`;
          find("brief").textContent = held === null ? ""
            : bytes(held) + (memory.limit === null ? "" : ` of ${bytes(memory.limit)}`);
        }

        const speeds = Array(60).fill(0);
        let last = null;

        function showEngine(engine, context) {
          const now = performance.now();
          if (last) {
            const speed = (1000 * (engine.generated_tokens - last.tokens)) / (now - last.time);
            speeds.push(Math.max(0, speed));
            speeds.shift();
            find("speed").textContent = speed >= 100 || speed === 0 ? speed.toFixed(0) : speed.toFixed(1);
            const most = Math.max(...speeds, 1);
            find("curve").setAttribute("points", speeds.map((value, place) =>
              `${2 * (place + 1)},${(30 - (28 * value) / most).toFixed(1)}`).join(" "));
          }
          last = { time: now, tokens: engine.generated_tokens };
          find("state").textContent =
            engine.running + engine.waiting > 0 ? "working" : "idle";
          const used = engine.pages > 0 ? (100 * engine.used_pages) / engine.pages : 0;
          find("pages").style.width = used.toFixed(2) + "%";
          find("cache").textContent =
            `${used.toFixed(used < 10 ? 1 : 0)} % of ${number(engine.pages * engine.page_tokens)} tokens`;
          find("running").textContent = number(engine.running);
          find("waiting").textContent = number(engine.waiting);
          find("tokens").textContent = number(engine.held_tokens);
          find("generated").textContent = number(engine.generated_tokens);
          find("context").textContent = number(context) + " tokens";
        }

        let timer = 0;
        let settle;
        // Keeps its promise when the first status is there, when there is none, and after three seconds.
        export const firstStatus = new Promise(resolve => { settle = resolve; });

        async function watch() {
          clearTimeout(timer);
          try {
            const status = await (await call("status")).json();
            state.status = status;
            showMemory(status.memory);
            showEngine(status.engine, status.max_model_len);
            find("version").textContent = "eft " + status.version;
            setDefaults(status.sampling_defaults);
            setTemplate(status.chat_template);
            emit("reached");
          } catch (error) {
            last = null;
            find("state").textContent = error.status === 401 ? "needs a key" : "not reached";
          }
          settle();
          clearTimeout(timer);
          if (!document.hidden) timer = setTimeout(watch, 1000);
        }

        export function startStatus() {
          setTimeout(settle, 3000);
          document.addEventListener("visibilitychange", () => document.hidden || watch());
          on("key", watch);
          // A link sends no key, so the description is fetched first.
          find("document").addEventListener("click", async event => {
            event.preventDefault();
            try {
              const text = JSON.stringify(await (await call("openapi.json")).json(), null, 2);
              const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
              open(address, "_blank", "noopener");
              setTimeout(() => URL.revokeObjectURL(address), 60_000);
            } catch (error) {
              notice(explain(error));
            }
          });
          watch();
        }
        """#
}
