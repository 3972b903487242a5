# Everything is set up by the targets themselves: a virtual environment in the
# checkout, and hash-checked packages. Only Python 3.11+ and make must be
# there (and uv for `make lock`).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MLFLOW := .venv-mlflow
BENCH := .venv-bench
CRT := .venv-crt
HDFS := .venv-hdfs
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check
PIP_DOWNLOAD = -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes

.PHONY: demo test test-interop test-all lint types format build servers stores-table
.PHONY: bench bench-peers lock clean

demo: $(VENV)/.demo
	$(BIN)/python -m bench.demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto -m "not mlflow and not slow"

test-interop: $(VENV)/.dev $(MLFLOW)/.done
	$(BIN)/python -m pytest -m mlflow tests/interop

test-all: servers $(VENV)/.dev $(MLFLOW)/.done $(HDFS)/.done
	$(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

build: $(VENV)/.dev
	$(BIN)/python -m hatchling build

# Runs the conformance tests against all servers and writes what they showed into the README.
stores-table: servers $(VENV)/.dev $(MLFLOW)/.done $(HDFS)/.done
	$(BIN)/python -m pytest tests/conformance -p tests.conformance.table --stores-table

# What the whole test suite takes from Debian, which needs root, and from npm.
servers:
	apt-get update -qq
	xargs -r apt-get install -y -qq --no-install-recommends < tests/debian.txt
	command -v npm || apt-get install -y -qq --no-install-recommends npm
	mkdir -p .node
	xargs -r npm install --prefix .node --no-save --no-audit --no-fund --silent < tests/npm.txt

# Measures beside the peers that are installed, and names those that are not.
# Options: make bench BENCH_ARGS=--quick
bench: $(BENCH)/.done $(CRT)/.done
	$(BENCH)/bin/python -m bench $(BENCH_ARGS)

# The peers that come from Debian; needs root.
bench-peers:
	apt-get update -qq
	grep -v '^#' bench/debian.txt | xargs -r apt-get install -y -qq --no-install-recommends

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "transfer needs Python 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.demo: $(VENV)/.python constraints/demo.txt pyproject.toml
	$(BIN)/python $(PIP_INSTALL) --require-hashes -r constraints/demo.txt
	$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.dev: $(VENV)/.python constraints/dev.txt pyproject.toml
	$(BIN)/python $(PIP_INSTALL) --require-hashes -r constraints/dev.txt
	$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation -e .
	touch $@ $(VENV)/.demo

# MLflow has so many dependencies that it gets an environment of its own.
$(MLFLOW)/.done: constraints/mlflow.txt
	$(PYTHON) -m venv $(MLFLOW)
	$(MLFLOW)/bin/python $(PIP_INSTALL) --require-hashes -r constraints/mlflow.txt
	touch $@

# Apart from the tests' tools, so that what is measured is what people install.
$(BENCH)/.done: constraints/bench.txt pyproject.toml
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python $(PIP_INSTALL) --require-hashes -r constraints/bench.txt
	$(BENCH)/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation -e .
	touch $@

# Apart, because the mere presence of awscrt changes what the other AWS clients do.
$(CRT)/.done: constraints/crt.txt
	$(PYTHON) -m venv $(CRT)
	$(CRT)/bin/python $(PIP_INSTALL) --require-hashes -r constraints/crt.txt
	touch $@

# The jars of a Hadoop server, which come inside PySpark's source distribution.
$(HDFS)/.done: constraints/hdfs.txt constraints/hdfs-build.txt
	rm -rf $(HDFS)
	mkdir -p $(HDFS)
	PIP_CONSTRAINT=$(CURDIR)/constraints/hdfs-build.txt $(PYTHON) $(PIP_DOWNLOAD) -d $(HDFS) -r $<
	tar -xzf $(HDFS)/pyspark-*.tar.gz -C $(HDFS) --strip-components=2 --wildcards '*/deps/jars/*'
	rm $(HDFS)/pyspark-*.tar.gz
	touch $@

UV_COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-header --no-emit-index-url --no-emit-find-links

lock:
	$(UV_COMPILE) --upgrade --extra dev pyproject.toml -o constraints/dev.txt
	$(UV_COMPILE) --extra demo pyproject.toml -c constraints/dev.txt -o constraints/demo.txt
	$(UV_COMPILE) --extra bench pyproject.toml -c constraints/dev.txt -o constraints/bench.txt
	$(UV_COMPILE) constraints/crt.in -c constraints/dev.txt -o constraints/crt.txt
	$(UV_COMPILE) constraints/mlflow.in -o constraints/mlflow.txt

clean:
	rm -rf $(VENV) $(MLFLOW) .node $(BENCH) $(CRT) $(HDFS) dist demo-data
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
