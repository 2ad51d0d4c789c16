#!/usr/bin/env bash
# build.sh: prints the name of the image of a fleet host, which it makes first where there is none yet of this Containerfile.
set -euo pipefail

cd "$(dirname "$0")"
engine=${MOLECULE_ENGINE:-podman}
digest=$(sha256sum Containerfile | cut -c1-12)
image=localhost/mobius-dhash-host:$digest

if ! "$engine" image inspect "$image" >/dev/null 2>&1; then
  if timeout 120 "$engine" pull --quiet docker.io/library/debian:bookworm-slim >/dev/null 2>&1; then
    base=docker.io/library/debian:bookworm-slim
  else
    echo "No image registry in reach: making the base image out of Debian's packages" >&2
    base=$(./base.sh)
  fi
  context=$(mktemp -d)
  trap 'rm -rf "$context"' EXIT
  (cd / && npm install --global --prefix "$context/pm2" pm2@7 --no-audit --no-fund --omit=optional --loglevel=error >&2)
  cp Containerfile "$context"
  "$engine" build --quiet --network host --build-arg "BASE=$base" --tag "$image" --file "$context/Containerfile" "$context" >&2
fi
echo "$image"
