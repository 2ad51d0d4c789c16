#!/usr/bin/env bash
# molecule.sh [SCENARIO...]: runs Molecule's scenarios on hosts that are containers, all of them where none is named, four at a time.
# molecule.sh --prepare: only makes what outlasts a run: the image of the hosts, and the wheels that they install.
# Each scenario has an ANSIBLE_HOME of its own, so that no two share inventory or cache; its outcome is kept in test-results (JUnit).
# MOLECULE_ENGINE is podman (default) or docker, MOLECULE_JOBS how many scenarios run at once; none begins after MOLECULE_UNTIL, in seconds
# since the epoch, and those that are left count as skipped. Nothing is left behind but the image.
set -euo pipefail

cd "$(dirname "$0")/.."
export ANSIBLE_COLLECTIONS_PATH=$PWD/.ansible/collections
export MOBIUS_FLEET MOBIUS_FLEET_IMAGE MOBIUS_FLEET_PREFIX MOLECULE_ENGINE=${MOLECULE_ENGINE:-podman}
export PATH=$PWD/.venv/bin:$PATH
MOBIUS_FLEET=$(mktemp -d)

if [ "$*" = localhost ]; then # needs no hosts
  trap 'rm -rf "$MOBIUS_FLEET"' EXIT
  ANSIBLE_HOME=$MOBIUS_FLEET molecule test --no-shared-state --scenario-name localhost
  exit
fi

MOBIUS_FLEET_PREFIX=mobius-$(basename "$MOBIUS_FLEET" | tr -dc '[:alnum:]' | tr '[:upper:]' '[:lower:]')-

# shellcheck disable=SC2329 # called by trap
clean_up() {
  trap '' INT TERM # a second signal, as make sends it, is not to end this
  for connection in "$MOBIUS_FLEET"/home/*/cp/*; do # ssh keeps them open
    if [ -S "$connection" ]; then ssh -o ControlPath="$connection" -O exit none 2>/dev/null || true; fi
  done
  "$MOLECULE_ENGINE" ps --all --format '{{.Names}}' | while read -r host; do # one by one: several at once have left some behind
    if [[ $host == "$MOBIUS_FLEET_PREFIX"* ]]; then "$MOLECULE_ENGINE" rm --force --volumes "$host" >/dev/null; fi
  done
  rm -rf "$MOBIUS_FLEET"
}

for command in "$MOLECULE_ENGINE" ssh ip npm; do
  if ! command -v "$command" >/dev/null; then
    echo "$command is missing. As root on Debian, tests/install_packages.sh installs what the hosts need." >&2
    echo "With a Docker engine instead of podman: MOLECULE_ENGINE=docker make molecule" >&2
    exit 1
  fi
done
if [ "$MOLECULE_ENGINE" = podman ] && [ "$(id -u)" -eq 0 ]; then
  export CONTAINERS_CONF=${CONTAINERS_CONF:-$PWD/extensions/molecule/image/containers.conf}
fi

trap clean_up EXIT
trap 'exit 143' INT TERM
started=$SECONDS
MOBIUS_FLEET_IMAGE=$(extensions/molecule/image/build.sh)
echo "The image is $MOBIUS_FLEET_IMAGE, after $((SECONDS - started)) s"

# The wheels for the Python of the hosts, which is Debian 12's.
wheels=${XDG_CACHE_HOME:-$HOME/.cache}/mobius-dhash/wheels
if ! compgen -G "$wheels/numpy-*.whl" >/dev/null; then
  python -m pip download --quiet --disable-pip-version-check --dest "$wheels" --only-binary=:all: --python-version 3.11 \
    --platform "manylinux_2_28_$(uname -m)" --platform "manylinux2014_$(uname -m)" Pillow numpy ffmpeg-python
fi
[ "$*" != --prepare ] || exit 0

scenarios=("$@")
if [ ${#scenarios[@]} -eq 0 ]; then
  scenarios=(host_dies haproxy default monitor_rolls_back drifted canary_stops rollback link_cut interrupted two_runs) # the longest first
  for file in extensions/molecule/*/molecule.yml; do
    name=$(basename "$(dirname "$file")")
    [[ " localhost ${scenarios[*]} " == *" $name "* ]] || scenarios+=("$name")
  done
fi

# What the hosts see as /srv/fleet.
mkdir -p "$MOBIUS_FLEET"/{srv,home,payloads}
ssh-keygen -q -t ed25519 -N '' -f "$MOBIUS_FLEET/key"
cp "$MOBIUS_FLEET/key.pub" extensions/molecule/shared/{service,sites}.py tests/support/check_library.py "$MOBIUS_FLEET/srv"
python extensions/molecule/shared/draw.py "$MOBIUS_FLEET/srv"
cp -r "$wheels" "$MOBIUS_FLEET/srv"
chmod -R a+rX "$MOBIUS_FLEET/srv"

export ANSIBLE_CALLBACK_PLUGINS=$PWD/tests/support/quick_runs PAYLOADS=$MOBIUS_FLEET/payloads HOST_PYTHON
HOST_PYTHON=$(tests/find_python.sh 11 11 2>/dev/null || echo python3) # Debian 12's, for the bytecode

scenario() { # NAME [--quiet]: one scenario on the hosts that are there
  if [ -n "${MOLECULE_UNTIL:-}" ] && [ "$(date +%s)" -gt "$MOLECULE_UNTIL" ]; then
    echo "== molecule-$1: not run, since there is no time left"
    echo '<testsuite name="gates" tests="1" errors="0" failures="0" skipped="1"/>' >"test-results/gate-molecule-$1.xml"
    return
  fi
  ANSIBLE_HOME=$MOBIUS_FLEET/home/$1 tests/gate.sh "${@:2}" "molecule-$1" molecule test --no-shared-state --destroy never --scenario-name "$1"
}
export -f scenario

started=$SECONDS
ANSIBLE_HOME=$MOBIUS_FLEET/home/create molecule create --scenario-name default >"$MOBIUS_FLEET/create.log" 2>&1 || {
  cat "$MOBIUS_FLEET/create.log"
  exit 1
}
echo "The hosts are there, after $((SECONDS - started)) s"
started=$SECONDS
status=0
if [ ${#scenarios[@]} -eq 1 ]; then
  scenario "${scenarios[0]}" || status=1
else
  printf '%s\n' "${scenarios[@]}" | xargs -P "${MOLECULE_JOBS:-4}" -I {} bash -c 'scenario {} --quiet' || status=1
fi
echo "${#scenarios[@]} scenario(s), $((SECONDS - started)) s"
exit $status
