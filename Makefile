# make demo    the whole story on this machine, without network or account
# make test    the tests, with coverage
# make check   ruff, mypy, pyright, import contracts
# make fuzz    the property tests of the parsers, for longer
# make bench   speed, as ratios against baselines taken in the same run
#
# Each target sets up its own virtual environment in .venv, and again only when pyproject.toml
# has changed. PYTHON=... chooses the interpreter.

VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help demo test check fuzz bench format clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile

demo: $(VENV)/.runtime
	@$(BIN)/python -m paycollect demo

# Two workers; the report judges the coverage. A run of your own:
# .venv/bin/pytest tests/ipn
test: $(VENV)/.dev
	@rm -f .coverage .coverage.*
	@$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report= --cov-fail-under=0 $(PYTEST_ARGS)
	@$(BIN)/python -m coverage report

check: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright
	@# pyright verifies an installed package only, and an editable one does not count.
	@rm -rf $(VENV)/typed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(VENV)/typed .
	PYTHONPATH=$(CURDIR)/$(VENV)/typed $(BIN)/pyright --pythonpath $(BIN)/python --verifytypes paycollect --ignoreexternal
	$(BIN)/lint-imports

fuzz: $(VENV)/.dev
	@$(BIN)/python -m pytest -n 2 --hypothesis-profile=thorough --timeout=900 -q tests/ipn tests/sandbox/test_properties.py

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/request.py
	$(BIN)/python benchmarks/webhook.py

format: $(VENV)/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.*

# The first of these that runs and is new enough. (A name on PATH need not be a Python that works.)
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed: install it, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@echo "Setting up $(VENV) with $(PYTHON) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml | $(BIN)/python
	@echo "Installing paycollect ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[cli]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "Installing paycollect and its development tools ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(VENV)/.runtime $@
