# The two commands of the README: `make demo` and `make test`. Both make .venv on first use and reuse it after that.

FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.13; do $$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin

.PHONY: demo demo-keras demo-exports test fast soak masks check bench clean

demo: .venv/ready
	$(BIN)/python examples/demo.py

demo-keras: .venv/ready-tensorflow
	$(BIN)/python examples/demo_keras.py

# Files of tests run side by side, by so many processes: one more than a machine of two cores has, because many tests wait for a server or a
# child. Children do not write byte code; they find what is written here.
WORKERS ?= 3
PYTEST = $(BIN)/python -m compileall -q src tests && $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# The demo's bundle as a page in a browser and as one executable; needs npm and Chromium.
demo-exports: .venv/ready
	$(BIN)/python examples/demo_exports.py

test: .venv/ready .venv/ready-tensorflow
	$(PYTEST)

# All but what starts a child that imports a framework, and what takes seconds.
fast: .venv/ready .venv/ready-tensorflow
	$(PYTEST) -m "not slow and not soak"

# The long forms; tens of minutes.
soak: .venv/ready .venv/ready-tensorflow
	$(PYTEST) -m soak

# What depends on the CPU, under each mask of features that this CPU has.
masks: .venv/ready .venv/ready-tensorflow
	$(BIN)/python tests/masks.py

check: .venv/ready .venv/ready-tensorflow
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/ready .venv/ready-tensorflow
	$(BIN)/python benchmarks/deploy.py
	$(BIN)/python benchmarks/overhead.py benchmarks/results/*.bundle
	$(BIN)/python benchmarks/serving/run.py --only roadworthy,inline

INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.venv/bin/python:
	@$(or $(PYTHON),false) -c '$(FITS)' || { echo "Roadworthy needs Python 3.11 to 3.13; name one with: make PYTHON=/path/to/python3.12 ..."; exit 1; }
	@command -v g++ >/dev/null || { echo "Roadworthy needs a C++ compiler (g++) to build some of the candidates"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/ready: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) -e '.[every-torch,dev]'
	@touch $@

# tf-keras asks for the tensorflow package by name, where tensorflow-cpu has the same modules.
.venv/ready-tensorflow: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) -e '.[every-tensorflow,dev]'
	$(INSTALL) --no-deps tf-keras
	@touch $@

clean:
	rm -rf .venv demo build dist
