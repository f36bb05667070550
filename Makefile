# The kit's commands. Each sets up what it needs; only Python 3.11 or newer, make and a package registry are assumed.

.DEFAULT_GOAL := help

BIN := .venv/bin
# Written last, so an interrupted set-up leaves none. Holds the checkout's path: a moved .venv has to be made again.
READY := .venv/.ready
HEALTHY := $(shell [ "$$(cat $(READY) 2>/dev/null)" = "$$(pwd -P)" ] && $(BIN)/python -I -c \
  'import sys; from importlib.util import find_spec as f; sys.exit(not (f("lambdalab") and f("torch")))' \
  2>/dev/null && echo yes)

# Without compiled bytecode every kernel would import torch and torchvision several seconds slower.
export UV_COMPILE_BYTECODE := 1
export UV_PYTHON_DOWNLOADS := never

# Set $python to one that is new enough, or stop with one line.
find_python = for python in python3 python3.13 python3.12 python3.11 none; do \
    [ $$python = none ] || ! $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || break; \
  done; \
  [ $$python != none ] || { \
    echo "lambdalab needs Python 3.11 or newer; found $$(python3 --version 2>/dev/null || echo no python3)." >&2; exit 1; }

# Set $uv to the one on PATH, or to our own, which $python gets if need be.
find_uv = uv=uv; $$uv --version >/dev/null 2>&1 || uv=.uv/bin/uv; \
  $$uv --version >/dev/null 2>&1 || { \
    echo "Getting uv into .uv"; rm -rf .uv; \
    $$python -m venv .uv && .uv/bin/python -m pip install --quiet --disable-pip-version-check uv; } || { \
    echo "lambdalab could not get uv; install uv (or the package python3-venv) and run make again." >&2; exit 1; }

# Outputs are compared with the stored ones, so whatever changes them is the same everywhere. A notebook chooses its
# own matplotlib backend: an inherited one would leave its figures out.
REPEATABLE := env -u MPLBACKEND PYTHONHASHSEED=0 OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE
SOURCES := lambdalab tests notebooks docs conftest.py
NB ?= $(wildcard notebooks/*.ipynb)
UNSTABLE := metadata.widgets metadata.papermill metadata.language_info.version cell.metadata.papermill \
  cell.metadata.execution

.PHONY: help run test lab lint format lock notebooks site wheel clean always

help: ## print this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 18

run: $(READY) ## train a lambda network in a notebook, into runs/tutorial
	$(BIN)/lambdalab run 00_start_here --out runs/tutorial
	$(BIN)/lambdalab run 06_train --out runs/tutorial

test: $(READY) ## run the tests, and every notebook against its stored outputs
	$(REPEATABLE) $(BIN)/python -m pytest -n 2 --dist loadscope --nbval --nbval-current-env \
	  --nbval-sanitize-with tests/nbval_sanitize.cfg --nbval-cell-timeout=300 tests notebooks

lab: $(READY) ## open JupyterLab on the first notebook (LAB_FLAGS=--no-browser where there is none)
	$(BIN)/jupyter lab --ip=127.0.0.1 $(if $(filter 0,$(shell id -u)),--allow-root) $(LAB_FLAGS) \
	  --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb

lint: $(READY) ## check style and formatting
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

format: $(READY) ## fix style and formatting
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

lock: ## resolve pyproject.toml into requirements.lock (LOCK_FLAGS=--upgrade for new versions)
	@$(find_python); $(find_uv); $$uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --extra dev --custom-compile-command "make lock" $(LOCK_FLAGS) pyproject.toml --output-file requirements.lock

notebooks: $(READY) ## execute the committed notebooks in place (NB=notebooks/06_train.ipynb for one)
	$(REPEATABLE) $(BIN)/jupyter nbconvert --to notebook --execute --inplace \
	  --ExecutePreprocessor.kernel_name=python3 --ExecutePreprocessor.timeout=600 \
	  --ExecutePreprocessor.store_widget_state=False $(NB)
	$(BIN)/jupyter nbconvert --log-level=WARN --to notebook --inplace --coalesce-streams $(NB)
	$(BIN)/nbstripout --keep-output --keep-count --extra-keys "$(UNSTABLE)" $(NB)

site: export LAMBDALAB_REPOSITORY := $(or $(REPOSITORY),$(LAMBDALAB_REPOSITORY))
site: $(READY) ## build the web site into build/site (REPOSITORY=owner/name: with Colab and Binder buttons)
	@$(BIN)/python docs/_ext/repository.py
	@rm -rf build/site build/doctrees
	@OMP_NUM_THREADS=1 $(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -c docs -d build/doctrees . build/site
	@echo "The site is built: open build/site/index.html in a browser."

wheel: $(READY) ## build a wheel that carries the whole course into dist
	@$(find_python); $(find_uv); $$uv build --quiet --no-build-isolation --python $(BIN)/python --out-dir dist
	@echo "pip install $$(ls -t dist/*.whl | head -1), then: lambdalab init course"

clean: ## remove .venv, caches and build outputs; runs/ and data/ stay
	rm -rf .venv .uv build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .coverage htmlcov
	find $(wildcard $(SOURCES)) -name __pycache__ -prune -exec rm -rf {} +

# A healthy .venv is only brought up to date; anything else, half an installation too, is made anew.
$(READY): requirements.lock pyproject.toml $(if $(HEALTHY),,always)
	@$(find_python); $(find_uv); set -e; rm -f $(READY); \
	$(if $(HEALTHY),echo "Bringing .venv up to date";,\
	  echo "Setting up .venv with $$($$python --version) (about 2 minutes and 6 GB, once)"; \
	  rm -rf .venv; $$uv venv --quiet --python "$$(command -v $$python)" .venv;) \
	$$uv pip install --python $(BIN)/python --require-hashes --requirements requirements.lock; \
	$$uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .; \
	pwd -P > $(READY)
