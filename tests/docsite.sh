#!/usr/bin/env bash
# docsite.sh: builds the documentation site in .ansible/docsite/build/html, with antsibull-docs and Sphinx. Each warning is an error, and so is
# a stale page in docs/docsite/rst.
set -euo pipefail

cd "$(dirname "$0")/.."
.venv/bin/python tests/support/build_docsite.py --check
site=.ansible/docsite
rm -rf "$site"
mkdir "$site"
chmod 700 "$site"
export ANSIBLE_COLLECTIONS_PATH=$PWD/.ansible/collections
antsibull-docs sphinx-init --dest-dir "$site" --use-current --squash-hierarchy --fail-on-error --sphinx-theme alabaster mobius.dhash
antsibull-docs collection --dest-dir "$site/rst" --use-current --squash-hierarchy --fail-on-error mobius.dhash
# With intersphinx, Sphinx would fetch these labels of ansible-core, which a machine without internet access cannot do.
cat >"$site/rst/ansible_core.rst" <<EOF
:orphan:

ansible-core
============

.. _common_return_values:

\`Return values <https://docs.ansible.com/projects/ansible/devel/reference_appendices/common_return_values.html>\`__

.. _action_plugins:

\`Action plugins <https://docs.ansible.com/projects/ansible/devel/plugins/action.html>\`__

.. _ansible_configuration_settings:

Configuration settings
----------------------

https://docs.ansible.com/projects/ansible/devel/reference_appendices/config.html
EOF
grep -rhoE 'ansible_collections\.ansible\.[a-z_.]+_[a-z]+' "$site/rst" | sort -u | while read -r label; do
  plugin=${label#ansible_collections.}
  printf '\n.. _%s:\n\n%s\n' "$label" "${plugin%_*}" >>"$site/rst/ansible_core.rst"
done
sphinx-build -q -W --keep-going -D extensions=sphinx_antsibull_ext -b html -c "$site" "$site/rst" "$site/build/html"
echo "The site is $site/build/html/index.html"
