# What a newcomer needs: make demo, make test. `make help` lists the rest.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
SHARED ?= ../shared

.DEFAULT_GOAL := help
.PHONY: help install demo run test lint bench grade clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY) ## make .venv with imgrid, its local providers and all that tests and benchmarks need

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# Without PHOTOS and MODEL: text on drawn signs; and, where sample photos and a detector lie beside, objects as well.
ifdef PHOTOS
demo: install
	$(BIN)/imgrid demo --photos '$(PHOTOS)' --model '$(MODEL)' $(if $(LABELS),--labels '$(LABELS)')
else
demo: install ## many clients through a gateway here, what was billed, and a page with every canvas: demo-out/
	$(BIN)/imgrid demo
ifneq ($(wildcard $(SHARED)/models/yolox_nano.onnx),)
	$(BIN)/imgrid demo --photos $(SHARED)/data/voc-dev/images --model $(SHARED)/models/yolox_nano.onnx
endif
endif

run: install ## start the gateway as imgrid.yaml says
	$(BIN)/imgrid serve

test: install ## the tests
	$(BIN)/python -m pytest -q

lint: install ## lint, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: install ## the gateway's own time, its throughput against a bare loop, its memory: prints tables
	$(BIN)/python benchmarks/own_time.py
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/memory.py

grade: install ## savings and quality against a real detector, as in docs/benchmarks.md (needs ../shared)
	$(BIN)/python benchmarks/grade.py --shared $(SHARED)

clean: ## remove what was made here
	rm -rf $(VENV) demo-out bench-out .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
