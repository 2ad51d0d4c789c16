#!/usr/bin/env bash
# molecule.sh SCENARIO [ARGUMENT...]: runs `molecule test` with a home of its own, so that two runs share neither inventory nor cache.
set -euo pipefail

cd "$(dirname "$0")/.."
ANSIBLE_HOME=$(mktemp -d)
export ANSIBLE_HOME
export ANSIBLE_COLLECTIONS_PATH=$PWD/.ansible/collections
trap 'rm -rf "$ANSIBLE_HOME"' EXIT
.venv/bin/molecule test --scenario-name "$@"
