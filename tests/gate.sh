#!/usr/bin/env bash
# gate.sh [--quiet] NAME COMMAND [ARGUMENT...]: runs one gate, says so, and keeps its outcome as test-results/gate-NAME.xml (JUnit).
# With --quiet what the command says is kept in test-results/NAME.log, and shown if it failed.
set -uo pipefail

quiet=
if [ "$1" = --quiet ]; then
  quiet=yes
  shift
fi
name=$1
shift
cd "$(dirname "$0")/.." || exit
mkdir -p test-results
[ -t 1 ] || export NO_COLOR=1 PY_COLORS=0 ANSIBLE_NOCOLOR=1 ANSIBLE_FORCE_COLOR=0
unset MAKEFLAGS MAKELEVEL # a make that the command runs has jobs of its own
# A test writes durably a thousand times what it deletes again: in memory, where there is enough of it, an fsync costs nothing.
if [ -w /dev/shm ] && [ "$(df --output=avail --block-size=1G /dev/shm | tail -1)" -ge 4 ]; then
  export PYTEST_DEBUG_TEMPROOT=/dev/shm
fi
unset PYTHONUNBUFFERED # it has Python read a module that Ansible pipes to it byte by byte

gate() {
  printf '\n== %s: %s\n' "$name" "$*"
  "$@"
}

if [ -z "$quiet" ]; then
  gate "$@"
  status=$?
else
  gate "$@" >"test-results/$name.log" 2>&1
  status=$?
  [ $status -eq 0 ] || cat "test-results/$name.log"
fi

if [ $status -eq 0 ]; then
  outcome=passed failures=0 failure=
else
  outcome="FAILED (exit $status)" failures=1 failure="<failure message=\"exit $status\"/>"
fi
printf '<testsuite name="gates" tests="1" errors="0" failures="%d" skipped="0"><testcase classname="gates" name="%s" time="%d">%s</testcase></testsuite>\n' \
  "$failures" "$name" "$SECONDS" "$failure" >"test-results/gate-$name.xml"
printf '== %s: %s, %d s\n' "$name" "$outcome" "$SECONDS"
exit $status
