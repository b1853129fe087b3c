# Two commands do everything on a fresh machine: `make demo` and `make test`.
# Each sets itself up: nothing is needed but Python 3.10+ and a package index.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The second lane (TensorFlow 2.15 with TensorFlow Addons) needs Python 3.10 or 3.11.
PYTHON_ADDONS ?= $(firstword $(foreach python,$(PYTHON) python3.11 python3.10,\
  $(if $(shell $(python) -c 'import sys; (3, 10) <= sys.version_info < (3, 12) and \
  print(1)' 2>/dev/null),$(python))))
VENV_ADDONS ?= .venv-addons
BIN_ADDONS := $(VENV_ADDONS)/bin
EXCHANGE := -m tests.lanes.exchange
# Processes of a suite (on two cores three: some tests wait); 0: none but pytest's own.
PROCESSES ?= 3
# Prose, pages, figures, flags and refusals: once is enough.
ONE_LANE := architecture benchmarks fuzz report studies tools/test_bad_input.py \
  tools/test_flags.py tools/test_help.py tools/test_next_command.py \
  tools/test_refused_before_work.py
# Files begin in the order of tests/conftest.py: the longest first.
PYTEST := python -m pytest -q -n $(PROCESSES) --dist=loadfile --no-loadscope-reorder
# pip would compile all files of TensorFlow, and with PYTHONDONTWRITEBYTECODE in the
# environment each process those that it imports: half of its start. One import keeps
# them, once.
COMPILED := PYTHONDONTWRITEBYTECODE= TF_CPP_MIN_LOG_LEVEL=3
RUN ?= runs/demo
EXPORT ?= exported_models/demo
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-addons test-lanes test-slow lint docs clean

demo: $(VENV)/.installed
	$(BIN)/simclr-tf pretrain --preset=demo --workdir=$(RUN)
	$(BIN)/simclr-tf evaluate --workdir=$(RUN)
	$(BIN)/simclr-tf export --workdir=$(RUN) --output=$(EXPORT) --overwrite

test: $(VENV)/.installed lint
	$(BIN)/$(PYTEST)

# The same suite on the second lane, with the tests that need TensorFlow Addons, and
# without those that do not depend on the version of TensorFlow.
test-addons: $(VENV_ADDONS)/.installed
	$(BIN_ADDONS)/$(PYTEST) $(ONE_LANE:%=--ignore=tests/%)

# What one lane writes, the other reads: checkpoints, SavedModels, configurations.
# Both lanes at a time.
test-lanes: $(VENV)/.installed $(VENV_ADDONS)/.installed
	$(BIN)/python $(EXCHANGE) write build/lanes/main & first=$$!; \
	  $(BIN_ADDONS)/python $(EXCHANGE) write build/lanes/addons && wait $$first
	$(BIN)/python $(EXCHANGE) read build/lanes/addons & first=$$!; \
	  $(BIN_ADDONS)/python $(EXCHANGE) read build/lanes/main && wait $$first

test-slow: $(VENV)/.installed
	$(BIN)/python -m pytest -q -m slow

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Every page as a site, in build/site: a broken link or a page that nothing lists is an
# error.
docs: $(VENV)/.installed-docs
	rm -rf build/site
	$(BIN)/python -m sphinx -W --keep-going -q -c docs -d build/doctrees . build/site
	@echo "Written: build/site/index.html"

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install -q --no-compile --editable '.[docs]'
	@touch $@

$(VENV)/.installed: setup.py
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 10) <= sys.version_info < (3, 14) \
	  else "simclr-tf needs Python 3.10 to 3.13, this is %d.%d: make PYTHON=python3.x ..." \
	  % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	# The pip that comes with Python 3.10 searches for versions without an end.
	$(BIN)/python -m pip install -q --upgrade 'pip>=24'
	$(BIN)/python -m pip install -q --no-compile --editable '.[test]'
	$(COMPILED) $(BIN)/python -c 'import tensorflow, tf_keras'
	@touch $@

$(VENV_ADDONS)/.installed: setup.py
	@test -n "$(PYTHON_ADDONS)" || { echo "The Addons lane needs Python 3.10 or 3.11, and \
	neither was found: make PYTHON_ADDONS=/path/to/python3.11 ..." >&2; exit 2; }
	$(PYTHON_ADDONS) -m venv $(VENV_ADDONS)
	$(BIN_ADDONS)/python -m pip install -q --upgrade 'pip>=24'
	$(BIN_ADDONS)/python -m pip install -q --no-compile --editable \
	  '.[test,addons]'
	$(COMPILED) $(BIN_ADDONS)/python -c 'import keras, tensorflow, tensorflow_addons'
	@touch $@

clean:
	rm -rf $(VENV) $(VENV_ADDONS) build dist *.egg-info
