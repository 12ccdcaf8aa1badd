# Two commands do all on a fresh machine with Python >= 3.11: `make demo` and `make test`.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test check data mysql has-mariadb lint types docs mutants clean

demo: $(VENV)/.demo  ## install, then evolve an optimizer on an embedded data set
	$(BIN)/optuna_evo study run studies/digits_optimizer.toml

test: $(VENV)/.test  ## install, then run all tests of the default suite
	$(BIN)/python -m pytest -q -n 2 --dist worksteal

check: test data lint types docs  ## what CI runs

data: $(VENV)/.test  ## tests on real files in OPTUNA_EVO_DATA or ../shared/data; skipped without
	$(BIN)/python -m pytest -q -m "data and not slow and not gpu"

mysql: $(VENV)/.test  ## tests on a real MariaDB (Debian: mariadb-server); skipped without
	@if $(MAKE) --silent has-mariadb; then $(BIN)/python -m pytest -q -m mysql; \
	else echo "No MariaDB, so its tests are skipped: apt-get install mariadb-server"; fi

has-mariadb:
	@PATH="$$PATH:/usr/sbin:/usr/local/sbin" command -v mariadbd >/dev/null

lint: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.test
	$(BIN)/mypy

docs: $(VENV)/.test  ## the site of the public names, with the README in front, in build/docs
	$(BIN)/python docs/build_site.py build/docs

mutants: $(VENV)/.test  ## by hand: do the tests notice small changes of the code?
	$(BIN)/pip install --quiet --editable ".[mutants]"
	$(BIN)/python -m tests.mutants

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch and torchvision must come from one resolution: a mismatch breaks torchvision's operators
$(VENV)/.demo: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/.test: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --editable ".[test,dev]"
	touch $@

clean:
	rm -rf $(VENV) build mutants *.egg-info
