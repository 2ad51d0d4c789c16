# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The body of the review page, without its data: what the script fills.

A raw string, because a module's program ships Python files only.
"""

from __future__ import annotations

MARKUP = r"""
<a class="skip" href="#work">Skip to the pair</a>

<header class="top">
  <div class="title">
    <h1>Likely duplicates</h1>
    <p id="about"></p>
  </div>
  <div class="progress">
    <progress id="progress" aria-label="Decided pairs" max="1" value="0"></progress>
    <p id="counts"></p>
  </div>
  <div class="tools" role="group" aria-label="The whole queue">
    <button type="button" id="show-overview" class="narrow" aria-expanded="false" aria-controls="overview">List</button>
    <button type="button" data-command="undo">Undo</button>
    <button type="button" data-command="redo">Redo</button>
    <button type="button" data-command="bulk">Accept many…</button>
    <button type="button" data-command="load">Load…</button>
    <button type="button" data-command="export" class="main">Export…</button>
    <button type="button" data-command="theme" id="theme">Theme</button>
    <button type="button" data-command="help">Help</button>
  </div>
</header>

<p id="warning" class="warning" role="alert" hidden></p>
<noscript><p class="warning">This page needs JavaScript to show the pairs.</p></noscript>

<div class="columns">
  <nav id="overview" aria-label="All pairs">
    <form id="filters" role="search" aria-label="Filter and sort the pairs">
      <label class="wide">Text in the path
        <input type="search" id="filter-text" autocomplete="off" spellcheck="false"></label>
      <label>Show
        <select id="filter-status">
          <option value="all">All pairs</option>
          <option value="pending">Undecided</option>
          <option value="duplicate">Duplicates</option>
          <option value="different">Different</option>
          <option value="skipped">Skipped</option>
          <option value="trouble">With warnings</option>
        </select>
      </label>
      <label>Sort by
        <select id="sort">
          <option value="queue">Order of the queue</option>
          <option value="confidence">Confidence</option>
          <option value="distance">Distance</option>
          <option value="cluster">Cluster size</option>
          <option value="path">Path</option>
        </select>
      </label>
      <fieldset>
        <legend>Confidence, %</legend>
        <label>from <input type="number" id="filter-from" min="0" max="100" step="any" value="0"></label>
        <label>to <input type="number" id="filter-to" min="0" max="100" step="any" value="100"></label>
      </fieldset>
      <label class="check"><input type="checkbox" id="backwards"> Backwards</label>
    </form>
    <p id="shown" class="quiet"></p>
    <div id="list" role="listbox" tabindex="0" aria-label="Pairs"><div role="presentation" id="list-space"></div></div>
  </nav>

  <main id="work" tabindex="-1">
    <section id="pair" aria-labelledby="pair-title">
      <div class="head">
        <div>
          <h2 id="pair-title"></h2>
          <p id="pair-facts" class="quiet"></p>
        </div>
        <div class="tools" role="group" aria-label="How the pair is shown">
          <button type="button" data-command="cluster" id="open-cluster">Cluster</button>
          <button type="button" data-command="difference" aria-pressed="false">Difference</button>
          <button type="button" data-command="zoom" aria-pressed="false">Zoom</button>
          <button type="button" data-command="zoom-out" aria-label="Zoom out">−</button>
          <button type="button" data-command="zoom-in" aria-label="Zoom in">+</button>
        </div>
      </div>
      <p id="pair-warning" class="warning" hidden></p>
      <div id="stage" class="stage">
        <div class="pane" id="pane-left"></div>
        <div class="pane" id="pane-right"></div>
        <div class="pane difference" id="pane-difference" role="group" aria-label="Difference" hidden></div>
      </div>
      <div class="captions">
        <section id="facts-left" aria-label="Left image"></section>
        <section id="facts-right" aria-label="Right image"></section>
      </div>
      <div class="decisions" role="group" aria-label="Decision">
        <button type="button" data-command="left" aria-pressed="false">Keep left</button>
        <button type="button" data-command="both" aria-pressed="false">Different: keep both</button>
        <button type="button" data-command="right" aria-pressed="false">Keep right</button>
      </div>
      <div class="below">
        <p id="proposal"></p>
        <div class="tools" role="group" aria-label="Move on">
          <button type="button" data-command="accept">Accept</button>
          <button type="button" data-command="skip" aria-pressed="false">Skip</button>
          <button type="button" data-command="previous">Previous</button>
          <button type="button" data-command="next">Next</button>
        </div>
      </div>
      <div class="note">
        <label for="note">Note</label>
        <textarea id="note" rows="1" aria-describedby="note-help" placeholder="For whoever reads this later"></textarea>
        <span id="note-help" class="quiet">Key m; Escape leaves it</span>
      </div>
    </section>

    <section id="cluster" aria-labelledby="cluster-title" hidden>
      <div class="head">
        <div>
          <h2 id="cluster-title"></h2>
          <p id="cluster-facts" class="quiet"></p>
        </div>
        <div class="tools" role="group" aria-label="Decision on the whole cluster">
          <button type="button" data-command="accept">Accept proposals</button>
          <button type="button" data-command="both" data-keys="b">All different</button>
          <button type="button" data-command="skip">Skip all</button>
          <button type="button" data-command="previous">Previous</button>
          <button type="button" data-command="next">Next</button>
          <button type="button" data-command="cluster">Back to the pair</button>
        </div>
      </div>
      <p id="cluster-warning" class="warning" hidden></p>
      <ol id="cards" class="cards"></ol>
      <div class="tools" id="card-pages" role="group" aria-label="More of this cluster" hidden>
        <button type="button" data-command="earlier-images">Earlier images</button>
        <button type="button" data-command="later-images">Later images</button>
      </div>
      <table class="pairs">
        <caption id="cluster-pairs"></caption>
        <thead><tr><th scope="col">Images</th><th scope="col">Distance</th><th scope="col">Confidence</th>
          <th scope="col">Decision</th><th scope="col"><span class="unseen">Show</span></th></tr></thead>
        <tbody id="cluster-rows"></tbody>
      </table>
    </section>

    <section id="nothing" hidden>
      <h2>No pair to show</h2>
      <p id="nothing-reason"></p>
      <button type="button" data-command="clear-filters">Show all pairs</button>
    </section>
  </main>
</div>

<footer><p id="status" role="status" aria-live="polite"></p></footer>

<dialog id="bulk" aria-labelledby="bulk-title">
  <form method="dialog">
    <h2 id="bulk-title">Accept many proposals at once</h2>
    <p>Undecided pairs at or above this confidence are decided as proposed. It is one step: Undo takes it back.</p>
    <div class="fields">
      <label>Confidence at least, % <input type="number" id="bulk-from" min="0" max="100" step="any" value="80"></label>
      <label class="check"><input type="checkbox" id="bulk-shown"> Only pairs that the filters show</label>
    </div>
    <div id="bulk-preview" aria-live="polite">
      <p id="bulk-summary" class="summary"></p>
      <p id="bulk-warning" class="warning" hidden></p>
      <table class="pairs">
        <caption id="bulk-caption"></caption>
        <thead><tr><th scope="col">Leaves</th><th scope="col">Because this stays</th>
          <th scope="col" class="figure">Confidence</th></tr></thead>
        <tbody id="bulk-rows"></tbody>
      </table>
    </div>
    <div class="tools end">
      <button type="button" data-close>Cancel</button>
      <button type="submit" value="accept" id="bulk-accept" class="main">Accept</button>
    </div>
  </form>
</dialog>

<dialog id="export" aria-labelledby="export-title">
  <form method="dialog">
    <h2 id="export-title">Export the decisions</h2>
    <p id="export-summary" class="summary"></p>
    <p id="export-warning" class="warning" hidden></p>
    <ul id="export-troubles"></ul>
    <p class="quiet">The file is the queue with your decisions filled in. <code>review_import</code> takes it, and
      this page can load it again.</p>
    <div class="tools end">
      <button type="button" data-close>Cancel</button>
      <button type="submit" value="download" id="export-download" class="main">Download</button>
    </div>
  </form>
</dialog>

<dialog id="help" aria-labelledby="help-title">
  <form method="dialog">
    <h2 id="help-title" tabindex="-1" autofocus>Keys</h2>
    <p id="instructions"></p>
    <dl id="keys"></dl>
    <label class="check"><input type="checkbox" id="single-keys" checked> Single keys decide and move
      (off: only Ctrl+Z, Ctrl+Y and the buttons)</label>
    <div class="tools end"><button type="button" data-close class="main">Close</button></div>
  </form>
</dialog>

<input type="file" id="file" accept=".json,application/json" aria-label="A file of decisions" hidden>
"""
