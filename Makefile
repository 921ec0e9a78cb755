# `make demo` and `make test` need Debian or Ubuntu, Python 3.10 or newer, make and git; they install the rest.
.DEFAULT_GOAL := help
PYTHON ?= python3
export PYTHON
BIN := .venv/bin
PIN := UV_CUSTOM_COMPILE_COMMAND="make requirements" $(BIN)/uv pip compile \
	--quiet --upgrade --universal --python-version 3.10 --generate-hashes

help:  ## show the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /  make \1\t/p' Makefile | expand -t 22

setup:  ## install what is missing: Debian packages and .venv
	@scripts/setup

demo: setup  ## pack, mount, list, compare and read a small COCO of real photographs
	@$(BIN)/python -m benchmarks.demo

MM_LITE := lite-oldest lite-old lite-new
MM_FULL := old new
MM_ALL := $(MM_LITE) $(MM_FULL) relatives
MM_PINS := tests/mm/requirements

test: setup  ## run all tests but those that need torch
	$(BIN)/python -m pytest
	set -e; for environment in $(MM_LITE); do scripts/mm-env $$environment python -m pytest tests/mm; done

test-mm:  ## train with both generations of OpenMMLab's frameworks, and test ffrfs.torch (2 GB to install, 20 minutes)
	@scripts/setup mm
	set -e; for environment in $(MM_FULL); do scripts/mm-env $$environment python -m pytest tests/mm; done
	scripts/mm-env new python -m pytest tests/pytorch

test-mm-relatives:  ## iterate the data sets of seven more OpenMMLab frameworks (0.6 GB more, 10 minutes)
	@scripts/setup mm
	scripts/mm-env relatives python -m pytest tests/mm

test-systemd:  ## boot a node with systemd and run the service on it (root; 0.7 GB in ~/.cache, 6 minutes at first)
	@scripts/setup systemd
	FFRFS_REQUIRE_SYSTEMD=1 $(BIN)/python -m pytest tests/systemd

soak-systemd:  ## kill the service 200 times under load (root; 10 minutes)
	@scripts/setup systemd
	FFRFS_REQUIRE_SYSTEMD=1 FFRFS_SERVICE_KILLS=200 $(BIN)/python -m pytest -s tests/systemd/test_service_killed.py

test-remote:  ## run the tests against a real S3 server, Ceph's, which they start (installs 0.4 GB, 2 minutes)
	@scripts/setup remote
	FFRFS_TEST_REMOTE=1 $(BIN)/python -m pytest tests/remote

demo-s3:  ## start a real S3 server on this machine and say how to pack to it and mount from it
	@scripts/setup remote
	@$(BIN)/python -m tests.support.radosgw

test-unit: setup  ## run the tests that need no mount
	$(BIN)/python -m pytest tests/unit tests/property

test-large: setup  ## run what takes minutes and gigabytes: a Linux source tree, millions of files, a thousand mounts
	FFRFS_TEST_LARGE=1 $(BIN)/python -m pytest -s tests/large

SOAK_SECONDS ?= 1800
soak: setup  ## keep a mount under all kinds of load and short of memory, for 50 minutes or as SOAK_SECONDS= says (root)
	@scripts/setup soak
	SOAK_SECONDS=$(SOAK_SECONDS) FFRFS_MODEL_EXAMPLES=$$(($(SOAK_SECONDS) / 10)) \
		$(BIN)/python -m pytest -s tests/soak tests/integration/test_model.py

beginnings: setup  ## interrupt 1,000 beginnings of mounts, and 200 rounds of jobs that share one (root; 2 hours)
	FFRFS_REQUIRE_FUSE=1 FFRFS_BEGINNINGS=1000 FFRFS_SHARED=200 \
		$(BIN)/python -m pytest -s --timeout=14400 tests/integration/test_beginnings.py tests/integration/test_shared.py

lint: setup  ## ruff, mypy and the layer rule
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

man: setup  ## build the manual pages; writes build/man/
	$(BIN)/python scripts/write_reference.py
	mkdir -p build/man
	for page in ffrfs.1 mount.ffrfs.8; do go-md2man -in docs/man/$$page.md -out build/man/$$page || exit; done

docs:  ## build the documentation as a site; writes build/site/
	@scripts/setup docs
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet --site-dir build/site

deb: setup  ## make a package for this release of Debian; writes build/
	scripts/build-deb build

bench:  ## measure ffrfs and its peers; writes benchmarks/results/
	@scripts/setup bench
	@scripts/setup-baseline
	.venv-bench/bin/python -m benchmarks

bench-quick:  ## the same on little data: shows that it runs, not how fast
	@scripts/setup bench
	@scripts/setup-baseline
	.venv-bench/bin/python -m benchmarks --quick

FUZZ_SECONDS ?= 600

fuzz:  ## search for archives and indexes that break their readers; FUZZ_SECONDS=600 for each of four targets
	@scripts/setup fuzz
	set -e; for target in header tree index wire; do .venv-fuzz/bin/python -m tests.fuzz $$target $(FUZZ_SECONDS); done

audit:  ## ask PyPI's advisories about every pinned version; needs pypi.org itself, a mirror does not have them
	@scripts/setup audit
	set -e; for pins in requirements/*.txt; do \
		.venv-audit/bin/pip-audit --strict --disable-pip --require-hashes --requirement $$pins; done

requirements: setup  ## pin the newest versions that pyproject.toml allows, with hashes
	$(BIN)/python -m pip install --quiet uv
	$(PIN) pyproject.toml --extra fuse --extra test --extra dask --extra lint --output-file requirements/test.txt
	$(PIN) pyproject.toml --extra fuse --extra dask --extra bench --constraint requirements/test.txt --output-file requirements/bench.txt
	$(PIN) pyproject.toml --extra fuse --extra dask --constraint requirements/test.txt --output-file requirements/container.txt
	$(PIN) requirements/container-build.in --constraint requirements/test.txt --output-file requirements/container-build.txt
	$(PIN) pyproject.toml --extra fuzz --constraint requirements/test.txt --output-file requirements/fuzz.txt
	$(PIN) pyproject.toml --extra audit --constraint requirements/test.txt --output-file requirements/audit.txt
	$(PIN) pyproject.toml --extra fuse --extra exporter --constraint requirements/test.txt --output-file requirements/deb.txt
	$(PIN) pyproject.toml --extra docs --constraint requirements/test.txt --constraint requirements/audit.txt --output-file requirements/docs.txt
	$(PIN) $(MM_PINS)/common.in --output-file $(MM_PINS)/common.txt
	$(PIN) $(MM_PINS)/common.in $(MM_PINS)/full.in --constraint $(MM_PINS)/common.txt --output-file $(MM_PINS)/full.txt
	set -e; for environment in $(MM_ALL); do \
		$(PIN) --no-deps $(MM_PINS)/$$environment.in --output-file $(MM_PINS)/$$environment.txt; done

clean:  ## remove what the other targets made here
	rm -rf .venv .venv-* build *.egg-info .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

.PHONY: $(shell sed -n 's/^\([a-z0-9-]*\):.*\#\#.*/\1/p' Makefile)
