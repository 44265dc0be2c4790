# Two commands are enough on a new machine: `make demo` and `make test`. `make help` lists the rest.

SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
# uv from the PATH, else one of our own in .uv/, from the locked requirements/uv.txt.
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
COMPILE := pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11
T := tests
# Test processes. Many tests wait for a clock, so one more than a small machine has cores; files stay whole.
N := 3
BUILT := src/sirdar/web/static/built/.built

# Images of containers often set it: then every process of every test compiles every module that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help env words demo test check lint unit types bench lock format docs packages clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z][a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

# ---------------------------------------------------------------- environment

env: $(VENV)/.ready $(BUILT) ## .venv with everything from the locks, and the pages' scripts

.uv/bin/uv: requirements/uv.txt
	@echo "Bringing uv to .uv/"
	@python3 -m venv .uv || { echo "python3 has no venv module; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

$(VENV)/.ready: requirements/dev.txt pyproject.toml | $(UV)
	@echo "Setting up $(VENV) from the locks"
	@test -x $(PY) || $(UV) venv --quiet --python '>=3.11' $(VENV)
	@$(UV) pip install --quiet --python $(PY) --require-hashes -r requirements/dev.txt
	@$(UV) pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .
	@touch $@

$(BUILT): $(VENV)/.ready ui/package-lock.json ui/build.mjs $(shell find ui/src src/sirdar/web/locale -name '*.ts' -o -name '*.po')
	@$(PY) scripts/build-assets --node || $(UV) pip install --quiet --python $(PY) --require-hashes -r requirements/node.txt
	@$(PY) scripts/build-assets

lock: | $(UV) ## compile the locks anew (names, versions and hashes; no addresses)
	$(UV) $(COMPILE) $(UPGRADE) requirements/uv.in -o requirements/uv.txt
	$(UV) $(COMPILE) $(UPGRADE) --all-extras --group test --group examples pyproject.toml requirements/build.in -o requirements/dev.txt
	$(UV) $(COMPILE) $(UPGRADE) requirements/node.in -o requirements/node.txt
	$(UV) $(COMPILE) --extra all -c requirements/dev.txt pyproject.toml -o requirements/sirdar.txt

# ---------------------------------------------------------------- demo

demo: env ## run real examples in a server of their own; shows results and the web address
	@$(PY) scripts/demo $(ARGS)

# ---------------------------------------------------------------- tests

packages: ## Debian packages that the tests need, where this user may install them
	@scripts/debian-packages --if-allowed tests

test: packages env lint ## everything: static checks and all tests (T=tests/unit for a part)
	@$(MAKE) --no-print-directory --silent -C examples/heat || echo "examples/heat was not built; tests of it will be skipped"
	@$(PY) -m pytest -n $(N) --dist loadfile --durations=15 --durations-min=1 $(T)

check: env ## under 30 seconds: ruff, mypy, import contracts, unit tests
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint unit

lint: env
	@$(PY) scripts/lint

# Without the tests that start an agent or a porter: `make test` has them.
unit: env
	@$(PY) -m pytest --quiet -n 2 --dist loadfile -p no:schemathesis tests/unit --ignore=tests/unit/agent -m "not slow"

format: env ## write the code as ruff wants it
	@$(VENV)/bin/ruff check --quiet --fix . ; $(VENV)/bin/ruff format --quiet .

words: env ## new sentences of the pages into the catalogues of words
	@$(PY) scripts/words

docs: env ## write the generated parts of docs/ anew
	@$(PY) scripts/gen-docs

bench: env ## run the benches; tables go to bench/results/ (ARGS="--only tasks --rounds 5")
	@scripts/debian-packages --if-allowed bench
	@$(PY) -m bench.run $(ARGS)

clean: ## remove what can be made again
	rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .schemathesis dist build
	@$(MAKE) --no-print-directory --silent -C examples/heat clean
