#!/usr/bin/env bash
# install_packages.sh: provides the Debian packages that the tests use. As root on Debian it installs what is missing and starts none of
# their services. Elsewhere it installs nothing, and lists what is missing and which tests are skipped without it.
set -euo pipefail

missing=()
skipped=()

need() { # PACKAGE TESTS COMMAND...: the package is missing if the command fails
  if ! "${@:3}" >/dev/null 2>&1; then
    missing+=("$1")
    skipped+=("$1: $2")
  fi
}

need git "none run: sanity tests and the tarball are made from what git tracks" command -v git
need python3-venv "none run: .venv cannot be made" python3 -c 'import ensurepip, venv'
need python3 "the system's own Python" test -x /usr/bin/python3
need python3-pil "the system's own Python" /usr/bin/python3 -c 'import PIL'
need python3-numpy "the system's own Python" /usr/bin/python3 -c 'import numpy'
need age "encrypted backups" command -v age
need gpg "the signature of the tarball" command -v gpg
need ffmpeg "video, JPEG XL, and the runbook" command -v ffmpeg
need nodejs "the sources of the review page, JavaScript's view of a library, and the runbook" command -v node
need npm "the sources of the review page, pm2, and the scenarios on containers" command -v npm
need chromium "the review page" command -v chromium
need chromium-driver "the review page" command -v chromedriver
need prometheus "alert rules and the dashboard" command -v prometheus
need prometheus-node-exporter "metrics and alert rules" command -v prometheus-node-exporter
need strace "make crash" command -v strace
if [ "${MOLECULE_ENGINE:-podman}" = podman ]; then
  need podman "the scenarios on containers" command -v podman
  need runc "the scenarios on containers" command -v runc
  need netavark "the scenarios on containers" test -x /usr/lib/podman/netavark
  need iptables "the scenarios on containers" command -v iptables
  need mmdebstrap "the scenarios on containers" command -v mmdebstrap
fi
need openssh-client "the scenarios on containers" command -v ssh
need iproute2 "the scenarios on containers" command -v ip

if [ ${#missing[@]} -eq 0 ]; then
  exit
elif [ "$(id -u)" -ne 0 ] || ! grep -qsx 'ID=debian' /etc/os-release; then
  echo "Not installed, so these tests are skipped (only root on Debian gets the packages installed):"
  printf '  %s\n' "${skipped[@]}"
  exit
fi

echo "Installing: ${missing[*]}"
# The tests start the programs that they need: no package starts a service of its own (invoke-rc.d(8), deb-systemd-invoke(1)).
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod 755 $policy
fi
apt-get -qq -o Acquire::Retries=3 update
DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 install --yes --no-install-recommends "${missing[@]}" >/dev/null
