#!/usr/bin/env bash
# types.sh: mypy, as pyproject.toml has it, on the plugins.
set -euo pipefail

cd "$(dirname "$0")/.."
mypy .ansible/collections/ansible_collections/mobius/dhash/plugins
