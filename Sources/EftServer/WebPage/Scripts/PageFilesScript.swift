// SPDX-License-Identifier: Apache-2.0
// What the page does: text files in a message.

/// The script that takes text files, dropped, pasted or chosen, for the next message.
enum PageFilesScript: PageScript {
    static let name = "files.js"
    static let text = #"""
        import { bytes, find, icon, iconButton, make, notice } from "./dom.js";

        const largest = 1 << 20;
        const most = 20;
        let waiting = [];

        // The files for the next message, which takes them with it.
        export function takeFiles() {
          const files = waiting;
          waiting = [];
          show();
          return files;
        }

        export const hasFiles = () => waiting.length > 0;

        export async function attach(list) {
          const refused = [];
          for (const file of list) {
            try {
              if (waiting.length >= most) throw new Error(`is one too many: a message takes ${most} files`);
              waiting.push({ name: file.name, size: file.size, text: await read(file) });
            } catch (error) {
              refused.push(`${file.name} ${error.message}.`);
            }
          }
          notice(refused.join(" "));
          show();
        }

        // The text of a file. Refuses what is not text: zero bytes and invalid UTF-8 are signs of that.
        async function read(file) {
          if (file.size > largest) throw new Error(`has ${bytes(file.size)}; the limit is ${bytes(largest)}`);
          let content;
          try {
            content = new Uint8Array(await file.arrayBuffer());
          } catch {
            throw new Error("cannot be read; a folder's files must be added one by one");
          }
          const [first, second] = content;
          const encoding = first === 0xff && second === 0xfe ? "utf-16le"
            : first === 0xfe && second === 0xff ? "utf-16be" : "utf-8";
          let text;
          try {
            text = new TextDecoder(encoding, { fatal: true }).decode(content);
          } catch {}
          if (text === undefined || text.includes("\0")) throw new Error("is not a text file");
          if (!text.trim()) throw new Error("is empty");
          return text.replace(/\r\n?/g, "\n");
        }

        // A file as a chip, which opens to show the text.
        export function chip(file, ...buttons) {
          const summary = make("summary", "", icon("file"), make("span", "name", file.name),
            make("span", "size", bytes(file.size)));
          const details = make("details", "", summary);
          // The text of a large file becomes elements only when somebody looks.
          details.addEventListener("toggle", () => {
            if (details.open && !details.querySelector("pre")) details.append(make("pre", "", file.text));
          });
          return make("div", "chip", details, ...buttons);
        }

        function show() {
          find("files").hidden = !waiting.length;
          find("files").replaceChildren(...waiting.map(file => chip(file,
            iconButton("close", `Remove ${file.name}`, "small", () => {
              waiting = waiting.filter(other => other !== file);
              show();
              find("text").focus();
            }))));
          find("text").dispatchEvent(new Event("input"));
        }

        export function startFiles() {
          const chooser = find("chooser");
          find("attach").addEventListener("click", () => chooser.click());
          chooser.addEventListener("change", async () => {
            await attach(Array.from(chooser.files));
            // The same file may be chosen again.
            chooser.value = "";
            find("text").focus();
          });
          find("text").addEventListener("paste", event => {
            if (!event.clipboardData?.files.length) return;
            event.preventDefault();
            attach(Array.from(event.clipboardData.files));
          });
          const hasDropped = event => event.dataTransfer?.types.includes("Files");
          const cover = isShown => { find("drop").hidden = !isShown; };
          addEventListener("dragenter", event => hasDropped(event) && cover(true));
          addEventListener("dragover", event => {
            if (!hasDropped(event)) return;
            event.preventDefault();
            event.dataTransfer.dropEffect = "copy";
          });
          // Outside the window there is no element that is entered next.
          addEventListener("dragleave", event => event.relatedTarget ?? cover(false));
          addEventListener("drop", event => {
            if (!hasDropped(event)) return;
            event.preventDefault();
            cover(false);
            attach(Array.from(event.dataTransfer.files));
            find("text").focus();
          });
        }
        """#
}
