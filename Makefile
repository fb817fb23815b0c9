# Everything is set up below this folder: .venv (packages), .cache (downloads, tool caches), .tests (what tests leave;
# their servers' files are in /dev/shm where there is room, tests/scratch.py).
PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin
EXTRAS := embedded,analytics,s3,test,lint

export PIP_CACHE_DIR := $(CURDIR)/.cache/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export MPLCONFIGDIR := $(CURDIR)/.cache/matplotlib
export MYPY_CACHE_DIR := $(CURDIR)/.cache/mypy
export RUFF_CACHE_DIR := $(CURDIR)/.cache/ruff

# what `make soak AREA=…` runs
SOAK_AREAS := real-input relational time-series documents-and-keys jobs backups
SOAK_real-input := tests/unit/stores/sql tests/unit/ingest tests/contracts/ingest tests/contracts/stores/test_copy_binary_server.py \
	tests/faults/test_ingest_bad_days.py
SOAK_relational := tests/migration/test_online_revisions.py tests/faults/test_migrations_under_writers.py tests/contracts/domains \
	tests/contracts/relay tests/contracts/sealing tests/contracts/audit tests/contracts/stores/test_postgres_async.py \
	tests/faults/test_relational_bad_days.py tests/faults/test_sql_cancel.py tests/faults/test_sql_close.py
SOAK_time-series := tests/unit/timescale tests/contracts/timescale tests/migration/test_series_engines.py tests/faults/test_timescale_kill.py
SOAK_documents-and-keys := tests/unit/stores/redis tests/unit/stores/mongo tests/faults/test_redis_bad_days.py
SOAK_jobs := tests/unit/jobs tests/contracts/jobs tests/faults/test_jobs_killed.py
SOAK_backups := tests/unit/backups tests/contracts/backups tests/faults/test_backups_killed.py

.PHONY: help demo test check generate test-docker test-timescale bench soak constraints clean
.DEFAULT_GOAL := help

help:           ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## */\t/' | expand -t 16

demo: .venv/.made       ## the main job, end to end, on real prices and real servers
	@$(BIN)/storekeeper demo

test: .venv/.made       ## all tests, on servers that it starts itself
	@mkdir -p .tests
	$(BIN)/python tests/scratch.py -n $(WORKERS) --dist worksteal

check: .venv/.made      ## linters, types, import contracts, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/unasync.py --check
	$(BIN)/lint-imports --cache-dir .cache/import_linter
	$(BIN)/python tools/lint_revisions.py
	$(BIN)/mypy

generate: .venv/.made   ## writes the sync twins of the async sources
	$(BIN)/python tools/unasync.py

test-docker: .venv/.made        ## the contract suites on the official images (needs Docker)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docker]'
	STOREKEEPER_TEST_DOCKER=postgres $(BIN)/python -m pytest tests/contracts tests/migration
	STOREKEEPER_TEST_DOCKER=timescale $(BIN)/python -m pytest tests/contracts/timescale tests/migration

test-timescale: .venv/.made     ## the suite of both time-series engines; URL=a superuser's on a scratch TimescaleDB server
	@test -n "$(URL)" || { echo "say where: make test-timescale URL=postgresql://postgres@localhost:5433/postgres"; exit 2; }
	@mkdir -p .tests
	STOREKEEPER_TEST_TIMESCALE_URL=$(URL) $(BIN)/python tests/scratch.py -n $(WORKERS) --dist worksteal \
		tests/contracts/timescale tests/migration/test_series_engines.py

bench: .venv/.made      ## measures AREA (time-series, …) against what a user would use instead; DATA=FOLDER of real files
	@test -n "$(AREA)" || { echo "say which: make bench AREA=time-series"; exit 2; }
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks $(AREA) $(DATA)

soak: .venv/.made       ## the property and fault tests of AREA (time-series, jobs, …) in their long form
	@test -n "$(SOAK_$(AREA))" || { echo "say which: make soak AREA=time-series (or $(SOAK_AREAS))"; exit 2; }
	@mkdir -p .tests; seed=$$(date +%s); echo "seed $$seed"; \
	STOREKEEPER_TEST_PROFILE=soak $(BIN)/python tests/scratch.py -n $(WORKERS) -o timeout=7200 \
		--hypothesis-seed=$$seed $(SOAK_$(AREA))

constraints: .venv/.made        ## pins today's versions of everything in .venv
	$(BIN)/python -m pip freeze --exclude-editable > constraints.txt

clean:          ## removes all that was made below this folder
	rm -rf .venv .cache .tests .storekeeper-demo

.venv/.made: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.x"; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "HINT: on Debian, apt-get install python3-venv"; exit 1; }
	@echo "installing into .venv (about a minute the first time)"
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@
