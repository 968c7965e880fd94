# The two commands: `make demo` and `make test`. Both install first; a second run starts in seconds.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
ARENA  := .venv-arena
ARGS   ?=
EXAMPLES ?= 1000
# One worker more than cores, since some wait for other processes. Files go to them in their order,
# not by their number of tests: the long ones (tests/e2e, tests/integration) come before tests/unit.
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); [ $$n -le 7 ] || n=7; echo $$((n + 1)))
# Workers show nothing of what a test prints: with -s in ARGS there are none.
PYTEST  := $(BIN)/python -m pytest -n $(if $(filter -s,$(ARGS)),0,$(WORKERS)) --dist loadfile --no-loadscope-reorder
SEEDS ?= 10000
FOLDER = $(or $(DATA),$(error give the folder of the traces: make $@ DATA=folder))
PANELS ?= alibaba2018_cluster azure_v2_fleet azure_vm_arrivals bitbrains_rnd cloud_pools dlrm2025 \
  fisher gentd26_requests_10min gentd26_requests_1min helios_earth_vc nab_cloudwatch nasa95 \
  openb2023 philly_nodes servegen worldcup98

LLM_SEEDS ?= 5
LLM_TRACES ?= burst level ramp stationary azure mooncake servegen
LLM_STARTUPS ?= 60s 180s
LLM_POLICIES ?= harmony,planner,planner_constant,hpa,keda,trail,fixed,oracle
LLM      = $(BIN)/harmony bench llm --data-dir $(FOLDER) --policies $(LLM_POLICIES) --keep build/llm/runs
COMMA    := ,
EMPTY    :=
SPACE    := $(EMPTY) $(EMPTY)

# Without files of bytecode each worker of a run, and each process that a test starts, compiles
# everything anew: a third of a run's CPU time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install arena demo docs install-locked release up test test-slow test-failed test-reliability test-random test-cluster simulate bench-forecast bench-decide bench-llm lint types architecture collect mirror golden image clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

install: $(STAMP) ## Create .venv and install Harmony under the constraints file

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "Harmony needs Python >= 3.11, found %d.%d: set PYTHON=/path/to/python3.11" % v[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

# Bytecode is made of what is imported (`make collect`), not of all that is installed: minutes.
install-locked: ## The same by hashes: what is not the very file that was tested is refused (docs/release.md)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --no-compile --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --no-compile --quiet --disable-pip-version-check "$$(grep '^torch[<>=]' constraints.txt)"
	$(BIN)/python -m pip install --no-compile --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m pip check --disable-pip-version-check
	@touch $(STAMP)

arena: $(ARENA)/.installed ## Create .venv-arena: the engine that no one here wrote (1.4 GB, docs/arena.md)

$(ARENA)/.installed: deploy/arena/requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else "The engine needs Python 3.11 to 3.13, found %d.%d: set PYTHON=/path/to/python3.11" % v[:2])'
	test -x $(ARENA)/bin/python || $(PYTHON) -m venv $(ARENA)
	$(ARENA)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r deploy/arena/requirements.txt
	@touch $@

demo: install ## Run the whole platform on a simulated GPU cluster (options in ARGS, trace in DATA)
	$(BIN)/harmony demo $(if $(DATA),--data $(DATA)) $(ARGS)

docs: install ## Build the documentation site into build/docs/html; it needs no network to read
	$(BIN)/python -m services.cli.reference build/docs/source
	$(BIN)/sphinx-build -q -W --keep-going build/docs/source build/docs/html
	@echo "file://$(CURDIR)/build/docs/html/index.html"

up: install ## Run the platform on the embedded default until stopped
	$(BIN)/harmony up $(ARGS)

test: install ## Run the tests, file by file in WORKERS processes (one more than cores, at most 8)
	$(PYTEST) -m 'not slow' $(ARGS)

test-slow: install ## Run the slow tests: statistics, whole platforms, a real browser at length
	$(PYTEST) -m slow --timeout=900 $(ARGS)

test-failed: install ## What failed in the last run again, one after the other; more than 3 fail at once
	@test -e .pytest_cache/v/cache/lastfailed || { echo "the last run named no test that failed: nothing to run again" >&2; exit 1; }
	n=$$($(BIN)/python -c 'import json; print(len(json.load(open(".pytest_cache/v/cache/lastfailed"))))'); \
	  [ "$$n" -le 3 ] || { echo "$$n tests failed: more than 3" >&2; exit 1; }
	$(BIN)/python -m pytest --last-failed --last-failed-no-failures none -v $(ARGS)

test-reliability: install ## Every test that docs/reliability.md names, one after the other
	$(BIN)/python -m pytest --timeout=3600 $(ARGS) \
	  $$(grep -o 'tests/[a-z_0-9/]*\.py::[A-Za-z_0-9:]*' docs/reliability.md | sort -u)

test-random: install ## Properties with new examples, EXAMPLES of each (1000); says how to reproduce
	HARMONY_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -m hypothesis --hypothesis-profile=random \
	  --timeout=3600 $(or $(ARGS),tests/unit)

test-cluster: install ## Kubernetes conformance: KUBECONFIG's cluster, or the simulated one
	$(BIN)/python -m pytest tests/contract/kubernetes_api $(ARGS)

simulate: install ## Simulate the operator under faults: SEEDS=a..b (0..9999), goes on where it was stopped; or SEED alone
	$(BIN)/python -m tests.simulation.run --workers $(WORKERS) $(if $(SEED),--seed $(SEED),--seeds $(SEEDS)) $(ARGS)

bench-forecast: install ## Forecast benchmark of every panel in DATA (a folder) into build/bench
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	mkdir -p build/bench
	for panel in $(PANELS); do \
	  $(BIN)/harmony bench forecast --data $(FOLDER)/$$panel.parquet --models harmony,model,known_level,peers \
	    --json build/bench/$$panel.json $(ARGS) || exit 1; \
	done
	$(BIN)/harmony bench forecast-summary $(PANELS:%=build/bench/%.json)

bench-decide: install ## Benchmark of deciders on every panel in DATA (a folder) into build/bench
	mkdir -p build/bench
	for panel in $(PANELS); do \
	  $(BIN)/harmony bench decide --data $(FOLDER)/$$panel.parquet \
	    --json build/bench/decide-$$panel.json $(ARGS) || exit 1; \
	done
	$(BIN)/harmony bench decide-summary $(PANELS:%=build/bench/decide-%.json) \
	  --json build/bench/decide.json --plot build/bench/decide.png

# One trace and start-up after the other, the first seed of all before the second of any: whenever
# it is stopped, what is there is even. What was run is found again under build/llm/runs.
bench-llm: install arena ## Policies on request traces, DATA (a folder), LLM_SEEDS (5); goes on where it was stopped
	mkdir -p build/llm
	for seeds in $$(seq 1 $(LLM_SEEDS)); do for startup in $(LLM_STARTUPS); do for trace in $(LLM_TRACES); do \
	  $(LLM) --trace $$trace --startup $$startup --seeds $$seeds $(ARGS) || exit 1; \
	done; done; done
	$(LLM) --trace $(subst $(SPACE),$(COMMA),$(LLM_TRACES)) --startup $(subst $(SPACE),$(COMMA),$(LLM_STARTUPS)) \
	  --seeds $(LLM_SEEDS) --json build/llm/llm.json --plot build/llm/llm.png --detail $(ARGS)

release: install ## Build, describe and sign a release of HEAD into build/release; KEY=private.pem, IMAGE=where/ours (docs/release.md)
	$(BIN)/python -m deploy.release release build/release --key $(or $(KEY),$(error give the signing key: make release KEY=private.pem)) $(if $(IMAGE),--image $(IMAGE))

lint: install ## Ruff, format check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install ## mypy, strict on the cores and the kernel
	$(BIN)/mypy

architecture: install ## Import contracts, sizes, names
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/architecture

collect: install ## Import every test; leaves bytecode and Hypothesis' table of characters, which the workers of a run then do not make one beside the other
	@mkdir -p build
	$(BIN)/python -m pytest --collect-only -qq >build/collected.txt || { cat build/collected.txt; exit 1; }
	$(BIN)/python -c 'from hypothesis import strategies; strategies.text().validate()'  # its table of characters

mirror: install ## Coverage and one fault for each module's own tests (paths in ARGS; 1 h or more)
	$(BIN)/python -m tests.architecture.mirror_measure --json build/mirror.json $(ARGS)

golden: install ## Regenerate golden files, protobuf code, dashboards and the chart's copies
	$(BIN)/python -m services.scaler.proto.generate
	$(BIN)/python -m services.ingest.proto.generate
	$(BIN)/python -m deploy.grafana.source.generate
	HARMONY_UPDATE_GOLDEN=1 $(BIN)/python -m pytest -q tests/golden tests/unit/deploy tests/unit/lab/bench/decide/test_truth_run.py \
	  tests/integration/admin/test_browser.py \
	  tests/integration/admin/test_browser_login.py tests/integration/admin/test_browser_controls.py

image: ## Build the image with podman and smoke test it
	deploy/podman.sh

clean: ## Remove both environments and caches
	rm -rf $(VENV) $(ARENA) .pytest_cache .mypy_cache .ruff_cache .hypothesis build
