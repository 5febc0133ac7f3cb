# `make search` and `make test` do everything on a fresh machine: virtual environment, install, work.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# The theme warns of a successor at every start; with --quiet, --strict would not count warnings.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs
LONG_BENCHMARKS := $(addprefix benchmarks/,peers.py record_curves.py model_folders.py)

.PHONY: help install search test test-oldest coverage chaos check docs format bench clean

help:  ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 13

install: $(VENV)/.installed  ## virtual environment with everything in it

$(VENV)/.installed: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing (a few minutes the first time) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

search: install  ## a complete search on generated sample covers, and an exported model
	@$(BIN)/covertune search --trials 8 --epochs 3 --image-px 96
	@echo "(to type these commands as they stand, first: . $(BIN)/activate)"

test: install check  ## style, spelling, types and all tests this machine can run
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=15

test-oldest: install  ## all tests with the oldest libraries that pyproject.toml allows, in build/oldest
	@rm -rf build/oldest
	@$(BIN)/uv venv --quiet --seed --python $(BIN)/python build/oldest
	@$(BIN)/uv pip install --quiet --python build/oldest --resolution lowest-direct -e '.[dev]'
	@build/oldest/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=15

coverage: install  ## which lines the tests reach: a table, and pages in build/coverage/html
	@$(BIN)/python -m pytest --cov --cov-report=term --cov-report=html

chaos: install  ## searches and prepares killed at 20 random moments each (half an hour)
	@$(BIN)/python -m pytest tests/chaos -s --kills 20

check: install  ## style, spelling, types, borders, and whether the documentation builds
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/codespell
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(MKDOCS) build --strict

docs: install  ## the documentation on this machine, made again whenever a page changes
	@$(MKDOCS) serve --strict

format: install  ## let ruff mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: install  ## side-by-side measurements, one after the other, but for those that take hours or need runs
	@for file in $(filter-out $(LONG_BENCHMARKS),$(wildcard benchmarks/[a-z]*.py)); do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean:  ## remove what tools leave behind (not runs, not the virtual environment)
	@rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
