# Everything a person types. `make demo` renders clips on this machine; `make test` checks and tests the whole project.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check quick format references faults soak fuzz train-tiny clean

demo: $(VENV)/.demo-installed
	$(BIN)/reelmill demo --dir demo examples/prompts.csv

# Everything, on two processes: most tests wait for a server or a worker. With T=path only the tests of that file or
# folder, in one process and without the checks; only this command line's T counts, not one of the environment.
PROCESSES ?= 2
ifeq ($(origin T),command line)
MAKEOVERRIDES :=
test: $(STAMP)
	$(BIN)/pytest $(T)
else
test: check
	$(BIN)/pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder
endif

# While you write: lint, and the tests that start no server and no worker; kernels and training are left out.
quick: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pytest -q -n 2 --dist loadfile -m "not services and not slow and not gpu" --ignore tests/worker/kernels --ignore tests/training

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file benchmarks/mypy.ini
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The pages of docs/reference, which are made from the code.
references: $(STAMP)
	$(BIN)/python docs/generate

# Every row, about half an hour; FAULT=name runs one. Writes docs/fault-matrix.md and .json.
faults: $(STAMP)
	PYTHONPATH=tests $(BIN)/python -m faults.matrix $(if $(FAULT),--only $(FAULT))

# Twice 20,000 jobs: under a fault every ten seconds, and under Sentinel with a fail-over every two minutes; an hour. Rows of the same page.
soak: $(STAMP)
	PYTHONPATH=tests $(BIN)/python -m faults.matrix --only soak soak-sentinel

# 10,020 command lines, 10,000 prompt files and 10,000 requests, some minutes; `make test` tries 180, 2,200 and 300.
fuzz: $(STAMP)
	FUZZ_LINES=10020 FUZZ_FILES=10000 FUZZ_REQUESTS=10000 $(BIN)/pytest -s \
	    tests/producer/cli/test_fuzz.py tests/producer/prompts/test_fuzz.py tests/producer/web/test_fuzz.py

# The weights of the tiny profile from nothing, 21 minutes on one H100 or H200; each stage leaves a checkpoint in
# training-run and can be repeated alone. Replaces the package's weights. Without a GPU: python -m training --smoke.
TRAIN := $(BIN)/python -m training
train-tiny: $(STAMP)
	$(TRAIN) autoencoder:160s decoder:40s --device cuda
	$(TRAIN) teacher:420s --device cuda
	$(TRAIN) seed:2 teacher:222s paths:120 seed:1 student:2000 matching:150s --go-on --rate 1e-3 --device cuda
	$(TRAIN) exam:teacher exam:student-fp8-1 exam:matched-fp8-1 --device cuda
	$(TRAIN) artifact:matched-fp8-1 evaluate

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The demo needs the worker only; the tests need everything.
$(VENV)/.demo-installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Setting up $(VENV), once: 0.3 GB to download and 1.4 GB on disk (2.9 and 5.3 GB with torch's CUDA build), 1 to 10 minutes."
	$(BIN)/pip install -c constraints.txt -e '.[worker]'
	@touch $@

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Setting up $(VENV), once: 0.5 GB to download and 1.6 GB on disk (3.1 and 5.5 GB with torch's CUDA build), 1 to 10 minutes."
	$(BIN)/pip install -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.demo-installed

clean:
	rm -rf $(VENV) demo build dist
