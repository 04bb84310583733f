# Everything a developer or a visitor runs. Needs Python 3.11 or later, make and git; nothing else.
#
#   make demo         a seeded gateway on http://127.0.0.1:8000   PORT= DETACH=1 DATABASE_URL= REDIS_URL= UPSTREAM_URL=
#   make demo-stop    stop it                                     PORT=
#   make test         the suite on SQLite, then its database part on PostgreSQL and Redis
#   make check        lint, types, migrations, deployment checks
#   make bench        throughput and latency against a bare pass-through     JSON=file
#   make hammer       processes killed under load, then a very large record  ROUNDS= SEED= RACES= CALLS=

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all:
PORT ?= 8000
WORKERS ?= 2

.PHONY: demo demo-stop test check bench hammer
.DELETE_ON_ERROR:

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Postern needs Python 3.11 or later: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.txt | $(VENV)/bin/python
	$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.test: requirements-test.txt | $(VENV)/bin/python
	$(PIP) -r requirements-test.txt
	@touch $@ $(VENV)/.runtime

$(VENV)/.dev: requirements-dev.txt | $(VENV)/bin/python
	$(PIP) -r requirements-dev.txt
	@touch $@ $(VENV)/.test $(VENV)/.runtime

demo: $(VENV)/.runtime
	@$(BIN)/python manage.py demo --port $(PORT) $(if $(filter-out 0,$(DETACH)),--detach) $(if $(UPSTREAM_URL),--upstream-url '$(UPSTREAM_URL)')

demo-stop:
	@test ! -x $(BIN)/python || $(BIN)/python manage.py demo --port $(PORT) --stop

test: $(VENV)/.test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
	$(BIN)/python -m tests.services $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m database

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python -m tests.deployment
	$(BIN)/python -m pytest -q tests/test_docs.py tests/test_architecture.py

bench: $(VENV)/.test
	$(BIN)/python -m bench $(if $(JSON),--json '$(JSON)')
	$(BIN)/python -m bench.tokens

hammer: $(VENV)/.test
	$(BIN)/python -m tests.server.hammer --rounds $(or $(ROUNDS),200) $(if $(SEED),--seed $(SEED))
	$(BIN)/python -m tests.services $(BIN)/python -m tests.server.hammer --rounds $(or $(ROUNDS),200) $(if $(SEED),--seed $(SEED))
	RACES=$(or $(RACES),10000) $(BIN)/python -m pytest -q -p no:xdist --timeout 7200 tests/approvals/test_races.py
	RACES=$(or $(RACES),10000) $(BIN)/python -m tests.services $(BIN)/python -m pytest -q -p no:xdist --timeout 7200 tests/approvals/test_races.py
	ROTATING_SECONDS=$(or $(ROTATING),60) $(BIN)/python -m pytest -q -p no:xdist tests/server/test_rotation.py
	ROTATING_SECONDS=$(or $(ROTATING),60) $(BIN)/python -m tests.services $(BIN)/python -m pytest -q -p no:xdist tests/server/test_rotation.py
	$(BIN)/python -m tests.services $(BIN)/python -m bench.evidence --calls $(or $(CALLS),1500000)
