#!/usr/bin/env bash
# sign.sh TARBALL: signs the manifest of the collection's tarball with the default key of gpg, as ansible-galaxy verifies it. The manifest
# has the checksums of all files. The signature is TARBALL.asc.
set -euo pipefail

tar --extract --to-stdout --file "$1" MANIFEST.json | gpg --batch --yes --detach-sign --armor --output "$1.asc"
