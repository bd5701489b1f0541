// SPDX-License-Identifier: Apache-2.0
// How the report of a run looks.

/// The style sheet of `report.html`: light or dark as the reader's system, one column on a phone.
enum ReportStyle {
    static let css = """
        :root{color-scheme:light dark;--bg:#fff;--fg:#1b1b20;--dim:#63636e;--line:#e3e3ea;--card:#f5f5f9;\
        --one:#2459d6;--two:#c2410c;--learned:#d7f0dd}
        @media(prefers-color-scheme:dark){:root{--bg:#131316;--fg:#e8e8ee;--dim:#9a9aa6;--line:#2e2e36;\
        --card:#1c1c21;--one:#7aa2ff;--two:#ff9d5c;--learned:#173d24}}
        *{box-sizing:border-box}
        body{margin:0 auto;max-width:1080px;padding:1rem;background:var(--bg);color:var(--fg);\
        font:16px/1.5 system-ui,sans-serif}
        h1{font-size:1.6rem;margin:.5rem 0 0;overflow-wrap:anywhere}
        h2{font-size:1.15rem;margin:2rem 0 .6rem}
        .sub,footer{color:var(--dim);overflow-wrap:anywhere}
        .grid{display:grid;gap:.8rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr))}
        .tiles{display:grid;gap:.6rem;grid-template-columns:repeat(auto-fill,minmax(9.5rem,1fr));margin:1rem 0}
        .tiles div,figure,pre{background:var(--card);border:1px solid var(--line);border-radius:8px}
        .tiles div{padding:.5rem .7rem}
        .tiles b{display:block;font-size:1.1rem}
        .tiles span{color:var(--dim);font-size:.82rem}
        figure{margin:0;padding:.6rem}
        figcaption{font-size:.9rem;font-weight:600}
        figcaption span{font-weight:400;margin-left:.5rem}
        figcaption span.faint,figcaption span.strong{color:var(--one)}
        figcaption span.faint{opacity:.6}
        figcaption span.other,figcaption span.limit{color:var(--two)}
        svg{display:block;width:100%;height:auto}
        svg text{fill:var(--dim);font-size:11px}
        svg path{stroke:var(--line)}
        polyline{fill:none;stroke:var(--one);stroke-width:1.6;stroke-linejoin:round}
        polyline.faint{opacity:.5;stroke-width:1.1}
        polyline.other,polyline.limit{stroke:var(--two)}
        polyline.limit{stroke-dasharray:4 4}
        circle{fill:var(--one)}
        circle.other{fill:var(--two)}
        table{border-collapse:collapse;width:100%;font-size:.92rem}
        td{border-top:1px solid var(--line);padding:.3rem .6rem .3rem 0;vertical-align:top;overflow-wrap:anywhere}
        td:first-child{color:var(--dim);width:40%}
        pre{padding:.7rem;margin:.5rem 0;white-space:pre-wrap;overflow-wrap:anywhere;font:13px/1.5 ui-monospace,monospace}
        mark{background:var(--learned);color:inherit;border-radius:3px}
        summary{cursor:pointer;font-weight:600}
        """
}
