// SPDX-License-Identifier: Apache-2.0
// What the page does: settings and models.

/// The script for the choice of the model, for sampling settings and for the key.
enum PageSettingsScript: PageScript {
    static let name = "settings.js"
    static let text = #"""
        import { find, make, notice } from "./dom.js";
        import { openSide } from "./layout.js";
        import { call, explain } from "./server.js";
        import { emit, on, state } from "./state.js";
        import { values } from "./store.js";

        export const settings = find("settings").elements;
        const system = find("system");

        // What a field that is empty stands for when the model recommends nothing.
        const standard = { temperature: 0.8, top_p: 0.95, min_p: 0.05 };
        const longest = 2048;
        const names = ["temperature", "top_p", "top_k", "min_p", "seed", "max_tokens"];
        let defaults = {};

        // Shows in the empty fields what they stand for. A model that recommends any setting is taken at its word.
        export function setDefaults(recommended) {
          const isSilent = ["temperature", "top_p", "top_k", "min_p"].every(name => (recommended?.[name] ?? null) === null);
          defaults = isSilent ? { ...standard } : {};
          if ((recommended?.max_tokens ?? null) === null) defaults.max_tokens = longest;
          const off = { temperature: "1", top_p: "1", top_k: "off", min_p: "off", seed: "random" };
          for (const name of names) {
            settings[name].placeholder = String(defaults[name] ?? recommended?.[name] ?? off[name]);
          }
        }

        // The settings as a request has them; what the model recommends is left to the server.
        export function sampling() {
          const chosen = { max_tokens: longest, ...defaults };
          for (const name of names) if (settings[name].value !== "") chosen[name] = Number(settings[name].value);
          return chosen;
        }

        // Whether all settings can be sent; shows the first that cannot.
        export function areValid() {
          const wrong = names.map(name => settings[name]).find(field => !field.checkValidity());
          if (!wrong) return true;
          openSide(true);
          wrong.closest("details").open = true;
          wrong.reportValidity();
          return false;
        }

        // Models.

        // A model that was named by its folder's path is called by the folder's name.
        export const label = id => (/^[./~]/.test(id) ? id.replace(/\/+$/, "").split("/").at(-1) || id : id);

        let shown = "";
        let hasFailed = false;

        export async function loadModels() {
          try {
            const list = await (await call("v1/models")).json();
            const chosen = find("model").value || remembered.model;
            if (hasFailed) notice();
            hasFailed = false;
            const names = JSON.stringify(list.data.map(model => model.id));
            if (names === shown) return;
            shown = names;
            find("model").replaceChildren(...list.data.map(model => {
              const option = make("option", "", label(model.id) + (model.parent ? " (adapter)" : ""));
              option.value = model.id;
              option.selected = model.id === chosen;
              return option;
            }));
          } catch (error) {
            hasFailed = true;
            notice(explain(error));
            if (error.status === 401) {
              openSide(true);
              find("key").closest("details").open = true;
              find("key").focus();
            }
          }
        }

        // Settings stay in this browser; the key stays in this tab, until it is closed.

        let remembered = {};
        try {
          remembered = JSON.parse(values.read("browser", "eft.settings") ?? "{}") ?? {};
        } catch {}

        function remember() {
          remembered.model = find("model").value;
          for (const name of [...names, "transcript"]) remembered[name] = settings[name].value;
          values.write("browser", "eft.settings", JSON.stringify(remembered));
        }

        // The system prompt that conversations begin with.
        export const firstSystem = () => remembered.system ?? "";

        function showSystem() {
          if (system.value !== state.conversation.system) system.value = state.conversation.system;
          find("default").hidden = state.conversation.system.trim() === firstSystem();
        }

        export function startSettings() {
          for (const name of [...names, "transcript"]) if (remembered[name]) settings[name].value = remembered[name];
          find("key").value = values.read("tab", "eft.key") ?? "";
          find("settings").addEventListener("input", remember);
          find("settings").addEventListener("submit", event => event.preventDefault());
          find("reset").addEventListener("click", () => {
            for (const name of names) settings[name].value = "";
            remember();
          });
          find("model").addEventListener("change", remember);
          find("key").addEventListener("change", () => {
            values.write("tab", "eft.key", find("key").value.trim());
            loadModels();
            emit("key");
          });
          system.addEventListener("input", () => {
            state.conversation.system = system.value;
            emit("system");
            showSystem();
          });
          find("default").addEventListener("click", () => {
            remembered.system = system.value.trim();
            remember();
            showSystem();
          });
          // Adapters may have been loaded meanwhile, and a server that was not reached may be there again.
          addEventListener("focus", () => hasFailed || loadModels());
          on("reached", () => hasFailed && loadModels());
          on("shown", showSystem);
          setDefaults(null);
          showSystem();
        }
        """#
}
