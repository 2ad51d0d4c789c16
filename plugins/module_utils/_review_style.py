# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The review page's style: light and dark, wide and narrow, colours with contrast AA in both.

A raw string, because a module's program ships Python files only.
"""

from __future__ import annotations

STYLE = r"""
:root {
  color-scheme: light dark;
  --page: light-dark(#f3f4f6, #14171b);
  --surface: light-dark(#ffffff, #1d2126);
  --sunken: light-dark(#e9ebee, #0d0f12);
  --text: light-dark(#1b2026, #e8ebef);
  --quiet: light-dark(#59626c, #a2abb6);
  --line: light-dark(#d9dde2, #343a42);
  --edge: light-dark(#7b858f, #78828d);
  --accent: light-dark(#0b57a4, #85bcf7);
  --on-accent: light-dark(#ffffff, #0b1a2b);
  --chosen: light-dark(#e1edfa, #1c3148);
  --keep: light-dark(#13643a, #74d79a);
  --on-keep: light-dark(#ffffff, #06200f);
  --leave: light-dark(#a3261c, #ff9d92);
  --on-leave: light-dark(#ffffff, #2b0805);
  --warning: light-dark(#fdf1d8, #372b10);
  --on-warning: light-dark(#5c3d00, #f5d58c);
  --mark: light-dark(#fbe6a2, #5a4814);
  font: 15px/1.45 system-ui, "Segoe UI", "Noto Sans", "Liberation Sans", sans-serif;
}
:root[data-theme="light"] { color-scheme: light; }
:root[data-theme="dark"] { color-scheme: dark; }

* { box-sizing: border-box; }
[hidden] { display: none !important; }
body {
  margin: 0; height: 100dvh; display: flex; flex-direction: column;
  background: var(--page); color: var(--text);
}
h1, h2, h3, p, dl, dd, ol, ul, figure { margin: 0; }
h1 { font-size: 1.05rem; }
h2 { font-size: 1.15rem; }
h3 { font-size: 1rem; overflow-wrap: anywhere; white-space: pre-wrap; }
bdi { overflow-wrap: anywhere; white-space: pre-wrap; }
.quiet { color: var(--quiet); font-size: .87rem; }
.unseen { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden; }
.skip {
  position: absolute; left: .5rem; top: -4rem; z-index: 3; padding: .5rem 1rem; background: var(--surface);
  color: var(--accent);
}
.skip:focus { top: .5rem; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
main:focus-visible { outline-offset: -3px; }

button, select, input, textarea { font: inherit; color: inherit; }
button {
  display: inline-flex; align-items: center; justify-content: center; gap: .5em; min-height: 2.2rem; padding:
  .2rem .75rem;
  border: 1px solid var(--edge); border-radius: 6px; background: var(--surface); cursor: pointer; white-space: nowrap;
}
button:hover { background: var(--chosen); }
button[aria-pressed="true"] {
  background: var(--chosen); border-color: var(--accent); box-shadow: inset 0 0 0 1px var(--accent);
}
button[aria-disabled="true"], button:disabled {
  color: var(--quiet); border-style: dashed; cursor: default; background: none;
}
button.main { background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
button.main:disabled { background: none; color: var(--quiet); }
input, select, textarea {
  min-height: 2.2rem; padding: .2rem .5rem; border: 1px solid var(--edge); border-radius: 6px; background:
  var(--surface);
}
input[type="checkbox"] { min-height: 0; width: 1.1rem; height: 1.1rem; margin: 0; accent-color: var(--accent); }
textarea { resize: vertical; }
kbd {
  min-width: 1.5em; padding: 0 .35em; border: 1px solid currentcolor; border-radius: 4px;
  font: .8em/1.5 ui-monospace, "DejaVu Sans Mono", monospace; text-align: center;
}
code { font: .92em ui-monospace, "DejaVu Sans Mono", monospace; }
mark { background: var(--mark); color: inherit; border-radius: 2px; }
.tools { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center; }
.tools.end { justify-content: flex-end; }
.warning {
  padding: .5rem .8rem; border-radius: 6px; background: var(--warning); color: var(--on-warning);
  overflow-wrap: anywhere;
}
#warning { margin: .6rem 1rem 0; }

.top {
  display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; align-items: center; padding: .6rem 1rem;
  background: var(--surface); border-bottom: 1px solid var(--line);
}
.title { flex: 1 1 20rem; min-width: 0; }
#about { color: var(--quiet); font-size: .87rem; overflow-wrap: anywhere; }
.progress { display: grid; gap: .15rem; width: 11rem; }
.top .tools { font-size: .93rem; }
.progress p { color: var(--quiet); font-size: .87rem; font-variant-numeric: tabular-nums; }
progress {
  appearance: none; width: 100%; height: .5rem; border: 1px solid var(--edge); border-radius: .25rem;
  background: var(--surface); overflow: hidden;
}
progress::-webkit-progress-bar { background: var(--surface); }
progress::-webkit-progress-value { background: var(--accent); }
progress::-moz-progress-bar { background: var(--accent); }
.narrow { display: none; }

.columns { flex: 1; min-height: 0; display: grid; grid-template-columns: 24rem minmax(0, 1fr); }
#overview {
  display: flex; flex-direction: column; min-height: 0; border-right: 1px solid var(--line); background:
  var(--surface);
}
#filters { display: grid; grid-template-columns: 1fr 1fr; gap: .6rem; padding: .8rem 1rem .4rem; }
#filters label { display: grid; gap: .15rem; font-size: .87rem; color: var(--quiet); min-width: 0; }
#filters .wide, #filters fieldset { grid-column: 1 / -1; }
#filters fieldset { display: flex; gap: .9rem; align-items: center; border: 0; padding: 0; margin: 0; }
#filters legend { float: left; padding: 0; font-size: .87rem; color: var(--quiet); }
#filters fieldset label { display: flex; align-items: center; gap: .4rem; }
#filters input, #filters select { color: var(--text); min-width: 0; width: 100%; }
#filters input[type="number"] { width: 4.6rem; }
label.check, #filters label.check { display: flex; align-items: center; gap: .5rem; }
#filters label.check input { width: 1.1rem; }
#shown { padding: .2rem 1rem .5rem; border-bottom: 1px solid var(--line); }
#list { flex: 1; min-height: 8rem; overflow-y: auto; overscroll-behavior: contain; contain: strict; }
#list:focus-visible { outline-offset: -3px; }
#list-space { position: relative; overflow: hidden; }
.row {
  position: absolute; inset: 0 0 auto 0; height: 64px; display: grid; grid-template-columns: auto minmax(0, 1fr) auto;
  gap: .7rem; align-items: center; padding: 0 1rem 0 .8rem; border-bottom: 1px solid var(--line);
  border-left: 4px solid transparent; cursor: pointer; contain: strict;
}
.row:hover { background: var(--page); }
.row[aria-selected="true"] { background: var(--chosen); border-left-color: var(--accent); }
.thumbs { display: flex; gap: 2px; width: 90px; height: 44px; }
.thumb { width: 44px; height: 44px; object-fit: cover; border-radius: 3px; background: var(--sunken); }
.names, .figures { display: grid; font-size: .87rem; line-height: 1.35; }
.names bdi { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.figures { text-align: right; font-variant-numeric: tabular-nums; }
.state { color: var(--quiet); }
.row[data-decision="1"] .state, .row[data-decision="2"] .state { color: var(--keep); font-weight: 600; }
.row[data-decision="b"] .state { color: var(--text); font-weight: 600; }

main { min-width: 0; min-height: 0; overflow-y: auto; padding: .8rem 1rem; }
#pair { display: flex; flex-direction: column; gap: .7rem; min-height: 100%; }
#cluster { display: grid; gap: .8rem; }
.head { display: flex; flex-wrap: wrap; gap: .5rem 1rem; justify-content: space-between; align-items: center; }
.head > div:first-child { min-width: 0; }
h2, #pair-facts { font-variant-numeric: tabular-nums; }

.stage {
  flex: 1 1 18rem; min-height: 16rem; display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; --scale: 1;
  --x: 0%; --y: 0%;
}
.pane { position: relative; min-width: 0; overflow: hidden; border-radius: 8px; background: var(--sunken); }
.pane[data-state="Keep"]::after, .card[data-state="Stays"] .pane::after {
  content: ""; position: absolute; inset: 0; border: 3px solid var(--keep); border-radius: inherit;
  pointer-events: none;
}
.pane[data-state="Leaves"] img { opacity: .55; }
.pane img, .overlay {
  position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; user-select: none;
}
.stage .pane img { transform: translate(var(--x), var(--y)) scale(var(--scale)); transform-origin: 0 0; }
.stage.close { touch-action: none; cursor: grab; }
.pane.difference { grid-column: 1 / -1; }
.overlay { isolation: isolate; background: #000; filter: brightness(4); }
.overlay img + img { mix-blend-mode: difference; }
.badge {
  position: absolute; left: .6rem; top: .6rem; padding: .1rem .6rem; border-radius: 1rem; font-size: .87rem;
  background: var(--surface); color: var(--text); border: 1px solid var(--edge);
}
.badge.keep { background: var(--keep); border-color: var(--keep); color: var(--on-keep); font-weight: 600; }
.badge.leave { background: var(--leave); border-color: var(--leave); color: var(--on-leave); font-weight: 600; }
.placeholder {
  position: absolute; inset: 0; display: grid; place-content: center; padding: 3rem 1rem 1rem; text-align:
  center; color: var(--quiet); overflow-wrap: anywhere;
}

.captions { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
.captions section { min-width: 0; }
.captions dl { display: grid; margin-top: .2rem; font-size: .93rem; }
.captions dl div { display: grid; grid-template-columns: 6rem minmax(0, 1fr); }
dt { color: var(--quiet); }
dd { overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.same dd { color: var(--quiet); }
.captions em {
  padding: 0 .45rem; border-radius: 1rem; background: var(--chosen); color: var(--accent); font-style: normal;
  font-size: .83rem;
}

.decisions { display: grid; grid-template-columns: 1fr auto 1fr; gap: 1rem; }
.decisions button { min-height: 2.9rem; font-weight: 600; }
.below { display: flex; flex-wrap: wrap; gap: .5rem 1rem; justify-content: space-between; align-items: center; }
.below p { flex: 1 1 16rem; min-width: 0; }
.note { display: grid; grid-template-columns: auto minmax(0, 1fr) auto; gap: .6rem; align-items: center; }

.cards {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1rem; padding: 0;
  list-style: none;
}
.card {
  display: flex; flex-direction: column; gap: .15rem; min-width: 0; padding: .7rem; border: 1px solid
  var(--line); border-radius: 10px; background: var(--surface);
}
.card .pane { aspect-ratio: 4 / 3; margin-bottom: .4rem; }
.card[data-state="Leaves"] img { opacity: .55; }
.card button { margin-top: auto; }
.card .place { color: var(--quiet); }
table.pairs { width: 100%; border-collapse: collapse; font-size: .93rem; font-variant-numeric: tabular-nums; }
table.pairs caption { padding: .3rem 0; text-align: left; color: var(--quiet); }
table.pairs th, table.pairs td {
  padding: .35rem .6rem .35rem 0; border-top: 1px solid var(--line); text-align: left; vertical-align: top;
  overflow-wrap: anywhere;
}
table.pairs th { font-weight: 600; }
.figure { white-space: nowrap; }
#nothing {
  display: grid; gap: .8rem; place-content: center; justify-items: center; min-height: 60%; text-align:
  center;
}

footer { padding: .45rem 1rem; border-top: 1px solid var(--line); background: var(--surface); }
#status { min-height: 1.45em; font-size: .93rem; overflow-wrap: anywhere; }

dialog {
  width: min(46rem, calc(100vw - 2rem)); max-height: calc(100dvh - 2rem); padding: 1.3rem 1.5rem; overflow-y: auto;
  border: 1px solid var(--line); border-radius: 12px; background: var(--surface); color: var(--text);
}
dialog::backdrop { background: rgb(0 0 0 / .5); }
dialog form { display: grid; gap: .9rem; }
#help-title:focus { outline: none; }
dialog .end {
  position: sticky; bottom: -1.3rem; margin: 0 0 -1.3rem; padding: .6rem 0 1.3rem; background: var(--surface);
}
#help { width: min(62rem, calc(100vw - 2rem)); }
.fields { display: flex; flex-wrap: wrap; gap: .6rem 1.5rem; align-items: center; }
.fields input[type="number"] { width: 6rem; margin-left: .4rem; }
.summary { font-weight: 600; }
#bulk-preview { display: grid; gap: .7rem; }
#export-troubles { display: grid; gap: .5rem; padding: 0; list-style: none; }
#export-troubles:empty { display: none; }
#export-troubles li {
  display: flex; gap: 1rem; justify-content: space-between; align-items: center; overflow-wrap: anywhere;
}
#keys { columns: 2; column-gap: 2rem; }
#keys div {
  display: grid; grid-template-columns: 7.5rem minmax(0, 1fr); gap: .6rem; align-items: baseline; padding:
  .15rem 0; break-inside: avoid;
}
#keys dt { color: var(--text); }

@media (max-width: 62rem) {
  .narrow { display: inline-flex; }
  .columns { grid-template-columns: minmax(0, 1fr); position: relative; }
  #overview { display: none; }
  .overview-open #overview { display: flex; position: absolute; inset: 0; z-index: 2; border: 0; }
}
@media (max-width: 40rem) {
  .top { padding: .5rem .7rem; gap: .4rem .8rem; }
  .title { flex-basis: 9rem; }
  #about { display: none; }
  .progress { width: 9rem; }
  .tools { gap: .3rem; }
  .tools button { font-size: .87rem; }
  kbd, #note-help, .decisions kbd { display: none; }
  #keys kbd { display: inline; }
  button { padding: .2rem .5rem; }
  main { padding: .7rem; }
  .stage { gap: .4rem; flex: none; height: 11rem; min-height: 0; }
  .captions { gap: .4rem; font-size: .93rem; }
  .captions dl div { grid-template-columns: minmax(0, 1fr); margin-top: .2rem; }
  .captions dt { font-size: .8rem; }
  .decisions {
    gap: .4rem; position: sticky; bottom: 0; padding: .3rem 0; background: var(--page); grid-template-columns:
    1fr 1fr 1fr;
  }
  .decisions button { white-space: normal; line-height: 1.2; }
  .note { grid-template-columns: auto minmax(0, 1fr); }
  .cards { grid-template-columns: 1fr 1fr; gap: .5rem; }
  .card { padding: .4rem; }
  .card button { white-space: normal; }
  #keys { columns: 1; }
  #keys div { grid-template-columns: 6.5rem minmax(0, 1fr); }
  dialog { padding: 1.3rem 1rem; }
}
@media (prefers-reduced-motion: no-preference) {
  .stage .pane img { transition: transform 90ms ease-out; }
  .stage.close:active .pane img { transition: none; }
}
@media (forced-colors: active) {
  .row[aria-selected="true"], button[aria-pressed="true"] { outline: 2px solid Highlight; outline-offset: -2px; }
}
"""
