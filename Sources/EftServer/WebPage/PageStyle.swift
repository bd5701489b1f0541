// SPDX-License-Identifier: Apache-2.0
// How the page looks.

/// The page's style: one column on a phone, three on a desk, light or dark as the system is.
enum PageStyle {
    static let text = base + PageMessageStyle.text + PagePanelStyle.text + narrow

    private static let base = #"""
        :root {
          color-scheme: light dark;
          --ground: #f7f8f7; --card: #fff; --ink: #1b211f; --soft: #5f6965; --line: #dde2df;
          --field: #fff; --accent: #0f7a61; --on-accent: #fff; --mine: #e3eeea; --bad: #b3261e;
          --bad-ground: #fcebea; --rail: #e8ecea; --code: #f0f3f1; --edge: #8a9590;
          font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
        }
        @media (prefers-color-scheme: dark) {
          :root {
            --ground: #121514; --card: #1a1f1d; --ink: #e5ebe8; --soft: #9aa6a1; --line: #2b322f;
            --field: #151917; --accent: #3fb797; --on-accent: #06231b; --mine: #1f3a32;
            --bad: #f2a49e; --bad-ground: #3a1d1b; --rail: #252c29; --code: #0e1110; --edge: #6c7773;
          }
        }
        * { box-sizing: border-box; }
        [hidden] { display: none !important; }
        html, body { height: 100%; }
        body {
          margin: 0; display: flex; flex-direction: column; height: 100dvh;
          background: var(--ground); color: var(--ink);
        }
        button, input, select, textarea { font: inherit; color: inherit; }
        :focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
        .unseen {
          position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
          white-space: nowrap;
        }
        a { color: inherit; }
        ::placeholder { color: var(--soft); opacity: 1; }
        .picture {
          width: 18px; height: 18px; flex: none; display: block; fill: none; stroke: currentColor;
          stroke-width: 1.5; stroke-linecap: round; stroke-linejoin: round;
        }

        /* Controls. */
        select, input, textarea, button {
          border: 1px solid var(--line); border-radius: 8px; background: var(--field);
          padding: 6px 10px; max-width: 100%;
        }
        select { width: 100%; text-overflow: ellipsis; }
        button { cursor: pointer; white-space: nowrap; }
        button:hover:enabled { border-color: var(--accent); }
        button:disabled { opacity: .4; cursor: default; }
        .icon {
          border-color: transparent; background: none; color: var(--soft); padding: 0; width: 34px; height: 34px;
          display: inline-grid; place-items: center; flex: none;
        }
        .icon:hover:enabled { background: var(--rail); border-color: transparent; color: var(--ink); }
        .icon.small { width: 28px; height: 28px; border-radius: 7px; }
        .icon.small .picture { width: 16px; height: 16px; }
        .main {
          background: var(--accent); color: var(--on-accent); border-color: transparent; font-weight: 600;
          padding: 6px 16px;
        }
        .plain {
          border: 0; padding: 0; background: none; color: var(--accent); text-decoration: underline;
          text-underline-offset: 3px;
        }
        .round {
          width: 34px; height: 34px; padding: 0; border: 0; border-radius: 50%; display: inline-grid;
          place-items: center; background: var(--accent); color: var(--on-accent); flex: none;
        }
        .round:disabled { background: var(--rail); color: var(--soft); opacity: 1; }
        .round.stop { background: var(--ink); color: var(--card); }
        .round .picture { stroke-width: 2; }

        /* The top. */
        header {
          display: flex; align-items: center; gap: 6px; padding: 7px 12px;
          background: var(--card); border-bottom: 1px solid var(--line);
        }
        header h1 { margin: 0 8px 0 4px; font-size: 20px; letter-spacing: -.03em; color: var(--accent); }
        .grow { flex: 1; }
        .model { min-width: 0; flex: 0 1 320px; }
        .brief {
          color: var(--soft); font-variant-numeric: tabular-nums; white-space: nowrap; font-size: 13px;
          margin-right: 6px;
        }
        .has-conversations #fresh { display: none; }
        .icon[aria-expanded="true"] { color: var(--accent); }

        /* The columns. */
        main { flex: 1; min-height: 0; display: flex; position: relative; }
        .chat { flex: 1; min-width: 0; display: flex; flex-direction: column; }
        .side, .conversations { flex: none; overflow-y: auto; display: flex; flex-direction: column; }
        .side { width: 320px; padding: 12px; border-left: 1px solid var(--line); gap: 10px; }
        .conversations {
          width: 250px; padding: 12px 10px; border-right: 1px solid var(--line); gap: 8px;
        }
        .log { flex: 1; overflow-y: auto; padding: 24px 20px 8px; outline-offset: -2px; }
        .log > *, .ask > * { max-width: 760px; margin-left: auto; margin-right: auto; }
        .empty { text-align: center; margin-top: 18vh; color: var(--soft); }
        .empty h2 { color: var(--ink); font-size: 24px; font-weight: 600; margin: 0 0 4px; }
        .hint { margin: 8px 0 0; color: var(--soft); font-size: 12.5px; line-height: 1.45; }
        .hint.foot { margin: 0; text-align: center; }

        /* The list of conversations. */
        .wide.fresh {
          display: flex; align-items: center; gap: 8px; justify-content: center; font-weight: 550;
          background: var(--card); padding: 7px;
        }
        .conversations .hint { padding: 0 8px; }
        .list { list-style: none; margin: 0; padding: 0; }
        .period { color: var(--soft); font-size: 12px; padding: 10px 8px 3px; }
        .entry {
          display: flex; align-items: center; border-radius: 8px; position: relative; padding-right: 2px;
        }
        .entry .open {
          flex: 1; min-width: 0; display: flex; align-items: center; gap: 8px; border: 0; background: none;
          padding: 6px 8px; text-align: left;
        }
        .entry .title { overflow: hidden; text-overflow: ellipsis; flex: 1; }
        .entry:hover, .entry:focus-within { background: var(--rail); }
        .entry:has([aria-current]) { background: var(--rail); font-weight: 550; }
        .entry .icon { display: none; }
        .entry:hover .icon, .entry:focus-within .icon { display: inline-grid; }
        .entry .icon:hover { background: var(--line); }
        .entry input { flex: 1; min-width: 0; padding: 5px 8px; }
        .pulse {
          width: 8px; height: 8px; border-radius: 50%; background: var(--accent); flex: none;
          animation: blink 1s steps(2, jump-none) infinite;
        }
        @media (hover: none) { .entry .icon { display: inline-grid; } }

        /* The message box. */
        .ask { padding: 8px 20px 16px; margin: 0; }
        .box {
          padding: 8px; background: var(--card); border: 1px solid var(--edge); border-radius: 16px;
          box-shadow: 0 2px 10px rgb(0 0 0 / 5%);
        }
        .box:focus-within { border-color: var(--accent); box-shadow: 0 0 0 1px var(--accent); }
        .box textarea {
          display: block; width: 100%; resize: none; border: 0; background: none; outline: 0;
          padding: 4px 8px 6px; max-height: 40vh;
        }
        .tools { display: flex; align-items: center; gap: 6px; }
        .failure, .notice {
          padding: 8px 12px; border-radius: 8px; background: var(--bad-ground); color: var(--bad);
        }
        .notice {
          margin: 0 auto 8px; display: flex; align-items: center; gap: 12px; overflow-wrap: anywhere;
        }
        .notice .icon { margin-left: auto; color: inherit; }
        .notice.calm { background: var(--rail); color: var(--ink); }
        .drop {
          position: fixed; inset: 0; z-index: 3; display: grid; place-items: center; pointer-events: none;
          background: color-mix(in srgb, var(--ground) 85%, transparent);
        }
        .drop p {
          margin: 16px; padding: 32px 48px; text-align: center; border: 2px dashed var(--accent); border-radius: 16px; font-size: 18px;
          background: var(--card);
        }

        """#

    private static let narrow = #"""

        @media (max-width: 860px) {
          :root { font-size: 16px; }
          header { padding: 6px 8px; gap: 2px; }
          .brief, header .grow, #help { display: none; }
          .has-conversations #fresh { display: inline-grid; }
          .icon { width: 40px; height: 40px; }
          .icon.small { width: 36px; height: 36px; }
          .model { flex: 1; margin: 0 4px; }
          .side, .conversations {
            position: absolute; inset: 0; width: auto; border: 0; background: var(--ground); z-index: 1;
          }
          :is(.has-conversations, .has-side) .notice {
            position: fixed; left: 10px; right: 10px; bottom: 10px; z-index: 2;
          }
          .log { padding: 16px 14px 4px; }
          .ask { padding: 6px 10px max(10px, env(safe-area-inset-bottom)); }
        }
        @media (prefers-reduced-motion: reduce) {
          * { animation: none !important; transition: none !important; }
        }
        """#
}
