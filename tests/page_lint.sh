#!/usr/bin/env bash
# page_lint.sh: eslint, stylelint and the unit tests of the review page's sources. What checks them is installed into
# web/review/node_modules, as package-lock.json has it, and anew where that is newer.
set -euo pipefail

cd "$(dirname "$0")/../web/review"
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  echo "Skipped: it needs Node.js and npm (Debian: nodejs, npm)."
  exit
elif ! node -e 'const [major, minor] = process.versions.node.split("."); process.exit(major * 100 + Number(minor) < 1818 ? 1 : 0)'; then
  echo "Skipped: eslint needs Node.js 18.18 or newer, and this is $(node --version)."
  exit
fi
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
  npm ci --no-audit --no-fund
fi
node_modules/.bin/eslint --max-warnings 0 .
node_modules/.bin/stylelint --max-warnings 0 review.css
node --test test/*.test.js
