#!/usr/bin/env bash
# matrix.sh [CORE...]: runs tests that run playbooks with each version of ansible-core that the collection supports, in the newest Python
# of this machine that the version supports; root runs those of the oldest and the newest version as nobody as well. It prints a table, and
# keeps what the tests said in test-results/matrix-*.log. MATRIX_TESTS are other tests to run: MATRIX_TESTS=tests/integration for all.
set -euo pipefail

cd "$(dirname "$0")/.."
cores=("$@")
[ ${#cores[@]} -gt 0 ] || cores=(2.17 2.18 2.19 2.20 2.21 2.22)
declare -A newest_python=([2.16]=12 [2.17]=12 [2.18]=13 [2.19]=13) # its minor version; later ones support all that find_python.sh knows
files=(dry_run migrate modules review rollback service verify)
read -ra tests <<<"${MATRIX_TESTS:-${files[*]/#/tests/integration/test_}}"
[ -n "${MATRIX_TESTS:-}" ] || tests=("${tests[@]/%/.py}")
export PIP_DISABLE_PIP_VERSION_CHECK=1

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
chmod 755 "$scratch"
mkdir -p test-results
tests/copy_checkout.sh "$scratch"
checkout=$scratch/ansible_collections/mobius/dhash
make --no-print-directory -C "$checkout" .ansible/collections/ansible_collections/mobius/dhash
grep --no-filename '^Pillow\|^numpy\|^ffmpeg-python\|^pytest' requirements.txt requirements-demo.txt requirements-dev.txt >"$scratch/requirements.txt"

as_nobody() {
  setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}

provide() { # CORE: installs its newest final release, or a pre-release where there is none, into the virtual environment of its Python
  local python prefix name
  python=$(tests/find_python.sh "${newest_python[$1]:-}") || return
  name=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  bin=$scratch/$name/bin
  if [ ! -e "$bin" ]; then
    if [ "$(id -u)" -eq 0 ] && ! as_nobody "$python" -c '' 2>/dev/null; then # pyenv's, in the home of root
      prefix=$("$python" -c 'import sys; print(sys.base_prefix)')
      cp -r "$prefix" "$scratch/base-$name"
      export LD_LIBRARY_PATH=$scratch/base-$name/lib # where pyenv has built it as a shared library
      python=$scratch/base-$name/bin/python3
    fi
    "$python" -m venv "$scratch/$name" && "$bin/pip" install --quiet --requirement "$scratch/requirements.txt" || return
  fi
  "$bin/pip" install --quiet "ansible-core~=$1.0" || "$bin/pip" install --quiet "ansible-core~=$1.0b1"
}

run() { # CORE USER: adds a row to the table
  local log=test-results/matrix-$1-$2.log home=$scratch/home-$1-$2 as=() started=$SECONDS versions result
  mkdir "$home"
  if [ "$2" = nobody ]; then
    as=(as_nobody)
    chown -R 65534:65534 "$home" "$checkout"
  fi
  versions=$("$bin/python" -c 'import ansible.release, sys; print(ansible.release.__version__, sys.version.split()[0])')
  (cd "$checkout" && HOME=$home TMPDIR=$home "${as[@]}" "$bin/python" -m pytest "${tests[@]}" -q -n auto --dist loadfile -p no:cacheprovider) \
    >"$log" 2>&1 || status=1
  result=$(tail -n 1 "$log" | sed 's/ in [0-9].*//')
  # shellcheck disable=SC2086 # two words
  printf '%-14s %-8s %-8s %s, %d s\n' $versions "$2" "$result" $((SECONDS - started)) | tee -a "$scratch/table"
}

oldest=$(printf '%s\n' "${cores[@]}" | sort -V | head -n 1)
newest=$(printf '%s\n' "${cores[@]}" | sort -V | tail -n 1)
status=0
for core in "${cores[@]}"; do
  if ! provide "$core" >"test-results/matrix-$core.log" 2>&1; then
    tail -n 5 "test-results/matrix-$core.log"
    printf '%-14s not run: it could not be installed\n' "$core" | tee -a "$scratch/table"
    status=1
    continue
  fi
  run "$core" "$(id -un)"
  if [ "$(id -u)" -eq 0 ] && { [ "$core" = "$oldest" ] || [ "$core" = "$newest" ]; }; then run "$core" nobody; fi
done
printf '\n%-14s %-8s %-8s %s\n' ansible-core Python user result
cat "$scratch/table"
exit $status
