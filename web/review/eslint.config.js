// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import js from "@eslint/js";

const readable = (...names) => Object.fromEntries(names.map((name) => [name, "readonly"]));
const MAKES_MARKUP = "A queue holds names that anybody may have given: they become text nodes, never markup.";
const members = (...names) => names.map((property) => ({property, message: MAKES_MARKUP}));

export default [
  js.configs.recommended,
  {
    rules: {
      "eqeqeq": "error",
      "max-len": ["error", {code: 120}],
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-new-func": "error",
      "no-restricted-properties": [
        "error",
        ...members("innerHTML", "outerHTML", "insertAdjacentHTML", "setHTMLUnsafe", "createContextualFragment"),
        {object: "document", property: "write", message: MAKES_MARKUP},
        {object: "document", property: "writeln", message: MAKES_MARKUP},
      ],
      "no-restricted-syntax": ["error", {selector: "ImportExpression", message: "The page is one script."}],
      "no-script-url": "error",
      "no-unused-vars": ["error", {args: "after-used", argsIgnorePattern: "^unused$"}],
      "no-var": "error",
      "one-var": ["error", "never"],
      "prefer-const": "error",
    },
  },
  {
    // What the page takes of a browser, and nothing that asks a network.
    files: ["*.js"],
    languageOptions: {
      globals: readable(
        "Blob", "ResizeObserver", "TextEncoder", "URL", "clearTimeout", "document", "setTimeout", "window",
      ),
    },
  },
  {
    files: ["test/*.js"],
    languageOptions: {globals: readable("DOMException", "URL")},
    rules: {"no-script-url": "off"},
  },
];
