// SPDX-License-Identifier: Apache-2.0
// How the page looks.

/// The page's style: one column on a phone, two on a desk, light or dark as the system is.
enum PageStyle {
    static let text = #"""
        :root {
          color-scheme: light dark;
          --ground: #f6f7f6; --card: #fff; --ink: #1b211f; --soft: #66706c; --line: #dfe4e1;
          --field: #fff; --accent: #0f7d63; --on-accent: #fff; --mine: #e4efea; --bad: #b3261e;
          --bad-ground: #fcebea; --rail: #e9edeb; --code: #f0f3f1;
          font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
        }
        @media (prefers-color-scheme: dark) {
          :root {
            --ground: #121514; --card: #1a1f1d; --ink: #e5ebe8; --soft: #97a39e; --line: #2b322f;
            --field: #151917; --accent: #3fb797; --on-accent: #06231b; --mine: #1f3a32;
            --bad: #f2a49e; --bad-ground: #3a1d1b; --rail: #272e2b; --code: #131715;
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
        .unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }

        /* The top. */
        header {
          display: flex; align-items: center; gap: 12px; padding: 8px 16px;
          background: var(--card); border-bottom: 1px solid var(--line);
        }
        header h1 { margin: 0; font-size: 20px; letter-spacing: -.03em; color: var(--accent); }
        .grow { flex: 1; }
        .model { min-width: 0; flex: 0 1 320px; }
        .brief { color: var(--soft); font-variant-numeric: tabular-nums; white-space: nowrap; }
        select, input, textarea, button {
          border: 1px solid var(--line); border-radius: 8px; background: var(--field);
          padding: 6px 10px; max-width: 100%;
        }
        select { width: 100%; text-overflow: ellipsis; }
        button { cursor: pointer; white-space: nowrap; }
        button:hover { border-color: var(--accent); }
        .narrow { display: none; }

        /* The columns. */
        main { flex: 1; min-height: 0; display: flex; }
        .chat { flex: 1; min-width: 0; display: flex; flex-direction: column; }
        aside {
          width: 340px; flex: none; overflow-y: auto; padding: 16px; border-left: 1px solid var(--line);
          display: flex; flex-direction: column; gap: 12px;
        }
        .log { flex: 1; overflow-y: auto; padding: 24px 20px 8px; outline-offset: -2px; }
        .log > *, .ask > * { max-width: 760px; margin-left: auto; margin-right: auto; }
        .empty { text-align: center; margin-top: 18vh; color: var(--soft); }
        .empty h2 { color: var(--ink); font-size: 24px; font-weight: 600; margin: 0 0 4px; }

        /* Messages. */
        .turn { margin-bottom: 20px; overflow-wrap: anywhere; }
        .turn .text { white-space: pre-wrap; }
        .turn.user { display: flex; justify-content: flex-end; }
        .turn.user .text {
          background: var(--mine); border-radius: 16px 16px 4px 16px; padding: 8px 14px; max-width: 85%;
        }
        .turn pre {
          margin: 8px 0; padding: 10px 12px; overflow-x: auto; white-space: pre;
          background: var(--code); border: 1px solid var(--line); border-radius: 8px;
          font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
        }
        .turn details {
          margin-bottom: 8px; padding-left: 12px; border-left: 2px solid var(--line); color: var(--soft);
          white-space: pre-wrap;
        }
        .turn details summary { cursor: pointer; }
        .turn .foot {
          display: flex; flex-wrap: wrap; align-items: center; gap: 4px 12px; margin-top: 4px;
          color: var(--soft); font-size: 12.5px; font-variant-numeric: tabular-nums;
        }
        .turn .foot button {
          border: 0; padding: 0; background: none; color: inherit; text-decoration: underline;
          text-underline-offset: 3px;
        }
        .turn .foot button:hover { color: var(--accent); }
        .turn.going .text::after {
          content: ""; display: inline-block; width: .5em; height: 1em; margin-left: 2px;
          vertical-align: -.15em; border-radius: 2px; background: var(--accent);
          animation: blink 1s steps(2, jump-none) infinite;
        }
        @keyframes blink { to { opacity: 0; } }
        @media (prefers-reduced-motion: reduce) { .turn.going .text::after { animation: none; } }
        .failure, .notice {
          padding: 8px 12px; border-radius: 8px; background: var(--bad-ground); color: var(--bad);
        }
        .notice { margin: 0 auto 8px; }
        .notice.calm { background: var(--rail); color: var(--soft); }

        /* What is typed. */
        .ask { padding: 8px 20px 16px; margin: 0; }
        .box {
          display: flex; align-items: flex-end; gap: 8px; padding: 8px; background: var(--card);
          border: 1px solid var(--line); border-radius: 14px; box-shadow: 0 2px 10px rgb(0 0 0 / 5%);
        }
        .box:focus-within { border-color: var(--accent); }
        .box textarea {
          flex: 1; min-width: 0; resize: none; border: 0; background: none; outline: 0; padding: 6px 8px;
          max-height: 40vh;
        }
        .main {
          background: var(--accent); color: var(--on-accent); border-color: transparent; font-weight: 600;
          padding: 6px 16px;
        }
        .main:disabled { opacity: .45; cursor: default; }
        .main.stop { background: var(--ink); color: var(--card); }

        /* The side. */
        .card {
          background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 12px 14px;
        }
        .card h2 {
          display: flex; justify-content: space-between; align-items: baseline; margin: 0 0 8px;
          font-size: 14px; font-weight: 650;
        }
        output { color: var(--soft); font-weight: 400; font-variant-numeric: tabular-nums; }
        .bar {
          display: flex; height: 16px; border-radius: 5px; overflow: hidden; background: var(--rail);
        }
        .bar i { display: block; height: 100%; flex: none; }
        .bar.thin { height: 6px; margin-top: 4px; }
        .bar.thin i { background: var(--accent); width: 0; transition: width .4s; }
        #held { background: var(--ink); }
        .over i { background: var(--bad) !important; }
        .parts { list-style: none; margin: 10px 0 0; padding: 0; font-size: 13px; }
        .parts li { display: flex; align-items: center; gap: 8px; line-height: 1.75; }
        .dot { display: inline-block; width: 9px; height: 9px; border-radius: 3px; flex: none; }
        .dot.now { background: var(--ink); margin-right: 8px; }
        .parts .name { flex: 1; }
        .parts .name::first-letter { text-transform: uppercase; }
        .parts .bytes { font-variant-numeric: tabular-nums; }
        .c0 { background: #3f7ad6; } .c1 { background: #8e5bd0; } .c2 { background: #e59a2f; }
        .c3 { background: #17a384; } .c4 { background: #d9566f; } .c5 { background: #5aa7c7; }
        .c6 { background: #8a938f; } .c7 { background: #b98a5a; } .c8 { background: #6b6fd0; }
        .pairs {
          display: grid; grid-template-columns: 1fr auto; margin: 8px 0 0; font-size: 13px; line-height: 1.75;
        }
        .pairs dt { color: var(--soft); }
        .pairs dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; }
        .sum { border-top: 1px solid var(--line); padding-top: 6px; }
        .labelled { display: flex; justify-content: space-between; font-size: 13px; margin-top: 8px; }
        .speed { display: flex; align-items: baseline; gap: 6px; color: var(--soft); }
        .speed strong {
          color: var(--ink); font-size: 26px; line-height: 1.2; font-weight: 600;
          font-variant-numeric: tabular-nums;
        }
        .speed svg { flex: 1; height: 32px; min-width: 0; align-self: center; overflow: visible; }
        .speed polyline {
          fill: none; stroke: var(--accent); stroke-width: 1.5; vector-effect: non-scaling-stroke;
          stroke-linejoin: round;
        }
        .settings { display: grid; grid-template-columns: 1fr 1fr; gap: 8px 10px; font-size: 13px; }
        .settings label { color: var(--soft); min-width: 0; }
        .settings input, .settings textarea, .settings select {
          display: block; width: 100%; margin-top: 2px; color: var(--ink);
        }
        .settings textarea { resize: vertical; }
        .settings :invalid { border-color: var(--bad); }
        .settings .wide { grid-column: 1 / -1; }
        ::placeholder { color: var(--soft); opacity: .75; }
        .hint { margin: 8px 0 0; color: var(--soft); font-size: 12.5px; line-height: 1.45; }
        .hint.foot { margin: 0; text-align: center; }
        a { color: inherit; }

        @media (max-width: 860px) {
          :root { font-size: 16px; }
          header { padding: 8px 10px; gap: 8px; }
          .narrow { display: block; min-width: 70px; }
          .brief { display: none; }
          .grow { display: none; }
          .model { flex: 1; }
          main { position: relative; }
          aside {
            display: none; position: absolute; inset: 0; width: auto; border: 0; background: var(--ground);
            z-index: 1;
          }
          aside.open { display: flex; }
          .log { padding: 16px 14px 4px; }
          .ask { padding: 6px 10px max(10px, env(safe-area-inset-bottom)); }
        }
        """#
}
