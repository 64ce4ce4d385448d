# make demo   run the main job: a pipeline through plugins
# make check  linters and types
# make test   fetch what the tests need, run all of them
# make bench  figures against the floor and the peers
# make soak   load and endurance: a thousand restarts, two gigabytes of output, five minutes of use; writes docs/soak.md
# make fuzz   every parser against what a fuzzer makes up: TARGET=line for one of them, SECONDS=600 for longer
PYTHON ?= python3
BIN := .venv/bin
PYTEST_ARGS ?=
STRICT := $(if $(CI),--strict,)

.PHONY: demo check test bench fuzz soak venv provision clean
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
	$(BIN)/python -m pytest --numprocesses=3 --dist=loadfile $(PYTEST_ARGS)

bench: .venv/dev
	$(BIN)/python benchmarks/run.py

FUZZ = $(CURDIR)/build/fuzz
SECONDS ?= 120
TARGET ?= $(basename $(notdir $(wildcard tests/fuzz/*.py)))

.venv/fuzz: .venv/dev
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	touch $@

fuzz: .venv/fuzz
	set -e; for target in $(TARGET); do \
	  mkdir -p $(FUZZ)/$$target; \
	  PYTHONPATH=tests/support $(BIN)/python tests/fuzz/$$target.py -max_total_time=$(SECONDS) -max_len=120 \
	    -timeout=20 -rss_limit_mb=2048 -artifact_prefix=$(FUZZ)/$$target- $(FUZZ)/$$target; \
	done

soak: .venv/dev provision
	GOPLUGIN_LOAD=10 $(BIN)/python -m pytest interop_tests/test_load.py
	$(BIN)/python interop_tests/support/soak.py --page docs/soak.md

clean:
	rm -rf .venv build dist *.egg-info
