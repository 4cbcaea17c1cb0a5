# Everything a newcomer needs: `make quickstart` prints the table, `make test` runs the tests.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: quickstart quick test lint wheel clean

quickstart: .venv/ready
	$(BIN)/wattune compare quickstart

quick: .venv/ready
	$(BIN)/wattune compare quickstart --quick

test: .venv/ready
	$(BIN)/python -m pytest

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

wheel: .venv/ready
	$(BIN)/python -m build --wheel

# The constraints pin every version; where the machine offers a CPU build of torch, pip takes it.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("wattune needs Python 3.11 or newer; try: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev,bench,quant,plot,report]'
	touch $@

clean:
	rm -rf .venv build dist src/*.egg-info *.egg-info
