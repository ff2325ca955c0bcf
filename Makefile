# Everything runs from here; `make` alone lists it. Python, Node and the CDK CLI come from .venv and node_modules.
SHELL := /bin/bash
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/node_modules/.bin:$(PATH)
export PYTHONPATH := $(CURDIR)
PYTHON := .venv/bin/python
# Many of the processes that are started here live for seconds: compiling their modules each time would double that.
unexport PYTHONDONTWRITEBYTECODE

# Groups of tests (tests/conftest.py) over two more processes than cores, since tests of a cloud wait a lot, but
# no more than there are groups that take minutes.
CORES := $(shell getconf _NPROCESSORS_ONLN)
PARALLEL := -n $(shell echo $$(( $(CORES) < 4 ? $(CORES) + 2 : 6 ))) --dist loadscope --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-up demo-down test test-fast docs lint synth lock clean bench bench-encode bench-train bench-rank bench-live bench-load bench-quality verify-aws

help: ## List what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: ## Create .venv, install the CDK CLI, find Java, build the Lambda layer (idempotent)
	@scripts/setup.sh

demo: setup ## Real ratings to top-N through a real cdk deploy, in a local cloud; writes out/demo/
	@$(PYTHON) -m demo $(ARGS)

demo-up: setup ## The same, and leave the local cloud running, with a page to look at recommendations
	@$(PYTHON) -m demo --keep-running $(ARGS)

demo-down: ## Stop the local cloud and the page that demo-up left running
	@$(PYTHON) -m demo --down

# Types are checked, and environments to compare with are downloaded, while the first tests run; a test that needs
# an environment waits for it.
test: setup ## Lint, types and every test: unit, infrastructure, workflow; lists the slowest
	@ruff check --quiet . && ruff format --quiet --check .
	@nice $(PYTHON) -m bench.oracles.environments 2>/dev/null & environments=$$!; \
	mkdir -p build; nice mypy . > build/mypy.log 2>&1 & types=$$!; \
	trap "kill $$environments $$types 2>/dev/null" EXIT; \
	$(PYTHON) -m pytest $(PARALLEL) $(ARGS); tests=$$?; \
	wait $$types; types=$$?; cat build/mypy.log; exit $$(( tests > types ? tests : types ))

test-fast: setup ## The quick tests that need neither Spark, nor a local cloud, nor an environment of their own
	@$(PYTHON) -m pytest $(PARALLEL) -n $(CORES) --hypothesis-profile fast \
		-m "not spark and not cloud and not oracle and not fuzz and not slow" $(ARGS)

docs: setup ## The documentation as a site in site/, every warning an error
	@NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --quiet && echo site/index.html

lint: setup ## ruff and strict mypy
	@ruff check --quiet . && ruff format --quiet --check . && mypy .

synth: setup ## Write the CloudFormation templates to cdk.out (no credentials, no network)
	@cdk synth --quiet --output cdk.out && ls cdk.out/*.template.json

lock: setup ## Recompile the lock files from the .in files
	@scripts/lock.sh

verify-aws: setup ## An acceptance run on your AWS account: asks first, costs about a dollar, removes everything
	@$(PYTHON) -c 'from pathlib import Path; from demo.movielens import fetch; fetch(Path("build/data/ml-100k"), print)'
	@$(PYTHON) -m fmrec verify $(ARGS)

clean: ## Remove everything that was built or written, but not .venv and node_modules
	@rm -rf build out site cdk.out .pytest_cache .mypy_cache .ruff_cache .hypothesis

bench: setup ## Every speed that has a target, in one table: reached or MISSED; some two hours
	@$(PYTHON) -m bench.table $(ARGS)

bench-encode: setup ## The codec and the encoding job against their peers
	@$(PYTHON) -m bench.codec && $(PYTHON) -m bench.encoding

bench-train: setup ## The FM stand-in against the fastest CPU factorization machines
	@$(PYTHON) -m bench.training

bench-rank: setup ## Exact ranking evaluation against the matrix products alone
	@$(PYTHON) -m bench.ranking

bench-live: setup ## Folding users in against implicit's ALS: speed, users left out of training, a million items
	@OPENBLAS_NUM_THREADS=1 $(PYTHON) bench/live.py

bench-load: setup ## The deployed HTTP API in a local cloud under 50 clients for five minutes (ARGS="--seconds 60" for less)
	@$(PYTHON) -m bench.api_load $(ARGS)

bench-quality: setup ## The deployed defaults: MovieLens 100k through the workflow, and against EASE, ALS and item-kNN
	@$(PYTHON) bench/quality.py; kept=$$?; $(PYTHON) -m bench.opponents --deployed epinions && exit $$kept
