# make demo, make test, make check and make bench each make their own environment from nothing.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# In the order of their names: the demo, by far the longest, isn't left for the end.
TWO_FILES := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-fast test-exhaustive lint check bench clean

# Train the demo, score variants, write runs/demo/report.html.
demo: $(READY)
	$(BIN)/hyena-glt demo --out runs/demo

# All tests but the exhaustive ones, the demo among them, two files at a time: what tests of a file
# share is made once.
test: $(READY)
	$(BIN)/pytest $(TWO_FILES) -m "not exhaustive"

test-fast: $(READY)
	$(BIN)/pytest $(TWO_FILES)

# Every mixer with every rule of patching and every layout, beyond the cover that `make test` has,
# and what takes minutes alone, as a compiled run does.
test-exhaustive: $(READY)
	$(BIN)/pytest -n 2 -m exhaustive

# What needs no test to run: format, lint, types, the rooms' order.
lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What must hold before a commit.
check: lint test-fast

# The short form of every benchmark of speed, and plots, into runs/bench; a quarter of an hour.
bench: $(READY)
	$(BIN)/python benchmarks/speed.py short

# The pinned PyTorch comes first, so that nothing else picks another build of it.
$(READY): pyproject.toml constraints.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
