# Each word makes .venv and installs what it needs, if that is missing.
#   make demo         a full run on a year of BTC, simulated where there is no network
#   make test         the tests;  make test-all  with the slow ones
#   make check        format, lint, types, floors
#   make bench        the benchmarks, with peers in .venv-bench;  make docs  the documentation as pages
# TORCH_INDEX=URL takes torch from another index (a CPU or a CUDA build).

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
BENCH_PIP := .venv-bench/bin/python -m pip --disable-pip-version-check --quiet
TORCH := torch==2.13.0
export OMP_WAIT_POLICY := PASSIVE
export OPENBLAS_NUM_THREADS := 1

.PHONY: demo test test-all check bench docs clean
.DELETE_ON_ERROR:

demo: $(VENV)/installed
	$(BIN)/polyscale demo

# A compiled function is kept until its own file changes; what it calls from a neighbouring file is part of it.
COMPILED := src/polyscale/model/kernels src/polyscale/backtesting
FRESH_KERNELS := for folder in $(COMPILED); do \
	find $$folder -name '*.nb?' ! -newer "$$(ls -t $$folder/*.py | head -1)" -delete; done

test: $(VENV)/installed-dev
	@$(FRESH_KERNELS)
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-all: $(VENV)/installed-dev
	@$(FRESH_KERNELS)
	$(BIN)/python -m pytest -n 2

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/installed-dev .venv-bench/installed
	$(BIN)/python -m benchmarks all

docs: $(VENV)/installed-docs
	$(BIN)/sphinx-build -W --keep-going -q -b html docs site
	@echo "site/index.html"

$(VENV)/installed: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(PIP) install -r requirements.lock
	$(PIP) install --no-deps -e .
	touch $@

$(VENV)/installed-dev: requirements-dev.lock $(VENV)/installed
	$(PIP) install -r requirements-dev.lock
	touch $@

$(VENV)/installed-docs: requirements-docs.lock $(VENV)/installed
	$(PIP) install -r requirements-docs.lock
	touch $@

# An environment of its own: neuralforecast pins what polyscale does not.
.venv-bench/installed: requirements-bench.lock
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	$(BENCH_PIP) install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(BENCH_PIP) install -r requirements-bench.lock
	touch $@

clean:
	rm -rf $(VENV) .venv-bench site .mypy_cache .ruff_cache .pytest_cache
