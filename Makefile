# `make` lists what can be made. Everything happens in .venv/, made from requirements.lock.

SUITS := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(or $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c '$(SUITS)' 2>/dev/null && echo $$p && break; done),false)
UV ?= uv
WORKERS ?=
TESTS ?=
STUDY ?= reports/reference/study
BIN := $(CURDIR)/.venv/bin
PIP_INSTALL := "$(BIN)/python" -m pip --disable-pip-version-check install
STAMP := .venv/.installed
# The stages say `python`: let it be ours.
IN_VENV := PATH="$(BIN):$$PATH" VIRTUAL_ENV="$(CURDIR)/.venv"
# A process a core, each with one thread: threads of two processes wait for each other.
SPREAD := OMP_NUM_THREADS=1 python -m pytest -n auto --maxprocesses=8 --dist loadfile
MADE := data/synthetic data/study data/study_work data/recipe data/wide data/index data/cache/features data/cache/row_features data/cache/lessons data/cache/statistics data/cache/scores data/cache/baselines data/samples data/baselines models wandb build \
	reports/exhibits reports/figures reports/notebooks reports/pages reports/scores \
	reports/costs.json reports/index.html reports/bundle.html

.DEFAULT_GOAL := help
.PHONY: help setup repro study lint test cover test-slow docs lab pretrained lock clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## Install everything into .venv/ (once; again when the lock changes)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c '$(SUITS)' 2>/dev/null \
		|| { echo "error: no Python from 3.11 to 3.13 with venv and pip found; install one (Debian:" \
		"apt install python3 python3-venv) or name it: make setup PYTHON=..."; exit 2; }
	"$(BIN)/python" -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv
	$(PIP_INSTALL) -r requirements.lock
	$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

repro: setup  ## Carry out the whole graph of params.yaml, and say where the page is
	$(IN_VENV) dvc repro features
	$(IN_VENV) xmdpt train
	$(IN_VENV) dvc repro evaluate costs
	$(IN_VENV) xmdpt exhibits
	$(IN_VENV) dvc repro
	@echo "Done. Open file://$(CURDIR)/reports/index.html"
	@echo "To mail it as one file: .venv/bin/xmdpt report bundle"

study: setup  ## Carry out what the study lacks, WORKERS runs at a time, and judge (hours)
	$(IN_VENV) xmdpt profile study
	$(IN_VENV) dvc repro features
	$(IN_VENV) xmdpt study run $(if $(WORKERS),--workers $(WORKERS)) --out $(STUDY)/runs
	$(IN_VENV) xmdpt study report --folder $(STUDY)

lint: setup  ## Check style, spelling, types and which room imports which
	$(IN_VENV) pre-commit run --all-files
	$(IN_VENV) lint-imports --no-logo --no-cache
	$(IN_VENV) mypy

test: setup  ## Run the fast tests
	$(IN_VENV) $(SPREAD) -m "not slow"

cover: setup  ## Run the fast tests, and say how many lines of the package they reach
	$(IN_VENV) $(SPREAD) -m "not slow" --cov=xmdpt --cov-report=
	@$(IN_VENV) sh -c 'echo "The tests reach $$(coverage report --format=total) % of the lines of xmdpt."'

test-slow: setup  ## Run the tests that take long, or those of them in TESTS
	$(IN_VENV) python -m pytest -m slow $(TESTS)

docs: setup  ## Build the documentation as a site, for reading without a network
	$(IN_VENV) NO_MKDOCS_2_WARNING=1 mkdocs build --strict
	@echo "Done. Open file://$(CURDIR)/build/site/index.html"

lab: setup  ## Open JupyterLab in the same environment
	$(IN_VENV) jupyter lab --config notebooks/lab_config.py

pretrained: setup  ## Train the small weights of data/pretrained/ anew (hours on two cores, then a GPU)
	$(IN_VENV) python -m xmdpt.training.pretrain
	$(IN_VENV) python -m xmdpt.training.pretrain --profile data/pretrained/round_2.yaml
	$(IN_VENV) python -m xmdpt.training.pretrain --profile data/pretrained/round_3.yaml
	$(IN_VENV) python -m xmdpt.training.pretrain --profile data/pretrained/round_4.yaml
	$(IN_VENV) python -m xmdpt.training.pretrain --profile data/pretrained/round_5.yaml
	$(IN_VENV) python -m xmdpt.training.pretrain --profile data/pretrained/round_6.yaml

lock:  ## Resolve requirements.lock anew from pyproject.toml (needs uv)
	$(UV) pip compile --universal --python-version 3.11 --extra dev --extra demo --extra docs --extra wandb --no-emit-index-url \
		--no-header --no-annotate pyproject.toml -o requirements.lock

clean:  ## Delete what was made, after asking (keeps .venv/ and DVC's cache)
	@made="$$(ls -d $(MADE) $$(find data data/index data/cache models reports -maxdepth 1 -name '.*.partial-*' -o -name '.*.lock' \
		2>/dev/null) 2>/dev/null)"; \
	if [ -z "$$made" ]; then echo "nothing to delete"; exit 0; fi; \
	echo "$$made" | sed 's/^/  /'; \
	printf "Delete these? (dvc checkout brings finished ones back) [y/N] "; read answer; \
	case "$$answer" in [yY]*) rm -rf $$made ;; *) echo "nothing deleted" ;; esac
