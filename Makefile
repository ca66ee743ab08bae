# The two commands of the README: `make demo` and `make test`. Both make .venv on first use and reuse it after that.

FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.13; do $$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin

.PHONY: demo test check bench clean

demo: .venv/ready
	$(BIN)/python examples/demo.py

test: .venv/ready
	$(BIN)/pytest

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/ready
	$(BIN)/python benchmarks/deploy.py
	$(BIN)/python benchmarks/overhead.py benchmarks/results/*.bundle
	$(BIN)/python benchmarks/serve_overhead.py

.venv/ready: pyproject.toml constraints.txt
	@$(or $(PYTHON),false) -c '$(FITS)' || { echo "Roadworthy needs Python 3.11 to 3.13; name one with: make PYTHON=/path/to/python3.12 ..."; exit 1; }
	@command -v g++ >/dev/null || { echo "Roadworthy needs a C++ compiler (g++) to build some of the candidates"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	@touch $@

clean:
	rm -rf .venv demo build dist
