# The house tools. `make` alone says what there is; CONTRIBUTING.md says when to use what.
# Needs git, make and a python3 >= 3.11 with venv (Debian: python3-venv); the rest lands in .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
export PYTHONPATH := tests
# The tests start hundreds of agents; none of them should have to compile its modules first.
export PYTHONDONTWRITEBYTECODE :=

# An installation is redone only when what it depends on has changed.
RUN_TIME    := $(VENV)/.run-time
DEVELOPMENT := $(VENV)/.development
FUZZING     := $(VENV)/.fuzzing

SEEDS ?= 200
BASE  ?= 0
JOBS  ?= $(shell nproc)
N     ?= 10
ROWS  ?=
PEERS ?=
MISHAPS ?=
MINUTES ?= 120
FAULTS ?= 300
SMALL ?=
SECONDS ?= 60
TARGETS ?=

# Tests wait more than they compute: more of them at once than there are processors.
WORKERS ?= $(shell echo $$((2 * $$(nproc))))

# Most stories wait more than they compute; those that do not are told alone, one after another.
# The stories of a file share what takes long to make (a booted machine), and follow one another.
LAB_WORKERS ?= $(shell nproc)

.DEFAULT_GOAL := help
.PHONY: help venv demo test lab sim prove fuzz ordeal check bench bench-peers bench-systemd soak man deb
.PHONY: golden-rewrite clean

help:
	@echo "make demo            three agents on loopback: an election, a crash, a freeze (no root)"
	@echo "make test            everything that needs no root, in two minutes"
	@echo "make check           ruff, mypy strict, layering, tidiness"
	@echo "make lab             real agents on namespaced hosts (root; FTL_LAB=required: no skips)"
	@echo "make sim             the simulator: SEEDS=$(SEEDS) schedules of each kind from BASE=$(BASE);"
	@echo "                     SEED=7 KIND=quorum TRACE=file replays one;"
	@echo "                     CROWD=500 tells the story of a group of so many"
	@echo "make prove           the core's rules taken out one by one: who notices? small worlds searched to"
	@echo "                     their end (SMALL=1: only what takes seconds); rollouts of other voters, and"
	@echo "                     SEEDS=$(SEEDS) schedules of each kind"
	@echo "make fuzz            what strangers and local users can say, coverage-guided: SECONDS=$(SECONDS) each,"
	@echo "                     TARGETS=\"datagrams records configuration requests guardian_input\""
	@echo "make ordeal          FAULTS=$(FAULTS) random faults on real agents, four groups (root)"
	@echo "make bench           the figures, measured (root): ROWS=\"crash cut\" N=$(N)"
	@echo "make bench-peers     the same faults, also for keepalived, ucarp and npm (root): N=3 PEERS="
	@echo "make bench-systemd   the job of a leader on booted machines (root): N=5 MISHAPS="
	@echo "make soak            ten agents for MINUTES=$(MINUTES), faults, what must stay flat (root)"
	@echo "make man             the man pages, in dist/man"
	@echo "make deb             the Debian package, dist/ftl-agent_VERSION_all.deb"
	@echo "make golden-rewrite  rewrite the golden files; review the diff"
	@echo "make venv            the environment for development in $(VENV)"
	@echo "make clean           remove $(VENV) and every cache"

venv: $(DEVELOPMENT)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) is older than 3.11; name another: make PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(RUN_TIME): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(DEVELOPMENT): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $(RUN_TIME) $@

$(FUZZING): $(DEVELOPMENT)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev,fuzz]"
	@touch $@

demo: $(RUN_TIME)
	@$(BIN)/ftl-agent demo

test: $(DEVELOPMENT)
	$(BIN)/pytest -q -m "not lab" -n $(WORKERS) --dist worksteal

lab: $(DEVELOPMENT)
	$(BIN)/pytest -m "lab and not alone" -n $(LAB_WORKERS) --dist loadfile --durations=5
	$(BIN)/pytest -m "lab and alone" --durations=5

sim: $(DEVELOPMENT)
	$(BIN)/python -m sim.run $(if $(KIND),--kind $(KIND)) $(if $(CROWD),--crowd $(CROWD)) \
	  $(if $(SEED),--seed $(SEED),\
	  --seeds $(SEEDS) --base $(BASE) --jobs $(JOBS)) $(if $(TRACE),--trace $(TRACE))

prove: $(DEVELOPMENT)
	@$(BIN)/python -m prove.mutants
	@$(BIN)/python -m prove.exhaustive --jobs $(JOBS) $(if $(SMALL),--small)
	$(if $(SMALL),,@$(BIN)/python -m prove.exhaustive --jobs $(JOBS) --without-rules)
	@$(BIN)/python -m sim.rollout --seeds $(SEEDS) --base $(BASE) --jobs $(JOBS)
	@$(BIN)/python -m sim.run --seeds $(SEEDS) --base $(BASE) --jobs $(JOBS)

fuzz: $(FUZZING)
	@$(BIN)/python -m fuzz.run --seconds $(SECONDS) --jobs $(JOBS) $(TARGETS)

ordeal: $(DEVELOPMENT)
	@$(BIN)/python -m bench.ordeal --faults $(FAULTS) $(if $(SEED),--seed $(SEED))

check: $(DEVELOPMENT)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest -q tests/test_layering.py tests/test_tidy.py

bench: $(DEVELOPMENT)
	@$(BIN)/python -m bench.run -n $(N) $(ROWS)

bench-peers: N := $(if $(filter command% environment%,$(origin N)),$(N),3)
bench-peers: $(DEVELOPMENT)
	@$(BIN)/python -m bench.peers -n $(N) $(PEERS)

bench-systemd: N := $(if $(filter command% environment%,$(origin N)),$(N),5)
bench-systemd: $(DEVELOPMENT)
	@$(BIN)/python -m bench.systemd -n $(N) $(MISHAPS)

soak: $(DEVELOPMENT)
	@$(BIN)/python -m bench.soak --minutes $(MINUTES) $(if $(KIND),--kind $(KIND)) \
	  $(if $(SEED),--seed $(SEED))

man: $(RUN_TIME)
	$(BIN)/python packaging/man/build.py dist/man

deb:
	@packaging/build-deb

golden-rewrite: $(DEVELOPMENT)
	FTL_GOLDEN=rewrite $(BIN)/pytest -q -m "not lab"
	$(BIN)/python -m wire.golden
	@git diff --stat

clean:
	rm -rf $(VENV) build dist agent/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .fuzz
	find agent tests -name __pycache__ -prune -exec rm -rf {} +
