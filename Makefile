# What is needed before: Python 3.11 to 3.13, git and make (GNU make 3.81 or newer). The rest goes into .venv.
# `make run PYTHON=python3.12` picks an interpreter; otherwise the first suitable of these is taken.
PYTHON :=
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3 python3.13 python3.12 python3.11 python)
UV_VERSION := 0.13.8
AUDIT_VERSION := 2.10.1

BIN := .venv/bin
INSTALLED := .venv/.installed
BENCHED := .venv-bench/.installed
BENCH_OPTIONS :=
CELLS := cache
SUITABLE := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

# Ray's workers and the tests start many processes: without cached bytecode each spends 10 s on imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test lint docs audit bench bench-search bench-samplers bench-scale clean

run: $(INSTALLED)
	$(BIN)/tosmooth run twonorm

test: lint
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadgroup

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# The site, into build/docs: without network, and any warning (a wrong link, too) fails it. All pages are read anew, since
# many are made of the code. Cells of tutorials run where they have changed (docs/conf.py); `make docs CELLS=off` runs none,
# and then nothing says that a cell is a command of IPython, not Python.
docs: $(INSTALLED)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky --fresh-env --quiet \
		--define nb_execution_mode=$(CELLS) $(if $(filter off,$(CELLS)),--define suppress_warnings=misc.highlighting_failure) \
		--doctree-dir build/docs-read docs build/docs
	@echo "The site is in build/docs: open build/docs/index.html"

# Asks a public service for known vulnerabilities of what is locked; a package that it does not know is a failure, too.
# It needs the network and may say something else tomorrow: no part of `make test` or of CI.
audit: $(INSTALLED)
	$(BIN)/uv tool run pip-audit==$(AUDIT_VERSION) --strict --disable-pip --require-hashes --requirement requirements.lock

# Each measures for minutes, on a machine that does nothing else. The numbers go to build/benchmarks/*.json, too.
bench: $(INSTALLED)
	@for script in $(filter-out %/bench_samplers.py,$(wildcard tests/benchmarks/bench_*.py)); do \
		echo "== $$script"; \
		$(BIN)/python "$$script" --json "build/benchmarks/$$(basename "$$script" .py).json" || exit 1; \
	done

# The search against the paper's full grid, replayed on recorded trials.
bench-search: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/bench_search.py --json build/benchmarks/bench_search.json
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/bench_search.py --study cifar10n-cpu \
		--json build/benchmarks/bench_search_cifar10n.json
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/bench_search.py --study ringnorm --no-variants \
		--json build/benchmarks/bench_search_ringnorm.json

# The search beside other libraries' samplers, on every recorded surface: hours, most of them HEBO's. None of these is
# installed with the product. NePS wants another gpytorch than Ax, HEBO another numpy than all: each has an environment
# of its own. HEBO's needs Python 3.11; where there is none it is left out.
# make bench-samplers BENCH_OPTIONS="--studies 5 --surfaces twonorm digits --samplers Ax 'Optuna TPE'"
bench-samplers: $(BENCHED)
	OMP_NUM_THREADS=1 .venv-bench/bin/python tests/benchmarks/bench_samplers.py $(BENCH_OPTIONS) \
		--markdown build/benchmarks/bench_samplers.md --json build/benchmarks/bench_samplers.json

$(BENCHED): $(INSTALLED) tests/benchmarks/samplers/hebo.txt tests/benchmarks/samplers/neps.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-bench
	$(BIN)/uv pip install --python .venv-bench/bin/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --python .venv-bench/bin/python --no-deps --no-build-isolation -e .
	$(BIN)/uv pip install --python .venv-bench/bin/python -c requirements.lock -r pyproject.toml --extra bench
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-bench-neps
	$(BIN)/uv pip install --python .venv-bench-neps/bin/python -r tests/benchmarks/samplers/neps.txt
	if $(BIN)/uv venv --quiet --clear --no-python-downloads --python 3.11 .venv-bench-hebo; then \
		$(BIN)/uv pip install --python .venv-bench-hebo/bin/python -r tests/benchmarks/samplers/hebo.txt; \
	fi
	@touch $@

# 20,000 trials of simulated duration on 1,000 virtual workers, for each sampler and several shapes: minutes each.
bench-scale: $(INSTALLED)
	$(BIN)/python tests/benchmarks/scale.py --json build/benchmarks/scale.json

# Made anew unless a set-up was finished here before; after a change of the lock it is brought up to date in place.
# The project is built with the pinned hatchling of the lock (no build isolation), so that nothing unpinned is run.
$(INSTALLED): pyproject.toml requirements.lock
	@found=; for python in $(CANDIDATES); do \
		if "$$python" -c "$(SUITABLE)" 2>/dev/null; then found="$$python"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "No suitable Python among: $(CANDIDATES)."; \
		echo "tosmooth needs Python 3.11, 3.12 or 3.13 with venv (on Debian and Ubuntu the package python3-venv)."; \
		echo "Install one, or name yours: make run PYTHON=/path/to/python3.12"; \
		exit 1; \
	fi; \
	if [ ! -e $@ ]; then echo "Setting up .venv with $$found"; "$$found" -m venv --clear .venv; fi
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

clean:
	rm -rf .venv .venv-bench .venv-bench-hebo .venv-bench-neps build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find trainables search studies tests -name __pycache__ -type d -prune -exec rm -rf {} +
