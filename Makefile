# Everything runs in a virtual environment of its own, .venv, which the first target builds.
#   make demo    spoken sentences -> translated captions and speech in out/
#   make test    style, types, and all tests
#   make help    the rest

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SAMPLES := seamless_stream/checkpoints/samples
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help demo test check format clean phrasebook check-full-size measure-loading bench bench-sessions bench-long-stream bench-policies bench-server load soak fuzz

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(VENV)/.runtime: pyproject.toml constraints.txt
	@echo "== Building a virtual environment in $(VENV) (a few minutes, about 1.5 GB; nothing outside it is touched)"
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else "Python 3.11 to 3.13 is needed, this is %d.%d: make PYTHON=python3.12 ..." % v)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# torch alone and first, at its pinned version: a range would choose a build with gigabytes of CUDA
	$(BIN)/pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[media]'
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@echo "== Adding what the tests need (transformers as the oracle, pytest, ruff, mypy)"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(VENV)/.runtime  ## spoken sentences become translated captions and speech in out/
	@$(BIN)/python tools/demo.py

test: check  ## style, types and all tests (no sound card, GPU or network needed)
	$(BIN)/python -m pytest

check: $(VENV)/.dev  ## ruff format and lint, mypy --strict, layering
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

format: $(VENV)/.dev  ## let ruff mend what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check-full-size: $(VENV)/.dev  ## v2-large architecture with random weights against transformers (24 GB of memory, 10 GB of disk)
	$(BIN)/python tools/check_full_size.py

measure-loading: $(VENV)/.dev  ## peak memory of loading what check-full-size has written
	$(BIN)/python -m tools.measure_loading ~/.cache/seamless_stream/random-v2-large

bench: $(VENV)/.dev  ## speech encoder against transformers, alternating in one run
	$(BIN)/python tools/bench_encoder.py

bench-sessions: $(VENV)/.dev  ## live sessions in real time at once, and what batching them gains
	$(BIN)/python -m tools.bench_sessions
	$(BIN)/python -m tools.bench_sessions --speech --gain ""

bench-long-stream: $(VENV)/.dev  ## lag and memory of an hour-long stream
	$(BIN)/python -m tools.bench_long_stream --speech

bench-server: $(VENV)/.dev  ## how late the daemon's event loop is while the model is fully busy
	$(BIN)/python -m tools.bench_server

load: $(VENV)/.dev  ## how long 1 to 64 clients of the daemon wait, in real time over real sockets
	$(BIN)/python -m tools.load

soak: $(VENV)/.dev  ## an hour of speech through the daemon's socket, accelerated: memory and waits must stay flat
	$(BIN)/python -m tools.soak

fuzz: $(VENV)/.dev  ## twenty thousand random conversations with the daemon (the tests have thirty)
	FUZZ_EXAMPLES=20000 $(BIN)/python -m pytest tests/server/test_fuzz.py

bench-policies: $(VENV)/.dev  ## quality against latency of the policies; needs the phrasebook's held-out speech
	$(BIN)/python -m tools.bench_policies --plot docs/images/policies.png

phrasebook: $(VENV)/.dev  ## train the bundled checkpoint again, from grammar to weights (hours; resumes)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[phrasebook]'
	$(BIN)/python -m tools.phrasebook.build

clean:  ## remove the virtual environment, out/ and caches
	rm -rf $(VENV) out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
