#!/usr/bin/env bash
# types.sh: mypy, as pyproject.toml has it, on the plugins and the tests. Each folder of tests has a run of its own, as it has with pytest:
# several have a conftest, and each imports its own files by their bare names.
set -euo pipefail

cd "$(dirname "$0")/.."
mypy .ansible/collections/ansible_collections/mobius/dhash/plugins tests/support
for folder in unit bench integration crash review monitoring; do
  MYPYPATH=tests/$folder mypy "tests/$folder"
done
