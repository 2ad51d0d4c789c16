#!/usr/bin/env bash
# base.sh: makes localhost/mobius-debian:bookworm out of Debian's packages, where no image registry can be reached, and prints its name.
# The packages come from where this machine's apt takes its own. The tar is kept: the next time it takes a second.
set -euo pipefail

engine=${MOLECULE_ENGINE:-podman}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mobius-dhash
image=localhost/mobius-debian:bookworm
tar=$cache/debian-bookworm.tar

if ! "$engine" image inspect "$image" >/dev/null 2>&1; then
  mkdir -p "$cache"
  # shellcheck disable=SC2016 # mmdebstrap says what $1 is
  if [ ! -f "$tar" ]; then
    mmdebstrap --quiet --format=tar --variant=minbase --include=ca-certificates \
      --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
      --customize-hook=': > "$1/etc/machine-id"' bookworm "$tar.part.$$" >&2
    mv "$tar.part.$$" "$tar"
  fi
  "$engine" import --change 'CMD ["bash"]' "$tar" "$image" >/dev/null
fi
echo "$image"
