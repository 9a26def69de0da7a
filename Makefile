# `make help` lists the targets. With a sourced ROS 2 they use it; without one they make .venv from PyPI.
PYTHON_ENV := .venv/bin/python
SOURCE ?=
MODEL ?=
COUNT ?=
PLAN ?=
PEAK ?=
RATE ?=
OUT ?=
HOURS ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help env build demo test coverage bench soak lint clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: ## create or update the environment and build the package (seconds if nothing changed)
	@tools/env/make_env.sh

build: ## rebuild the package with colcon
	@rm -f .venv/complete.json
	@tools/env/make_env.sh

demo: env ## replay -> node -> topics on the sample; SOURCE=path MODEL=name WEIGHTS=file COUNT=n RATE=speed PLAN=true PEAK=true OUT=dir
	@$(PYTHON_ENV) -m occdepth_ros.demo $(if $(SOURCE),--source '$(SOURCE)') $(if $(MODEL),--model '$(MODEL)') \
	  $(if $(WEIGHTS),--weights '$(WEIGHTS)') $(if $(COUNT),--count '$(COUNT)') $(if $(RATE),--rate '$(RATE)') \
	  $(if $(filter true,$(PLAN)),--plan) $(if $(filter true,$(PEAK)),--peak) $(if $(OUT),--out '$(OUT)') $(ARGS)

test: env ## all tests, in up to 4 processes; ARGS are pytest's, for example ARGS="-k grid", in one process
	@$(PYTHON_ENV) -m pytest $(or $(ARGS),-n logical --maxprocesses 4 --dist loadfile)

coverage: env ## line coverage, processes included, against its ratchet; ARGS="PART ..." measures parts, --update raises it
	@$(PYTHON_ENV) tools/line_coverage.py $(ARGS)

soak: env ## reliability: endurance, lifecycle, fault injection, messages, signals, transport (minutes); HOURS=1 runs in full
	@$(PYTHON_ENV) -W ignore -m benchmarks.soak $(if $(HOURS),--hours '$(HOURS)') $(ARGS)

bench: env ## the benchmarks, as a table and as out/bench/<date>.json; ARGS="NAME ..." selects benchmarks
	@$(PYTHON_ENV) -m benchmarks $(ARGS)

lint: env ## ruff and mypy (package, tests, benchmarks, tools), as the tests run them; sign-offs, bandit, hadolint, and pip-audit where its database can be reached
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy
	@$(PYTHON_ENV) tools/sign_offs.py
	@$(PYTHON_ENV) tools/security_checks.py

clean: ## remove build outputs; the environment is kept
	@rm -rf build install log dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .venv/complete.json

distclean: clean ## also remove .venv and out/; the cache, which other checkouts share, is kept
	@rm -rf .venv out
