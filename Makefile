# Two commands do everything on a fresh machine: `make demo` and `make test`.
# Each sets itself up: nothing is needed but Python 3.10+ and a package index.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN ?= runs/demo
EXPORT ?= exported_models/demo
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-slow lint clean

demo: $(VENV)/.installed
	$(BIN)/simclr-tf pretrain --preset=demo --workdir=$(RUN)
	$(BIN)/simclr-tf evaluate --workdir=$(RUN)
	$(BIN)/simclr-tf export --workdir=$(RUN) --output=$(EXPORT) --overwrite

test: $(VENV)/.installed lint
	$(BIN)/python -m pytest -q -n 2 --dist=loadfile

test-slow: $(VENV)/.installed
	$(BIN)/python -m pytest -q -m slow

lint: $(VENV)/.installed
	$(BIN)/ruff check .

$(VENV)/.installed: setup.py
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 10) <= sys.version_info < (3, 14) \
	  else "simclr-tf needs Python 3.10 to 3.13, this is %d.%d: make PYTHON=python3.x ..." \
	  % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	# The pip that comes with Python 3.10 searches for versions without an end.
	$(BIN)/python -m pip install -q --upgrade 'pip>=24'
	$(BIN)/python -m pip install -q --editable '.[test]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
