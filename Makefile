# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export OPENBLAS_NUM_THREADS := 1
export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1

.PHONY: demo test lint types contracts install bench clean
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
install: $(VENV)/installed

demo: install
	$(BIN)/edtwin run ito-01 -o runs/ito-01 --resume --workers 2

lint: install
	$(BIN)/ruff check .
types: install
	$(BIN)/mypy
contracts: install
	$(BIN)/lint-imports
test: install lint types contracts
	$(BIN)/python -m pytest

bench: install
	$(BIN)/python -m pytest tests/bench --benchmark-enable --benchmark-only -m ""

clean:
	rm -rf $(VENV) runs .mypy_cache .ruff_cache .pytest_cache
