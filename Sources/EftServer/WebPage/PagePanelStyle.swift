// SPDX-License-Identifier: Apache-2.0
// How the panel looks.

/// The style of the server's numbers, of the settings and of the list of keys.
enum PagePanelStyle {
    static let text = #"""
        /* The panel. */
        .card {
          background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 10px 14px;
          flex: none;
        }
        .card summary {
          display: flex; justify-content: space-between; align-items: baseline; cursor: pointer;
          list-style: none; border-radius: 6px;
        }
        .card summary::-webkit-details-marker { display: none; }
        .card[open] summary { margin-bottom: 8px; }
        .card h2 { margin: 0; font-size: 14px; font-weight: 650; }
        .card h2::before {
          content: ""; display: inline-block; width: 5px; height: 5px; margin: 0 9px 2px 1px;
          border: solid var(--soft); border-width: 0 1.5px 1.5px 0; transform: rotate(-45deg);
        }
        .card[open] h2::before { transform: rotate(45deg); margin-bottom: 4px; }
        output { color: var(--soft); font-weight: 400; font-variant-numeric: tabular-nums; font-size: 13px; }
        .bar {
          display: flex; height: 16px; border-radius: 5px; overflow: hidden; background: var(--rail);
        }
        .bar i { display: block; height: 100%; flex: none; }
        .bar.thin { height: 6px; margin-top: 4px; }
        .bar.thin i { background: var(--accent); width: 0; transition: width .4s; }
        .bar #held { background: var(--ink); }
        .over i { background: var(--bad) !important; }
        .parts { list-style: none; margin: 8px 0 0; padding: 0; font-size: 13px; }
        .parts li { display: flex; align-items: center; gap: 8px; line-height: 1.65; }
        .dot { display: inline-block; width: 9px; height: 9px; border-radius: 3px; flex: none; }
        .dot.now { background: var(--ink); margin-right: 8px; }
        .parts .name { flex: 1; }
        .parts .name::first-letter { text-transform: uppercase; }
        .parts .bytes { font-variant-numeric: tabular-nums; }
        .c0 { background: #3f7ad6; } .c1 { background: #8e5bd0; } .c2 { background: #e59a2f; }
        .c3 { background: #17a384; } .c4 { background: #d9566f; } .c5 { background: #5aa7c7; }
        .c6 { background: #8a938f; } .c7 { background: #b98a5a; } .c8 { background: #6b6fd0; }
        .pairs {
          display: grid; grid-template-columns: 1fr auto; margin: 6px 0 0; font-size: 13px; line-height: 1.65;
        }
        .pairs dt { color: var(--soft); }
        .pairs dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; }
        .sum { border-top: 1px solid var(--line); padding-top: 6px; }
        .labelled { display: flex; justify-content: space-between; font-size: 13px; margin-top: 6px; }
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
        .settings label, .stacked { color: var(--soft); min-width: 0; font-size: 13px; }
        .card :is(label input, label textarea, label select) {
          display: block; width: 100%; margin-top: 2px; color: var(--ink);
        }
        .stacked { display: block; }
        .stacked textarea { resize: vertical; }
        .settings :invalid { border-color: var(--bad); }
        .settings .wide { grid-column: 1 / -1; }
        .card > .plain { font-size: 13px; margin-top: 4px; }

        /* The keys. */
        .keys {
          border: 1px solid var(--line); border-radius: 14px; padding: 0; background: var(--card);
          color: var(--ink); max-width: min(440px, 92vw); width: 100%; box-shadow: 0 12px 40px rgb(0 0 0 / 25%);
        }
        .keys::backdrop { background: rgb(0 0 0 / 40%); }
        .keys form { padding: 18px 22px; }
        .keys h2 { margin: 0 0 10px; font-size: 17px; }
        .keys dl { display: grid; grid-template-columns: 1fr auto; gap: 8px 16px; margin: 0 0 16px; }
        .keys dd { margin: 0; text-align: right; white-space: nowrap; }
        kbd {
          border: 1px solid var(--line); border-bottom-width: 2px; border-radius: 6px; padding: 1px 6px;
          background: var(--ground); font-size: 12.5px;
        }

        """#
}
