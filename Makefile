# The two commands of the README. Everything happens in .venv; nothing but Python >= 3.11 with venv, and make, must be there before.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CPP = $(shell find skipvid tests -name '*.[ch]pp')

.PHONY: demo test lint clean

demo: $(STAMP)
	mkdir -p demo
	$(BIN)/skipvid detect sample_videos/plaza.mp4 -o demo/plaza_skipvid.mp4 -o demo/plaza_skipvid.jsonl --csv demo/cost.csv --overwrite --offline
	$(BIN)/skipvid report sample_videos/plaza.mp4 --html demo/report.html --csv demo/report.csv --max-frames 100 --overwrite --offline
	@echo "The annotated video, the reports and the CSV files are in demo/:" && ls -l demo

# On as many cores as there are, up to four: a worker takes a gigabyte. A file's tests stay together while there are others to share out.
test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@if [ -x $(BIN)/clang-format ]; then $(BIN)/clang-format --dry-run --Werror $(CPP); else echo "left out: clang-format is not installed"; fi

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("skipvid needs Python 3.11 or newer; set PYTHON=/path/to/python3" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
