# Everything runs from .venv, which any target makes first. Only Python 3.11 or newer and make are needed.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# One thread per process: the simulator runs one process per core.
export OMP_NUM_THREADS := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: run test lint bench figures format clean mutants fuzz validate docs

run: .venv/ready
	$(BIN)/specran sweep scenarios/quickstart.yaml

test: .venv/ready
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: .venv/ready
	$(BIN)/python -m tests.bench

figures: .venv/ready
	$(BIN)/python -m sim.reference

# Every oracle beside what the simulator gives: one table, results/reference/validation.json.
validate: .venv/ready
	$(BIN)/python -m tests.validation

docs: .venv/docs-ready
	@echo "running the tutorials' notebooks and building the manual: some minutes"
	$(BIN)/python -m sphinx -j auto -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

format: .venv/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "SpecRAN needs Python 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv .venv
	@echo "installing into .venv: 2.3 GB, some minutes"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch .venv/ready

.venv/docs-ready: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch .venv/docs-ready

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache

# One-line faults that the tests must notice; prints those that none notices. ONLY="name ..." runs some of them.
mutants: .venv/ready
	$(BIN)/python -m tests.mutants $(ONLY)

# Mutated inputs, killed sweeps, lost power. FUZZ passes options on, such as FUZZ="--scenarios 1000 --seed 7".
fuzz: .venv/ready
	$(BIN)/python -m tests.fuzz $(FUZZ)
