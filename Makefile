# The folder of both environments and the Python that sets them up; any from 3.8 on will do.
ENVS ?= $(or $(MMDET_COMPRESS_ENVS),.envs)
PYTHON ?= python3
PARAMS ?= configs/pipelines/digits.yaml
ARGS ?=
# Processes of the train environment's tests: each spends most of its time on one core. 0 for one process, as with --pdb.
WORKERS ?= 2

TRAIN_PYTHON = $(ENVS)/train/bin/python
OPENVINO_PYTHON = $(ENVS)/openvino/bin/python

# The pipeline runs its stages in these environments.
export MMDET_COMPRESS_ENVS := $(abspath $(ENVS))

.DEFAULT_GOAL := help
.PHONY: help setup run test test-fast test-e2e test-detectors lint images image-cuda push test-docker lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## create or update both environments
	@$(PYTHON) scripts/setup.py --envs $(ENVS)

run: setup ## compress a detector of the built-in data, end to end (PARAMS=FILE, ARGS="-p name=value")
	$(OPENVINO_PYTHON) pipelines/compress.py --params $(PARAMS) $(ARGS)

# One after the other, also under make -j: the fast tests first, and the last lines are the last test run's own.
test: ## all tests: test-fast, then test-e2e
	@$(MAKE) --no-print-directory test-fast
	@$(MAKE) --no-print-directory test-e2e

test-fast: setup ## tests of seconds, in each environment those whose imports it has
	$(TRAIN_PYTHON) -m pytest -n $(WORKERS) --dist loadfile -m "not e2e and not docker and not detectors" $(ARGS)
	$(OPENVINO_PYTHON) -m pytest -m "not e2e and not docker" $(ARGS)

test-e2e: setup ## the pipeline and its stages as a user runs them
	$(OPENVINO_PYTHON) -m pytest -m "e2e and not docker" --capture=no $(ARGS)

test-detectors: setup ## every detector with 8 bits, and every export, in the train environment; half an hour or more
	$(TRAIN_PYTHON) -m pytest -n $(WORKERS) --dist loadfile -m "detectors or (e2e and not docker)" tests/core $(ARGS)

lint: setup ## ruff check
	$(OPENVINO_PYTHON) -m ruff check .

images: ## build both container images (ARGS=--release names the bases by digest; ARGS=openvino builds one)
	$(PYTHON) scripts/images.py $(ARGS)

image-cuda: ## build the CUDA variant of the train image (TORCH_WHEELS and hashes as docs/images.md says)
	$(PYTHON) scripts/images.py train --variant cuda $(ARGS)

push: ## push both images (REGISTRY=HOST/PATH) and write their digests to images/digests.json
	$(PYTHON) scripts/images.py --push "$(REGISTRY)" $(ARGS)

test-docker: setup images ## the whole built-in job in both images
	$(OPENVINO_PYTHON) -m pytest -m docker --capture=no $(ARGS)

lock: ## compile images/*/requirements*.in into hashed locks (ARGS=--upgrade for newer versions)
	$(PYTHON) scripts/lock.py $(ARGS)

clean: ## remove runs, build outputs and tool caches; the environments stay
	rm -rf runs build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
