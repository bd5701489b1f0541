// SPDX-License-Identifier: Apache-2.0
// How messages look.

/// The style of messages, of Markdown in them, and of files.
enum PageMessageStyle {
    static let text = #"""
        /* Messages. Those outside the view are not laid out, so that long conversations stay fast. */
        .turn {
          margin-bottom: 16px; overflow-wrap: anywhere; content-visibility: auto;
          contain-intrinsic-size: auto 120px;
        }
        /* The end has its real height at once, so that the log can be scrolled to it. */
        .turn:nth-last-child(-n + 4) { content-visibility: visible; }
        /* Messages are clipped, and with them what lies outside. */
        .turn :focus-visible { outline-offset: -2px; }
        .turn.user { display: flex; flex-direction: column; align-items: flex-end; margin-bottom: 4px; }
        .turn.user .text {
          background: var(--mine); border-radius: 18px 18px 4px 18px; padding: 8px 14px; max-width: 85%;
          white-space: pre-wrap;
        }
        .turn .foot, .turn .live {
          display: flex; flex-wrap: wrap; align-items: center; gap: 0 2px; margin-top: 4px; min-height: 28px;
          color: var(--soft); font-size: 12.5px; font-variant-numeric: tabular-nums;
        }
        .turn .foot > span:not(.switch) { padding: 0 7px; }
        .turn .live { padding-left: 2px; }
        .turn .copy.small, .turn .foot .icon { color: var(--soft); }
        .switch { display: inline-flex; align-items: center; }
        .switch:empty { display: none; }
        .busy .again, .busy .edit, .busy .switch .icon { visibility: hidden; }
        .turn.user .foot .icon { opacity: 0; }
        .turn.user:hover .foot .icon, .turn.user:focus-within .foot .icon, .turn.user .switch .icon { opacity: 1; }
        .turn.user .switch .icon:disabled { opacity: .4; }
        @media (hover: none) { .turn.user .foot .icon { opacity: 1; } }
        .turn.editing .foot { display: none; }
        .editor { width: 100%; }
        .editor textarea {
          width: 100%; display: block; resize: none; max-height: 60vh; border-radius: 14px; padding: 8px 14px;
          border-color: var(--edge); outline-offset: -2px;
        }
        .editor .buttons { display: flex; justify-content: flex-end; gap: 14px; margin-top: 8px; }
        .thoughts {
          margin-bottom: 10px; padding-left: 12px; border-left: 2px solid var(--line); color: var(--soft);
          font-size: .95em;
        }
        .thoughts summary { cursor: pointer; width: fit-content; }
        .thoughts div { white-space: pre-wrap; margin-top: 4px; }
        .going .text:empty::after, .going .markdown > :last-child:is(p, h3, h4, h5, h6)::after,
        .going .markdown > :last-child > li:last-child > .line:last-child::after {
          content: ""; display: inline-block; width: .5em; height: 1em; margin-left: 3px;
          vertical-align: -.15em; border-radius: 2px; background: var(--accent);
          animation: blink 1s steps(2, jump-none) infinite;
        }
        @keyframes blink { to { opacity: 0; } }
        .turn .failure { margin: 4px 0; }

        /* Markdown. */
        .markdown > :first-child { margin-top: 0; }
        .markdown > :last-child { margin-bottom: 0; }
        .markdown p { margin: 0 0 .8em; white-space: pre-line; }
        .markdown :is(h3, h4, h5, h6) {
          margin: 1.2em 0 .5em; line-height: 1.3; font-weight: 650; white-space: pre-line;
        }
        .markdown .level1 { font-size: 1.45em; }
        .markdown .level2 { font-size: 1.25em; }
        .markdown .level3 { font-size: 1.1em; }
        .markdown :is(.level4, .level5, .level6) { font-size: 1em; }
        .markdown :is(ul, ol) { margin: 0 0 .8em; padding-left: 1.7em; }
        .markdown li { margin: .2em 0; }
        .markdown li :is(ul, ol) { margin: .2em 0; }
        .markdown li > p:last-child { margin-bottom: .2em; }
        .markdown li::marker { color: var(--soft); }
        .markdown .line { white-space: pre-line; }
        .markdown .task { list-style: none; }
        .markdown .task > input { margin: 0 .5em 0 -1.4em; vertical-align: -.1em; }
        .markdown blockquote {
          margin: 0 0 .8em; padding: 2px 0 2px 14px; border-left: 3px solid var(--line); color: var(--soft);
        }
        .markdown blockquote > :last-child { margin-bottom: 0; }
        .markdown hr { border: 0; border-top: 1px solid var(--line); margin: 1.2em 0; }
        .markdown a { color: var(--accent); text-underline-offset: 2px; }
        .markdown code, .chip pre, kbd {
          font: .9em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
        }
        .markdown :not(pre) > code {
          background: var(--rail); border-radius: 5px; padding: .1em .35em; white-space: pre-wrap;
        }
        .markdown .code {
          margin: 0 0 .8em; border: 1px solid var(--line); border-radius: 10px; overflow: hidden;
          background: var(--code);
        }
        .code figcaption {
          display: flex; align-items: center; justify-content: space-between; padding: 2px 4px 2px 12px;
          color: var(--soft); font-size: 12.5px; border-bottom: 1px solid var(--line); background: var(--card);
        }
        .code pre { margin: 0; padding: 10px 12px; overflow-x: auto; white-space: pre; outline-offset: -2px; }
        .markdown .table { overflow-x: auto; margin: 0 0 .8em; outline-offset: -2px; }
        .markdown table { border-collapse: collapse; font-size: .95em; }
        .markdown :is(th, td) {
          border: 1px solid var(--line); padding: 5px 10px; text-align: left; vertical-align: top;
          min-width: 3em; overflow-wrap: normal;
        }
        .markdown th { background: var(--rail); font-weight: 600; }
        .markdown :is(th, td).center { text-align: center; }
        .markdown :is(th, td).right { text-align: right; font-variant-numeric: tabular-nums; }

        /* Files. */
        .files { display: flex; flex-wrap: wrap; gap: 6px; margin-bottom: 6px; max-width: 100%; }
        .turn.user .files { justify-content: flex-end; }
        .chip {
          display: flex; align-items: flex-start; border: 1px solid var(--line); border-radius: 10px;
          background: var(--card); max-width: 100%; font-size: 13px;
        }
        .chip details { min-width: 0; }
        .chip summary {
          display: flex; align-items: center; gap: 6px; padding: 5px 10px 5px 8px; cursor: pointer;
          list-style: none;
        }
        .chip summary::-webkit-details-marker { display: none; }
        .chip .picture { color: var(--accent); }
        .chip .name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; min-width: 0; }
        .chip .size { color: var(--soft); white-space: nowrap; }
        .chip pre {
          margin: 0; padding: 8px 10px; max-height: 40vh; overflow: auto; border-top: 1px solid var(--line);
          white-space: pre-wrap;
        }
        .chip .icon.small { width: 30px; height: 30px; }

        """#
}
