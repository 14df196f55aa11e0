# The environment, and the Python that runs the scripts: any from 3.11 on will do. A name on PATH is no proof: it may be a
# shim of pyenv's for a version that is not selected.
VENV ?= $(or $(MMDET_COMPRESS_VENV),.venv)
PYTHON ?= $(or $(shell for python in "$$PYTHON311" python3.11 python3 \
	"$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.11.*/bin/python "$$(uv python find 3.11 2>/dev/null)"; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11) or print(sys.executable))' 2>/dev/null && break; \
	done),$(error No Python from 3.11 on runs on PATH, in pyenv or in uv. Get one: \
	apt-get install python3.11 python3.11-venv python3.11-dev, pyenv install 3.11 or uv python install 3.11. \
	Or name one in PYTHON311))
PARAMS ?= configs/pipelines/digits.yaml
ARGS ?=
# Processes of the fast tests: each spends most of its time on one core. 0 for one process, as with --pdb.
WORKERS ?= 2
# Where a worker dies, pytest-xdist 3.8 would start another and wait for it for ever.
WORKER_OPTIONS = -n $(WORKERS) --dist loadfile --max-worker-restart=0

VENV_PYTHON = '$(VENV)/bin/python'

# The whole path, which abspath would take apart at a space.
export MMDET_COMPRESS_VENV := $(if $(filter /%,$(firstword $(VENV))),,$(CURDIR)/)$(VENV)

.DEFAULT_GOAL := help
.PHONY: help setup run test test-fast test-e2e test-release test-detectors lint images image-cuda push test-docker lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## create or update the environment
	@'$(PYTHON)' scripts/setup.py --folder '$(VENV)'

run: setup ## compress a detector of the built-in data, end to end (PARAMS=FILE, ARGS="-p name=value")
	$(VENV_PYTHON) pipelines/compress.py --params $(PARAMS) $(ARGS)

# One after the other, also under make -j: the fast tests first, and the last lines are the last test run's own.
test: ## all tests: test-fast, then test-e2e
	@$(MAKE) --no-print-directory test-fast
	@$(MAKE) --no-print-directory test-e2e

# One thread a process: two processes of two threads each take twice as long on two cores.
test-fast test-detectors: export OMP_NUM_THREADS ?= 1
# As in a stage (pipelines/environments.py): page faults are a fifth of what a small network's step costs.
test-fast test-detectors: export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1
test-fast: setup ## tests of seconds
	$(VENV_PYTHON) -m pytest $(WORKER_OPTIONS) -m "not e2e and not docker and not detectors and not release" $(ARGS)

test-e2e: setup ## the pipeline and its stages as a user runs them
	$(VENV_PYTHON) -m pytest -m "e2e and not docker and not release" --capture=no $(ARGS)

test-release: setup ## what is too slow for every change: the real data set end to end, recoveries at full length
	$(VENV_PYTHON) -m pytest -m "release" --capture=no $(ARGS)

test-detectors: setup ## every detector, folder of MMDetection's configs and key of test_cfg; more than an hour
	$(VENV_PYTHON) -m pytest $(WORKER_OPTIONS) -m detectors $(ARGS)

lint: setup ## ruff, and which room imports from which
	$(VENV_PYTHON) -m ruff check .
	@'$(VENV)/bin/lint-imports' --no-logo

images: ## build both container images (ARGS=--release names the bases by digest; ARGS=openvino builds one)
	'$(PYTHON)' scripts/images.py $(ARGS)

image-cuda: ## build the CUDA variant of the train image, with mmcv-full compiled for GPUs
	'$(PYTHON)' scripts/images.py train --variant cuda $(ARGS)

push: ## push both images (REGISTRY=HOST/PATH) and write their digests to images/digests.json
	'$(PYTHON)' scripts/images.py --push "$(REGISTRY)" $(ARGS)

test-docker: setup images ## the whole built-in job in both images
	$(VENV_PYTHON) -m pytest -m docker --capture=no $(ARGS)

lock: ## compile images/*/requirements*.in into hashed locks (ARGS=--upgrade for newer versions)
	'$(PYTHON)' scripts/lock.py $(ARGS)

clean: ## remove runs, build outputs and tool caches; the environments stay
	rm -rf runs build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
