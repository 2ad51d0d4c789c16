#!/usr/bin/env bash
# find_python.sh [MINOR [OLDEST]]: prints the newest Python of this machine, pyenv's included, that ansible-core runs on and that can make
# virtual environments; at most Python 3.MINOR, at least Python 3.OLDEST (3.10). A newer Python gets a newer ansible-core.
set -uo pipefail

newest=${1:-14} oldest=${2:-10}
candidates=()
for ((minor = newest; minor >= oldest; minor--)); do
  candidates+=("python3.$minor" "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$minor."*/bin/python)
done
for python in "${candidates[@]}" python3; do
  if "$python" -c "import ensurepip, venv, sys; sys.exit(not (3, $oldest) <= sys.version_info < (3, $newest + 1))" 2>/dev/null; then
    echo "$python"
    exit
  fi
done
echo "There is no suitable Python here (3.$oldest to 3.$newest, with venv). On Debian and Ubuntu: sudo apt-get install python3-venv" >&2
exit 1
