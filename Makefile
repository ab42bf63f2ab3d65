# make demo    the whole story on this machine, without network or account
# make test    the tests, with coverage
# make check   ruff, mypy, pyright, import contracts, the site, the packages
# make fuzz    the property tests of the parsers, and 10,000 crashes of a shop, for longer
# make mutants whether the tests notice planted mistakes; MUTANTS="ipn --count 200" for more
# make docs    the site: docs/_build/html/index.html, llms.txt and llms-full.txt
# make pictures the pictures in docs/pictures; RUNS=3 measures the benchmarks anew before
# make dist    the wheel and the source archive in dist/, checked
# make bench   speed, as ratios against baselines taken in the same run; BENCH="--full --json FILE"
# make soak    100,000 payments with faults and killed workers; SOAK="--payments 5000" for less
#
# Each target sets up its own virtual environment in .venv, and again only when pyproject.toml
# has changed. PYTHON=... chooses the interpreter.

# A worker, and each program that a test starts, would else compile everything anew.
export PYTHONDONTWRITEBYTECODE :=

VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help demo test check fuzz mutants docs pictures dist bench soak format clean

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
	PYTHONPATH=$(CURDIR)/$(VENV)/typed $(BIN)/python tests/complete_types.py $(BIN)/pyright $(BIN)/python
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory docs dist

# A warning is an error; links within the site are checked. Nothing is fetched.
docs: $(VENV)/.dev
	@rm -rf docs/_build/html
	@$(BIN)/sphinx-build -b html -d docs/_build/doctrees -W --keep-going -q docs docs/_build/html
	@echo "docs/_build/html/index.html"

# Needs Chromium (apt-get install chromium chromium-driver). Nothing is drawn by hand.
pictures: $(VENV)/.dev
	@mkdir -p docs/pictures
	$(BIN)/python docs/_pictures/pages.py
	$(BIN)/python docs/_pictures/terminal.py
	$(BIN)/python docs/_pictures/sequence.py
	$(BIN)/python docs/_pictures/plot.py $(RUNS)

# What is published: a key, a cache or a file of somebody's machine must not be in it.
dist: $(VENV)/.dev
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation --outdir dist . >/dev/null
	@$(BIN)/check-wheel-contents dist/*.whl
	@$(BIN)/twine check --strict dist/*
	@$(BIN)/python -m pytest -q -p no:randomly tests/docs/dist.py

FUZZ := tests/ipn tests/sandbox/provider/test_properties.py tests/cashier/crash/test_storms.py
fuzz: $(VENV)/.dev
	@$(BIN)/python -m pytest -n 2 --hypothesis-profile=thorough --timeout=900 -q $(FUZZ)

mutants: $(VENV)/.dev
	$(BIN)/python benchmarks/mutants.py $(MUTANTS)

bench: $(VENV)/.dev
	@$(BIN)/python -m benchmarks $(BENCH)

soak: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.soak $(SOAK)

format: $(VENV)/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) dist docs/_build .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.*

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
