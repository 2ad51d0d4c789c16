#!/usr/bin/env bash
# find_python.sh [MINOR]: prints the newest Python of this machine, pyenv's included, that ansible-core runs on and that can make virtual
# environments; at most Python 3.MINOR. A newer Python gets a newer ansible-core.
set -uo pipefail

newest=${1:-14}
candidates=()
for ((minor = newest; minor >= 10; minor--)); do
  candidates+=("python3.$minor" "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$minor."*/bin/python)
done
for python in "${candidates[@]}" python3; do
  if "$python" -c "import ensurepip, venv, sys; sys.exit(not (3, 10) <= sys.version_info < (3, $newest + 1))" 2>/dev/null; then
    echo "$python"
    exit
  fi
done
echo "There is no suitable Python here (3.10 to 3.$newest, with venv). On Debian and Ubuntu: sudo apt-get install python3-venv" >&2
exit 1
