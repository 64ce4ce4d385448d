# make demo   run the main job: a pipeline through plugins
# make check  linters and types
# make test   fetch what the tests need, run all of them
# make bench  figures against the floor and the peers
PYTHON ?= python3
BIN := .venv/bin
PYTEST_ARGS ?=
STRICT := $(if $(CI),--strict,)

.PHONY: demo check test bench venv provision clean
.DEFAULT_GOAL := test

.venv/made:
	$(PYTHON) -c 'import sys; sys.exit("goplugin needs Python 3.11 or newer; this is %d.%d: set PYTHON=" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	touch $@

.venv/demo: .venv/made setup.cfg pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[cli]'
	touch $@

.venv/dev: .venv/made setup.cfg pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[cli,test,lint]'
	touch $@ .venv/demo

venv: .venv/dev

demo: .venv/demo
	$(BIN)/python examples/quickstart/demo.py

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests/ interop_tests/ benchmarks/ examples/
	$(BIN)/pyright --warnings

provision: .venv/dev
	$(BIN)/python interop_tests/support/provision.py $(STRICT)

test: .venv/dev provision
	$(BIN)/python -m pytest $(PYTEST_ARGS)

bench: .venv/dev
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf .venv build dist *.egg-info
