# The one entry: `make demo` and `make test` need Python >= 3.11 and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
WORKER := $(VENV)/.worker
OUT := .
# The tests start some hundred Python processes: without kept bytecode each compiles what it imports.
unexport PYTHONDONTWRITEBYTECODE
# uv takes seconds where pip takes minutes; pip is there where a house rule keeps uv from its mirror.
UV := uv==0.13.9
install = $(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python $(1) || $(BIN)/python -m pip install -q $(1)

.PHONY: help demo test cloud cloud-test check format proto faults bench lock clean

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/'

demo: $(RUNTIME)  ## the whole service with simulated shoppers, learning before your eyes (two minutes)
	@$(BIN)/omakase demo $(ARGS)

test: $(DEV)  ## every test that this machine can run without the cloud's counterparts
	@$(BIN)/python -m pytest -m 'not cloud' $(ARGS)

cloud-test: $(DEV)  ## the tests over the cloud's counterparts: contracts, faults, whole clusters
	@$(BIN)/python -m pytest -m cluster -n 0
	@$(BIN)/python -m pytest -m 'cloud and not cluster' $(ARGS)

cloud: $(WORKER)  ## what testing against the cloud's counterparts needs: programs (apt, Go), the Dataflow worker's packages
	@tests/counterparts/install.sh

check: $(DEV)  ## lint, types, import directions, drift of generated code
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@mkdir -p build/proto && $(MAKE) -s proto OUT=build/proto
	@diff -r -x __init__.py -x __pycache__ build/proto/omakase/v1 omakase/v1 || (echo "omakase/v1 is not what proto/ says: make proto"; exit 1)

format: $(DEV)  ## put the code in order
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

proto: $(DEV)  ## generate omakase/v1 from proto/
	@$(BIN)/python -m grpc_tools.protoc -I proto --python_out=$(OUT) --pyi_out=$(OUT) proto/omakase/v1/*.proto
	@$(BIN)/python -m grpc_tools.protoc -I proto --grpc_python_out=$(OUT) $(addprefix proto/omakase/v1/,recommender.proto tracking.proto)

faults: $(DEV)  ## the fault matrix: kill, cut, fill, damage and poison the services, and count what is left
	@$(BIN)/python -m tests.fault.matrix $(ARGS)

bench: $(DEV)  ## figures of this machine, with what they are measured against
	@$(BIN)/python -m benchmarks $(ARGS)

lock: $(DEV)  ## resolve the dependencies anew
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-annotate --python-version 3.11 --extra beam \
	    --custom-compile-command 'make lock' -o requirements.lock pyproject.toml
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-annotate --python-version 3.11 --extra beam --extra gcp --extra dev \
	    --custom-compile-command 'make lock' -c requirements.lock -o requirements-dev.lock pyproject.toml
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-annotate --python-version 3.11 --extra gcp \
	    --custom-compile-command 'make lock' -c requirements-dev.lock -o requirements-gcp.lock pyproject.toml
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-annotate --python-version 3.11 --extra gcp --extra dataflow \
	    --custom-compile-command 'make lock' -c requirements-dev.lock -o requirements-dataflow.lock pyproject.toml

clean:  ## forget the environment
	rm -rf $(VENV)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Omakase needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	@$(PYTHON) -m venv $(VENV)

$(RUNTIME): $(VENV)/bin/python requirements.lock pyproject.toml
	@echo "Installing Omakase into $(VENV), once ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check $(UV)
	@$(call install,--require-hashes -r requirements.lock)
	@$(call install,--no-deps -e .)
	@touch $@

$(DEV): $(RUNTIME) requirements-dev.lock
	@$(call install,--require-hashes -r requirements-dev.lock)
	@touch $@

$(WORKER): $(DEV) requirements-dataflow.lock
	@$(call install,--require-hashes -r requirements-dataflow.lock)
	@touch $@
