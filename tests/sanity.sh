#!/usr/bin/env bash
# sanity.sh [ARGUMENT...]: runs `ansible-test sanity` on a copy of the checkout; arguments go on to it (--test validate-modules, say).
#
# ansible-test insists on a folder ansible_collections/mobius/dhash that is no symbolic link. Its virtual environments are kept between
# runs, in a home of their own below .ansible, so that neither the user's home nor the user's pip is touched.
set -euo pipefail

cd "$(dirname "$0")/.."
root=$PWD
bin=$root/.venv/bin
home=$root/.ansible/test-home
cache=$home/.ansible/test/cache
mkdir -p "$cache" "$home/.config/pip"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
bash tests/copy_checkout.sh "$scratch"

# ansible-test starts pip without any PIP_* variable and, from here, without the user's pip.conf: both go into one of the new home's.
"$bin/pip" config list | "$bin/python" -c '
import ast, sys
options = {"global": {"quiet": 2}}
for line in sys.stdin:
    name, value = line.rstrip().split("=", 1)
    section, _, option = name.rpartition(".")
    section = "global" if section == ":env:" else section
    options.setdefault(section, {})[option] = ast.literal_eval(value)
for section, values in options.items():
    print(f"[{section}]", *(f"{option} = {value}" for option, value in values.items()), sep="\n")
' >"$home/.config/pip/pip.conf"

# It downloads a get-pip script unless its cache has one, and that host cannot be reached from everywhere. .venv has a pip of its own,
# which can install the wanted version into another environment.
python_version=$("$bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
pip_version=$("$bin/python" -c '
import sys, types
from ansible_test._internal.python_requirements import get_venv_packages
print(get_venv_packages(types.SimpleNamespace(version=sys.argv[1]))["pip"])' "$python_version")
cat >"$cache/get_pip_${pip_version//./_}.py" <<EOF
import subprocess, sys
options = [option for option in sys.argv[1:] if option not in ("--no-setuptools", "--no-wheel")]
runner = "$("$bin/python" -c 'import os, pip; print(os.path.dirname(pip.__file__))')/__pip-runner__.py"
sys.exit(subprocess.call([sys.executable, runner, "install", "--upgrade", "--force-reinstall", *options]))
EOF

cd "$scratch/ansible_collections/mobius/dhash"
HOME=$home PATH=$bin:$PATH "$bin/ansible-test" sanity --local --python "$python_version" --color no "$@"
