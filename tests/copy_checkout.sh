#!/usr/bin/env bash
# copy_checkout.sh FOLDER: copies what git tracks or would track to FOLDER/ansible_collections/mobius/dhash, for tools that cannot work
# through a symbolic link or trip over .venv.
set -euo pipefail

copy=$1/ansible_collections/mobius/dhash
cd "$(dirname "$0")/.."
mkdir -p "$copy"
git ls-files -z --cached --others --exclude-standard |
  while IFS= read -rd '' file; do
    if [ -e "$file" ] || [ -L "$file" ]; then printf '%s\0' "$file"; fi # a file that was deleted and not committed yet is still listed
  done |
  tar --create --null --files-from=- | tar --extract --directory="$copy"
