# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The style sheet of the page. Font sizes of the picture belong to the widths in drawing.py."""

from __future__ import annotations

CSS = """
:root {
  color-scheme: light dark;
  --paper: #f6f7fa; --card: #ffffff; --ink: #1b2430; --muted: #5b6778; --rule: #d9dee7; --code: #f0f2f6;
  --prefill: #2b66cf; --prefill-fill: #eaf1fd; --decode: #0d8064; --decode-fill: #e5f5f0; --plain: #6b4fbb; --plain-fill: #f0ecfb;
  --router: #a85b08; --router-fill: #fdf1e2; --kv: #b0318f; --bootstrap: #2b66cf; --rendezvous: #7a8699;
  --error: #c62828; --warning: #b26a00; --note: #2f6d9f; --waived: #6b7480; --on-badge: #ffffff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #12161c; --card: #1a2029; --ink: #e4e9f0; --muted: #9aa7b8; --rule: #323b48; --code: #222a35;
    --prefill: #7daaf5; --prefill-fill: #1c2a42; --decode: #56c9a9; --decode-fill: #16322b; --plain: #b39df0; --plain-fill: #2a2440;
    --router: #eea954; --router-fill: #38291a; --kv: #e583cb; --bootstrap: #7daaf5; --rendezvous: #8593a6;
    --error: #ef6d6d; --warning: #e9a944; --note: #6db3e6; --waived: #97a1ad; --on-badge: #12161c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 28px 24px 60px; max-width: 1280px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
h1 { font-size: 26px; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 19px; margin: 40px 0 12px; }
h3 { font-size: 16px; margin: 20px 0 8px; }
a { color: inherit; }
.lead { color: var(--muted); margin: 0 0 14px; }
.tiles { display: flex; flex-wrap: wrap; gap: 10px; margin: 16px 0 8px; }
.tile { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: 8px 14px; min-width: 108px; }
.tile b { display: block; font-size: 20px; line-height: 1.3; }
.tile span { color: var(--muted); font-size: 13px; }
.card {
  background: var(--card); border: 1px solid var(--rule); border-radius: 10px;
  padding: 14px 18px; margin: 10px 0; overflow-x: auto;
}
.verdict { display: inline-block; border-radius: 999px; padding: 3px 12px; font-weight: 600; color: var(--on-badge); }
.verdict.error, .mark.error { background: var(--error); } .verdict.warning, .mark.warning { background: var(--warning); }
.verdict.note, .mark.note { background: var(--note); } .mark.waived { background: var(--waived); }
.verdict.good { background: var(--decode); }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { min-width: 5em; text-align: left; vertical-align: top; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--rule); }
th { color: var(--muted); font-weight: 600; font-size: 13px; white-space: nowrap; }
tr:last-child td { border-bottom: 0; }
code, pre { font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
code { overflow-wrap: anywhere; }
pre {
  background: var(--code); border-radius: 6px; padding: 10px 12px;
  margin: 6px 0 12px; white-space: pre-wrap; overflow-wrap: anywhere;
}
details {
  background: var(--card); border: 1px solid var(--rule); border-radius: 10px;
  margin: 8px 0; padding: 0 18px; overflow-x: auto;
}
summary { cursor: pointer; padding: 10px 0; }
summary b { margin-right: 10px; }
summary span { color: var(--muted); }
details[open] { padding-bottom: 12px; }
.findings.card { list-style: none; padding: 0; }
.findings li { display: grid; grid-template-columns: 40px 1fr; padding: 10px 18px; border-bottom: 1px solid var(--rule); }
.findings li:last-child { border-bottom: 0; }
.findings li:target { background: var(--code); }
.mark {
  width: 24px; height: 24px; border-radius: 50%;
  color: var(--on-badge); text-align: center; font: 600 12px/24px system-ui, sans-serif;
}
.where { color: var(--muted); font-size: 13px; }
.unknown-value { border-bottom: 1px dashed var(--warning); color: var(--warning); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 22px; color: var(--muted); font-size: 13px; margin-top: 8px; }
.legend i { display: inline-block; width: 26px; height: 0; border-top: 2px solid; margin-right: 7px; vertical-align: middle; }
.legend i.dashed { border-top-style: dashed; } .legend i.dotted { border-top-style: dotted; }
svg { display: block; width: 100%; min-width: 860px; height: auto; }
.b { fill: var(--card); stroke: var(--rule); stroke-width: 1; }
.b.prefill { fill: var(--prefill-fill); stroke: var(--prefill); } .b.decode { fill: var(--decode-fill); stroke: var(--decode); }
.b.plain { fill: var(--plain-fill); stroke: var(--plain); } .b.router { fill: var(--router-fill); stroke: var(--router); }
.b.outside { stroke: var(--muted); } .b.rest { stroke-dasharray: 5 4; } .b.gpu { fill: var(--code); } .b.port { fill: var(--code); }
.b.rail { fill: none; stroke: var(--kv); } .b.unknown { fill: none; stroke: var(--warning); stroke-dasharray: 4 3; }
.t { fill: var(--ink); font-family: system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; font-size: 12px; }
.t.name { font-size: 14px; font-weight: 600; } .t.head { font-size: 13px; fill: var(--muted); }
.t.mono, .t.small, .t.chip { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
.t.mono { font-size: 11px; } .t.small { font-size: 9px; } .t.chip { font-size: 10px; }
.t.number { fill: var(--on-badge); font-size: 11px; font-weight: 700; }
.l { fill: none; stroke-width: 1.5; stroke-linejoin: round; }
.l.request { stroke: var(--router); } .l.kv { stroke: var(--kv); stroke-width: 2.5; }
.l.bootstrap { stroke: var(--bootstrap); stroke-dasharray: 5 4; } .l.rendezvous { stroke: var(--rendezvous); stroke-dasharray: 2 3; }
.head.request { fill: var(--router); } .head.kv { fill: var(--kv); }
.head.bootstrap { fill: var(--bootstrap); } .head.rendezvous { fill: var(--rendezvous); }
.badge.error { fill: var(--error); } .badge.warning { fill: var(--warning); } .badge.note { fill: var(--note); }
.badge.waived { fill: var(--waived); }
@media print { body { background: none; padding: 0; } details { break-inside: avoid; } }
"""
