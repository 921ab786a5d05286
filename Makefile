# Everything from nothing: needs Python 3.11 to 3.13, make and a package index.
VENV ?= .venv
BIN := $(VENV)/bin
# The first Python that runs and has the right version.
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11 python,$(shell $(p) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $(p))))
# Packages beyond the dev extra: CI gives "torch==2.13.0 jax".
BACKENDS ?=

.PHONY: demo test test-slow check lint format types docs wheel clean

demo: $(BIN)/.installed
	$(BIN)/kerastricks train digits

test: $(BIN)/.dev
	$(BIN)/python tests/run.py

test-slow: $(BIN)/.dev
	$(BIN)/python tests/run.py --slow

check: lint types test

lint: $(BIN)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(BIN)/.dev
	$(BIN)/mypy

format: $(BIN)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(BIN)/.docs
	NO_MKDOCS_2_WARNING=1 PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/mkdocs build --strict

wheel: $(BIN)/.dev
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "no Python 3.11 to 3.13 found: install one, or give it: make PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(BIN)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

# Without compiling: pip would do it for all modules of three frameworks, Python does it for those that are imported.
$(BIN)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[dev]' $(BACKENDS)
	$(BIN)/python -m pip install --quiet --no-compile --no-deps tritonclient==2.73.0  # it asks for protobuf 6, and works with 7
	touch $@ $(BIN)/.installed

$(BIN)/.docs: pyproject.toml | $(BIN)/.dev
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@
