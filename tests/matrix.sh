#!/usr/bin/env bash
# matrix.sh [CORE...]: runs the tests that are marked `matrix` with each version of ansible-core that the collection supports, or with those
# named. The rows below cover each Python of the controller, a user who is not root, and the oldest Python, Pillow and numpy of a host. It
# prints a table, and keeps what the tests said in test-results/matrix-*.log. MATRIX_TESTS are other tests to run, whatever their marks:
# MATRIX_TESTS=tests/integration for all.
set -euo pipefail

cd "$(dirname "$0")/.."
# ansible-core; the newest Python 3.N of the controller; who runs it (nobody: left out where the caller is not root); the Python of the host:
# "own" is the controller's with the newest Pillow and numpy, "oldest" has the oldest ones, "system" is /usr/bin/python3 with its packages.
rows=(
  "2.17 10 caller own"
  "2.17 12 nobody own"
  "2.18 11 caller own"
  "2.19 13 caller own"
  "2.20 12 caller own"
  "2.21 13 caller own"
  "2.22 14 caller own"
  "2.22 14 nobody own"
  "2.22 14 caller oldest"
  "2.22 14 caller system"
)
export PIP_DISABLE_PIP_VERSION_CHECK=1
unset PYTHONUNBUFFERED # it has Python read a module that Ansible pipes to it byte by byte

scratch=$(mktemp -d)
homes=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")") # in memory an fsync costs nothing
trap 'rm -rf "$scratch" "$homes" || true' EXIT
chmod 755 "$scratch" "$homes"
mkdir -p test-results
tests/copy_checkout.sh "$scratch"
checkout=$scratch/ansible_collections/mobius/dhash
git init --quiet "$checkout" # the tarball is made from what git would track
make --no-print-directory -C "$checkout" .ansible/collections/ansible_collections/mobius/dhash
grep --no-filename '^Pillow\|^numpy\|^ffmpeg-python\|^pytest' requirements.txt requirements-demo.txt requirements-dev.txt >"$scratch/requirements.txt"

as_nobody() {
  setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}

provide() { # CORE MINOR: installs its newest final release, or a pre-release where there is none, into a virtual environment of that Python
  local python prefix name
  python=$(tests/find_python.sh "$2") || return
  name=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  bin=$scratch/$name/bin
  export LD_LIBRARY_PATH=$scratch/base-$name/lib # where pyenv has built Python as a shared library, and it is copied
  if [ ! -e "$bin" ]; then
    if [ "$(id -u)" -eq 0 ] && ! as_nobody "$python" -c '' 2>/dev/null; then # pyenv's, in the home of root
      prefix=$("$python" -c 'import sys; print(sys.base_prefix)')
      cp -r "$prefix" "$scratch/base-$name"
      python=$scratch/base-$name/bin/python3
    fi
    "$python" -m venv "$scratch/$name" && "$bin/pip" install --quiet --requirement "$scratch/requirements.txt" || return
  fi
  "$bin/pip" install --quiet "ansible-core~=$1.0" || "$bin/pip" install --quiet "ansible-core~=$1.0b1"
}

provide_host() { # KIND: the Python of the managed host, whose modules the tests can also run by themselves
  local python options=() site
  if [ "$1" = own ]; then
    host_python=$bin/python
    return
  fi
  host_python=$scratch/host-$1/bin/python
  if [ "$1" = oldest ]; then
    python=$(tests/find_python.sh 9 9) || return
  else
    python=/usr/bin/python3 options=(--system-site-packages)
  fi
  "$python" -m venv --clear "${options[@]}" "$scratch/host-$1" || return
  if [ "$1" = oldest ]; then "$host_python" -m pip install --quiet 'Pillow~=9.0.0' 'numpy~=1.24.0' || return; fi
  "$host_python" -c 'import numpy, PIL' || return
  site=$("$host_python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  ln -s "$("$bin/python" -c 'import ansible, os; print(os.path.dirname(ansible.__file__))')" "$site/ansible"
}

run() { # CORE USER HOST: runs the tests as this user, and adds a row to the table
  local name=$1-$2-$3 as=() started=$SECONDS versions result
  local home=$homes/$name log=test-results/matrix-$1-$2-$3.log
  mkdir "$home"
  if [ "$2" = nobody ]; then
    as=(as_nobody)
    chown -R 65534:65534 "$home" "$checkout"
  fi
  versions=$("$bin/python" -c 'import ansible.release, platform; print(ansible.release.__version__, "|", platform.python_version())')
  versions+=" | $([ "$2" = caller ] && id -un || echo "$2") | "
  versions+=$("$host_python" -c 'import numpy, PIL, platform; print(platform.python_version(), "|", PIL.__version__, "|", numpy.__version__)')
  (cd "$checkout" && HOME=$home TMPDIR=$home HOST_PYTHON=$host_python \
    "${as[@]}" "$bin/python" -m pytest "${tests[@]}" -q -n auto --dist loadfile -p no:cacheprovider --durations=10 --durations-min=1) >"$log" 2>&1 || status=1
  if [ "$2" = nobody ]; then chown -R "$(id -u):$(id -g)" "$checkout"; fi
  rm -rf "$home" || true # what a test left running may still write there, and the next row runs all the same
  result=$(tail -n 1 "$log" | sed 's/ in [0-9].*//')
  echo "| $versions | $result |" >>"$scratch/table"
  echo "| $versions | $result, $((SECONDS - started)) s"
}

if [ -n "${MATRIX_TESTS:-}" ]; then
  read -ra tests <<<"$MATRIX_TESTS"
else
  tests=(-m matrix tests/unit/test_collection.py tests/unit/test_failed_task.py tests/unit/test_variables.py tests/integration)
fi
printf '| %s ' ansible-core Python 'run by' "host's Python" Pillow numpy result >"$scratch/table"
printf '|\n|%s\n' ' --- | --- | --- | --- | --- | --- | --- |' >>"$scratch/table"
status=0
for row in "${rows[@]}"; do
  read -r core minor user host <<<"$row"
  [ $# -eq 0 ] || [[ " $* " == *" $core "* ]] || continue
  [ "$user" != nobody ] || [ "$(id -u)" -eq 0 ] || continue
  if provide "$core" "$minor" >"test-results/matrix-$core.log" 2>&1 && provide_host "$host" >>"test-results/matrix-$core.log" 2>&1; then
    run "$core" "$user" "$host"
  else
    tail -n 5 "test-results/matrix-$core.log"
    echo "| $core | | $user | $host | | | not run: it could not be installed |" | tee -a "$scratch/table"
    status=1
  fi
done
echo
tee test-results/matrix.md <"$scratch/table"
exit $status
