// SPDX-License-Identifier: Apache-2.0
// What the page does: its settings, its models, and its talk with the server.

/// The page's script, in the order of its parts. All text from the server is put into the page as text, never as HTML.
enum PageScript {
    static let text = base + PageChatScript.text + PageStatusScript.text

    private static let base = #"""
        "use strict";
        const find = id => document.getElementById(id);
        const make = (name, kind, text) => {
          const element = document.createElement(name);
          if (kind) element.className = kind;
          if (text !== undefined) element.textContent = text;
          return element;
        };
        const settings = find("settings").elements;

        // Requests. Addresses are relative, so that the page works below any path of a proxy.

        class Failure extends Error {
          constructor(status, message, parameter) {
            super(message);
            this.status = status;
            this.parameter = parameter;
          }
        }

        async function call(path, body, signal) {
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
          throw new Failure(
            answer.status, error?.message ?? `the server answered ${answer.status}`, error?.param);
        }

        // The events of an answer, as they come.
        async function* events(answer) {
          const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
          let rest = "";
          try {
            for (;;) {
              const { done, value } = await reader.read();
              if (done) return;
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

        // A line above the message box.
        function notice(text, isCalm) {
          const line = find("notice");
          line.textContent = text ?? "";
          line.hidden = !text;
          line.classList.toggle("calm", Boolean(isCalm));
        }

        function explain(error) {
          if (error.status === 401) return "This server needs an API key: see the settings.";
          if (error instanceof TypeError) return "The server cannot be reached.";
          return error.message;
        }

        // Models.

        async function loadModels() {
          try {
            const list = await (await call("v1/models")).json();
            const chosen = find("model").value || remembered.model;
            find("model").replaceChildren(...list.data.map(model => {
              const option = make("option", "", model.id + (model.parent ? " (adapter)" : ""));
              option.value = model.id;
              option.selected = model.id === chosen;
              return option;
            }));
            if (!find("notice").classList.contains("calm")) notice();
          } catch (error) {
            notice(explain(error));
            if (error.status === 401) openPanel(true), find("key").focus();
          }
        }

        // Settings stay in this browser; the key stays in this tab, until it is closed.

        const store = {
          read(area, name) {
            try { return area().getItem(name); } catch { return null; }
          },
          write(area, name, value) {
            try { area().setItem(name, value); } catch {}
          },
        };
        const [forever, tab] = [() => localStorage, () => sessionStorage];
        let remembered = {};
        try {
          remembered = JSON.parse(store.read(forever, "eft.settings") ?? "{}") ?? {};
        } catch {}
        const names = ["system", "temperature", "max_tokens", "top_p", "top_k", "min_p", "seed",
          "transcript"];
        for (const name of names) if (remembered[name]) settings[name].value = remembered[name];
        find("key").value = store.read(tab, "eft.key") ?? "";

        function remember() {
          const values = { model: find("model").value };
          for (const name of names) values[name] = settings[name].value;
          store.write(forever, "eft.settings", JSON.stringify(values));
        }
        find("settings").addEventListener("input", remember);
        find("settings").addEventListener("submit", event => event.preventDefault());
        find("model").addEventListener("change", remember);
        find("key").addEventListener("change", () => {
          store.write(tab, "eft.key", find("key").value.trim());
          loadModels();
          watch();
        });

        // The settings as a request has them; what is empty is left to the server.
        function sampling() {
          const chosen = {};
          for (const name of ["temperature", "top_p", "top_k", "min_p", "seed", "max_tokens"]) {
            const field = settings[name];
            if (!field.checkValidity()) {
              openPanel(true);
              field.reportValidity();
              return null;
            }
            if (field.value !== "") chosen[name] = Number(field.value);
          }
          chosen.max_tokens ??= 512;
          return chosen;
        }

        // The side, which a phone shows in the place of the chat.
        function openPanel(isOpen) {
          find("side").classList.toggle("open", isOpen);
          find("panel").setAttribute("aria-expanded", String(isOpen));
          find("panel").textContent = isOpen ? "Chat" : "Panel";
        }
        find("panel").addEventListener("click", () =>
          openPanel(!find("side").classList.contains("open")));

        // A link sends no key, so the description is fetched first.
        find("document").addEventListener("click", async event => {
          event.preventDefault();
          try {
            const text = JSON.stringify(await (await call("openapi.json")).json(), null, 2);
            const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
            open(address, "_blank", "noopener");
            setTimeout(() => URL.revokeObjectURL(address), 60000);
          } catch (error) {
            notice(explain(error));
          }
        });

        """#
}
