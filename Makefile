# Every target does its own set-up in .venv: a fresh machine needs Python ≥ 3.11 (with venv and pip) and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.gradproof-ready

.DEFAULT_GOAL := help
.PHONY: help demo test check docs bench findings clean

help:
	@echo "make demo    the course's story, told by gradproof"
	@echo "make test    all tests"
	@echo "make check   ruff, mypy and the layer tests"
	@echo "make docs    run every Python block of README.md and docs/"
	@echo "make bench   the measured tables (long)"
	@echo "make findings  run what was found in other libraries (downloads)"
	@echo "make clean   remove the environment and every cache"

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gradproof needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(READY)
	$(BIN)/gradproof demo

# One BLAS thread a worker: the arrays are small, and the workers share the cores.
test: export OMP_NUM_THREADS = 1
test: export OPENBLAS_NUM_THREADS = 1
test: $(READY)
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layers.py

docs: $(READY)
	$(BIN)/python -m pytest -q tests/docs

bench: export OMP_NUM_THREADS = 1
bench: export OPENBLAS_NUM_THREADS = 1
bench: $(READY)
	@failed=; for script in benchmarks/*.py; do \
	  echo "== $$script"; $(BIN)/python $$script || failed="$$failed $$script"; \
	done; \
	test -z "$$failed" || { echo "failed, or missed what they aim at:$$failed" >&2; exit 1; }

findings:
	@failed=; for script in findings/*.sh; do \
	  echo "== $$script"; PYTHON=$(PYTHON) sh $$script || failed="$$failed $$script"; \
	done; \
	test -z "$$failed" || { echo "no longer as they were found:$$failed" >&2; exit 1; }

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
