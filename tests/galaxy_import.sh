#!/usr/bin/env bash
# galaxy_import.sh [URL]: builds the tarball with URL as its repository, and checks it with galaxy-importer as Galaxy does when a version is
# uploaded, but for its ansible-lint: make lint runs that on the same files, with a stricter profile. Each warning is an error.
set -euo pipefail

cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$bin/python" tests/support/build_collection.py "$scratch" "${1:-https://git.example.org/mobius/dhash}"

# The importer writes importer_result.json into the working directory, and ansible-doc and ansible-lint write into the home.
cd "$scratch"
HOME=$scratch PATH=$bin:$PATH GALAXY_IMPORTER_REQUIRE_V1_OR_GREATER=1 GALAXY_IMPORTER_CHECK_REQUIRED_TAGS=1 GALAXY_IMPORTER_RUN_ANSIBLE_LINT=False \
  "$bin/python" -m galaxy_importer.main mobius-dhash-*.tar.gz | tee import.log
if grep --line-regexp '[A-Z]*: .*' import.log; then
  echo "galaxy-importer finds fault with the tarball: see the lines above." >&2
  exit 1
fi
