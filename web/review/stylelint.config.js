// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

export default {
  extends: "stylelint-config-recommended",
  rules: {
    // The page is one file and loads nothing but previews.
    "at-rule-disallowed-list": ["import", "font-face"],
    "function-disallowed-list": ["url", "image-set"],
    // Rules stand by what they are for, not by how narrow they are.
    "no-descending-specificity": null,
  },
};
