# Everything runs from .venv, which the first target that needs it sets up. PYTHON names the Python to make it with; by default it is the
# newest of this machine, which gets the newest ansible-core. Nothing needs root, but make test as root on Debian installs packages.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= $(shell tests/find_python.sh)
BIN := .venv/bin
LINK := .ansible/collections/ansible_collections/mobius/dhash
GATE := tests/gate.sh
REPOSITORY ?=# the URL of the repository that the collection is published from, for the links of the tarball
PYTEST_ARGS ?= -q -n auto --dist loadfile

export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help demo test gates unit unit-slow integration thorough review page-lint monitoring crash fuzz sanity types python-lint shell-lint lint docs-lint docsite galaxy-import changelog-lint molecule-localhost molecule matrix coverage page docsite-pages build bench clean

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 24

demo: .venv/.demo ## Draw a library of 300 pictures into demo/, migrate it on this machine, show what happened
	@rm -rf demo
	@$(BIN)/python tests/support/draw_library.py demo
	$(BIN)/ansible-playbook mobius.dhash.migrate -i inventory/demo
	@$(BIN)/python tests/support/show_demo.py demo

test: clean-results ## All gates, two at a time, up to the first that fails
	@tests/install_packages.sh
	@$(MAKE) --no-print-directory .venv/.dev
	@echo "Two gates run at a time. Each says how it ended, and all that it has to say where it failed."
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target GATE='$(GATE) --quiet' gates
	@printf '\nAll gates passed. '; $(BIN)/python tests/support/summary.py test-results

# The longest first, and beside it what needs one core.
gates: integration unit unit-slow crash sanity types python-lint shell-lint lint docs-lint docsite galaxy-import changelog-lint page-lint molecule-localhost monitoring review

unit: .venv/.dev ## Unit tests, but for the slow ones
	@$(GATE) unit $(BIN)/python -m pytest tests/unit -m 'not slow' --junitxml=test-results/unit.xml $(PYTEST_ARGS)

unit-slow: .venv/.dev ## Unit tests that start workers or FFmpeg, wait for a limit, or repeat an operation for each of its steps
	@$(GATE) unit-slow $(BIN)/python -m pytest tests/unit -m slow --junitxml=test-results/unit-slow.xml $(PYTEST_ARGS)

integration: .venv/.dev ## Integration tests: the playbooks and modules run for real, the tarball among them
	@$(GATE) integration $(BIN)/python -m pytest tests/integration -m 'not thorough' --junitxml=test-results/integration.xml $(PYTEST_ARGS)

thorough: .venv/.dev ## The tests that make test leaves out for their time: of integration, and an error at every system call
	@$(GATE) thorough-crash $(BIN)/python -m pytest tests/crash -m thorough --junitxml=test-results/thorough-crash.xml $(PYTEST_ARGS) --dist worksteal
	@$(GATE) thorough $(BIN)/python -m pytest tests/integration -m thorough --junitxml=test-results/thorough.xml $(PYTEST_ARGS)

review: .venv/.dev ## The review page in a real browser, with keys alone
	@$(GATE) review $(BIN)/python -m pytest tests/review --junitxml=test-results/review.xml $(PYTEST_ARGS)

page-lint: ## The sources of the review page: eslint, stylelint, and the tests of its modules
	@$(GATE) page-lint tests/page_lint.sh

monitoring: .venv/.dev ## Metrics, alert rules and the dashboard's queries, with a real Prometheus and node_exporter
	@$(GATE) monitoring $(BIN)/python -m pytest tests/monitoring --junitxml=test-results/monitoring.xml $(PYTEST_ARGS)

crash: .venv/.dev ## Each operation killed before each change, and failing at its system calls; the order of writes; two writers at once
	@$(GATE) crash $(BIN)/python -m pytest tests/crash -m 'not thorough' --junitxml=test-results/crash.xml $(PYTEST_ARGS) --dist worksteal

fuzz: .venv/.dev ## 10,000 damaged files in the workers of a run; one of them again: make fuzz SEED=4711, more from there on: COUNT=100
	@PYTHONPATH=.ansible/collections $(GATE) fuzz $(BIN)/python tests/unit/fuzz.py $(SEED:%=--seed=%) $(COUNT:%=--count=%) --keep test-results/fuzz

sanity: .venv/.dev ## ansible-test sanity
	@$(GATE) sanity tests/sanity.sh

types: .venv/.dev ## The types of the Python code: mypy --strict
	@$(GATE) types tests/types.sh

python-lint: .venv/.dev ## ruff, with the rules in pyproject.toml
	@$(GATE) python-lint $(BIN)/ruff check

shell-lint: .venv/.dev ## shellcheck
	@$(GATE) shell-lint $(BIN)/shellcheck $$(git ls-files '*.sh' .ci/run)

lint: .venv/.dev ## ansible-lint with the production profile
	@$(GATE) lint $(BIN)/ansible-lint --profile production --offline

docs-lint: .venv/.dev ## The documentation of modules, roles and playbooks
	@mkdir -p .ansible/test-home # antsibull-docs leaves a log in its home
	@HOME=$(CURDIR)/.ansible/test-home $(GATE) docs-lint $(BIN)/antsibull-docs lint-collection-docs --plugin-docs .

docsite: .venv/.dev ## The documentation site, from docs/ and the documentation of modules and roles
	@$(GATE) docsite tests/docsite.sh

galaxy-import: .venv/.dev ## The tarball, checked by galaxy-importer as Galaxy does at an upload
	@$(GATE) galaxy-import tests/galaxy_import.sh $(REPOSITORY)

changelog-lint: .venv/.dev ## The changelog fragments
	@$(GATE) changelog-lint $(BIN)/antsibull-changelog lint

molecule-localhost: .venv/.dev ## The migration as a Molecule scenario on this machine: check, converge, idempotence, verify
	@$(GATE) molecule-localhost tests/molecule.sh localhost

molecule: ## The scenarios on hosts that are containers, which need root or Docker; one alone: make molecule SCENARIO=rollback
	@tests/install_packages.sh
	@$(MAKE) --no-print-directory .venv/.dev
	@tests/molecule.sh $(SCENARIO)

matrix: thorough ## The tests marked matrix, with each supported ansible-core and with other Pythons; make thorough before
	@tests/matrix.sh

coverage: .venv/.dev ## How much of plugins/ the unit tests run; what they run in other processes is not counted
	@$(BIN)/python -m pytest tests/unit --cov $(PYTEST_ARGS)

page: .venv/bin/python ## The file with the review page that the module ships, from web/review
	@$(BIN)/python tests/support/build_page.py --write

docsite-pages: .venv/.dev ## The pages of the documentation site in docs/docsite/rst, from docs/*.md
	@$(BIN)/python tests/support/build_docsite.py --write

build: .venv/.demo ## The collection's tarball, in dist/; to publish it: make build REPOSITORY=https://...
	@$(BIN)/python tests/support/build_collection.py dist $(REPOSITORY)

bench: .venv/.dev ## Speed, as ratios measured in one run, and how many duplicates are true
	@for script in tests/bench/bench_*.py; do echo "== $$script"; PYTHONPATH=.ansible/collections $(BIN)/python "$$script"; done

clean: ## Remove all that make has made, .venv included
	rm -rf .venv .ansible demo dist test-results .pytest_cache .hypothesis web/review/node_modules

.PHONY: clean-results
clean-results:
	@rm -rf test-results

$(LINK):
	@mkdir -p $(@D)
	@ln -sfn ../../../.. $@

.venv/bin/python:
	@python='$(PYTHON)'; [ -n "$$python" ] || exit 1; \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo \
	  "$$python is missing or older than 3.10, which ansible-core 2.17 needs. Name a newer one: make PYTHON=python3.12 ..." >&2; exit 1; }; \
	"$$python" -c 'import ensurepip, venv' 2>/dev/null || { echo \
	  "$$python cannot make virtual environments here. On Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }; \
	echo "Making .venv with $$("$$python" --version)"; \
	"$$python" -m venv .venv

.venv/.demo: requirements-demo.txt requirements.txt | .venv/bin/python $(LINK)
	@echo "Installing requirements-demo.txt into .venv"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -r $<
	@touch $@

.venv/.dev: requirements-dev.txt .venv/.demo
	@echo "Installing requirements-dev.txt into .venv"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -r $<
	@touch $@
