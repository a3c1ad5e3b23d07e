# Meridian: everything a person types. `make` alone lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
NODE_READY := tests/node/node_modules/.ready

.PHONY: help run test check soak bench bench-edge plans conformance clean lock format

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(READY) ## start the two-region system on this machine, with real servers (Ctrl-C stops it)
	@$(BIN)/meridian local $(ARGS)

test: $(READY) $(NODE_READY) ## run every test, on real servers; ARGS="tests/unit -x" goes to pytest instead
	@$(BIN)/$(if $(ARGS),pytest $(ARGS),python -m tests)

check: $(READY) ## format, lint, types, SQL, containers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/squawk --config deploy/squawk.toml core/database/migrations/*.sql gateway/marketplace/migrations/*.sql
	@$(BIN)/hadolint Dockerfile
	@$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.shards.yml
	@$(BIN)/meridian map check shard_map.yaml

soak: $(READY) $(NODE_READY) ## three minutes of mixed traffic and random faults; every acknowledged write is looked for at the end
	@$(BIN)/python -m tests.soak $(ARGS)

bench: $(READY) ## measure what the guard costs a write (figures are printed, nothing is asserted)
	@$(BIN)/python -m bench.guard $(ARGS)

bench-edge: $(READY) ## measure how fast the edge answers hits, beside nginx and Varnish where they are installed (needs wrk)
	@$(BIN)/python -m bench.edge $(ARGS)

conformance: $(READY) $(NODE_READY) ## play the public suite for HTTP caches against `meridian edge`
	@$(BIN)/python -m tests.conformance $(ARGS)

plans: $(READY) ## seed a million requests into a PostgreSQL of its own (7 minutes), then explain every listing on them
	@$(BIN)/python -m bench.seed $(ARGS)
	@$(BIN)/python -m bench.plans

format: $(READY) ## rewrite the code in the one format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: $(READY) ## resolve the dependencies anew into both lock files
	@$(BIN)/pip -q install uv
	@$(BIN)/uv pip compile pyproject.toml --all-extras --group dev $(LOCK) -o requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --extra speed --extra stripe $(LOCK) -o deploy/requirements.lock
LOCK := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet --upgrade

clean: ## remove the environment, caches and the local system's data
	@if [ -x $(BIN)/meridian ]; then $(BIN)/meridian local --remove; fi
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

$(NODE_READY): $(READY) tests/node/package-lock.json
	@$(BIN)/npm ci --prefix tests/node --ignore-scripts --no-audit --no-fund --silent --prefer-offline --fetch-retries=5
	@touch $@

$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Meridian needs Python 3.11 or newer: apt-get install python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Meridian needs Python 3.11 or newer; choose one with: make PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); $(PYTHON) -m virtualenv -q $(VENV) >/dev/null 2>&1; } || { rm -rf $(VENV); echo "This Python has no venv. Run: apt-get install python3-venv"; exit 1; }
	@echo "Installing into $(VENV) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
