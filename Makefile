# The commands of a day. Everything runs in .venv, which `make setup` builds from pinned versions.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.zkgrad-setup

.PHONY: setup check test test-services test-gpu kernels browser docs soak demo bench clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "zkgrad needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all,dev,docs]'
	touch $(STAMP)

check: setup
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# What needs more than the checkout: builds the wheel and uses it in fresh environments, drives a Chromium and starts a
# PostgreSQL server that are installed (apt-get install chromium postgresql), and mounts a small disk in a user namespace.
# A skip is a failure here.
test-services: setup browser
	$(BIN)/python -m pytest -m services --strict-markers -p tests.no_skips

# The page /verify: the verifier, and CPython for WebAssembly at the version that package-lock.json pins (needs npm).
browser: setup
	npm ci --prefix api/service/browser --no-audit --no-fund --silent
	$(BIN)/python -m api.browser_build

# The documentation, into site/. Fetches nothing, and neither do its pages.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Compiles the GPU kernels for both architectures that are named; nothing is run. A missing compiler is said, not an error.
kernels:
	@if command -v nvcc > /dev/null; then \
	  for arch in sm_80 sm_90; do \
	    nvcc -std=c++17 -arch=$$arch -Werror all-warnings -cubin -o /dev/null prover/backends/kernels.cu || exit 1; \
	    echo "kernels compile for $$arch" >&2; \
	  done; \
	else echo "nvcc is not installed: the GPU kernels were compiled for the host only, by the tests" >&2; fi

# On a machine with a CUDA device: every kernel and whole proofs against the CPU. A skip is a failure here.
test-gpu: setup
	$(BIN)/python -m pytest tests/gpu -m gpu --strict-markers -p tests.no_skips

# Long mutation tests, hours rather than minutes.
soak: setup
	$(BIN)/python -m pytest -m soak

demo: setup
	$(BIN)/zkgrad demo

bench: setup
	$(BIN)/python -m bench demo

clean:
	rm -rf build dist runs site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache zkgrad.egg-info
