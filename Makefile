# make demo: the main job on a simulated archive with known truth.   make test: the tests.
# make check: all that is checked without running the program.        make docs: the documentation, in site/.
.PHONY: setup demo test test-long test-nightly soak test-lowest check check-code check-docs docs floors format lock bench-kernels bench-cube bench-tile bench-overhead bench-plan clean

BIN := .venv/bin
# The interpreter of .venv: a version or a path.
PYTHON ?= $(shell cat .python-version)
# uv where there is one, else one of our own in a local venv.
UV := $(shell command -v uv 2>/dev/null || echo .venv-uv/bin/uv)
# Kernels run one thread a task: dask supplies the parallelism.
export NUMBA_NUM_THREADS ?= 1
export OMP_NUM_THREADS ?= 1
export GDAL_NUM_THREADS ?= 1

setup: .venv/.done-$(notdir $(PYTHON))

.venv-uv/bin/uv:
	python3 -m venv .venv-uv
	.venv-uv/bin/pip install --quiet uv

.venv/.done-$(notdir $(PYTHON)): requirements/dev.txt pyproject.toml | $(filter .venv-uv/bin/uv,$(UV))
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	rm -f .venv/.done*
	touch $@

demo: setup
	$(BIN)/groundbreak demo

# With the lines that the tests run. Numba compiles kernels to machine code, whose lines are not seen; their twins are.
test: setup
	COVERAGE_CORE=sysmon $(BIN)/python -m pytest -m "not long" -n 2 --dist loadfile --no-loadscope-reorder --cov \
	  --cov-report=term:skip-covered

# Clusters of every kind, runs that are killed, what tasks take in processes of their own, and the wheel: minutes more.
test-long: setup
	$(BIN)/python -m pytest -m long -n 2 --dist loadfile --no-loadscope-reorder

# Two thousand random archives with known pixels; make test has a hundred.
test-nightly: setup
	ARCHIVES=$(or $(ARCHIVES),2000) $(BIN)/python -m pytest -n 2 tests/e2e/test_archives.py

# Runs that are killed and stopped at random moments, and go on, and random histories of an output; make test has a few
# of both. SEED=1 takes other moments and histories.
soak: setup
	$(BIN)/python -m tests.soak --seed $(or $(SEED),0)
	MACHINE=$(or $(MACHINE),300) MACHINE_SEED=$(or $(SEED),0) $(BIN)/python -m pytest tests/e2e/test_machine.py

# The tests with the lowest versions that pyproject.toml allows. pyenv's 3.12 is found whatever .python-version says.
.venv-lowest/.done: requirements/lowest.txt pyproject.toml | $(filter .venv-uv/bin/uv,$(UV))
	PYENV_VERSION=3.12 $(UV) venv --quiet --allow-existing --python 3.12 .venv-lowest
	$(UV) pip sync --quiet --python .venv-lowest/bin/python --require-hashes requirements/lowest.txt
	$(UV) pip install --quiet --python .venv-lowest/bin/python --no-deps --editable .
	touch $@

test-lowest: .venv-lowest/.done
	.venv-lowest/bin/python -m pytest -n 2 --dist loadfile

check: check-code check-docs

check-code: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/check_modules.py
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/pre-commit validate-config

# A link that leads nowhere, a public name without its page, a picture of other floors, a change note of no known kind.
check-docs: setup
	$(BIN)/python docs/floors.py --check
	$(BIN)/towncrier build --draft --version next >/dev/null
	$(MAKE) docs

# Not --quiet: warnings that are not shown are not counted either. The variable silences an advertisement.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The picture of the floors, from the import contracts in pyproject.toml.
floors: setup
	$(BIN)/python docs/floors.py

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Ours and the peers on the same arrays, in an environment of their own: a table, a JSON file and a picture in
# benchmarks/results.
.venv-bench/.done: requirements/bench.txt | $(filter .venv-uv/bin/uv,$(UV))
	$(UV) venv --quiet --allow-existing .venv-bench
	$(UV) pip sync --quiet --python .venv-bench/bin/python --require-hashes requirements/bench.txt
	touch $@

bench-kernels: .venv-bench/.done
	.venv-bench/bin/python -m benchmarks.detectors

.venv-lazycogs/.done: requirements/bench-lazycogs.txt | $(filter .venv-uv/bin/uv,$(UV))
	$(UV) venv --quiet --allow-existing .venv-lazycogs
	$(UV) pip sync --quiet --python .venv-lazycogs/bin/python --require-hashes requirements/bench-lazycogs.txt
	touch $@

# lazycogs may not install everywhere; the table then goes without it, and says so.
bench-cube: .venv-bench/.done
	-$(MAKE) .venv-lazycogs/.done
	.venv-bench/bin/python -m benchmarks.cubes

# A whole tile of Sentinel-2, 60 dates, two workers: some hours. make bench-tile SIZE=2048 takes minutes.
bench-tile: setup
	$(BIN)/python -m benchmarks.tile --size $(or $(SIZE),10980) --dates $(or $(DATES),60)

# What a region costs the client, against a bare loop over futures: half an hour. REGIONS="1000 10000" takes minutes.
bench-overhead: setup
	$(BIN)/python -m benchmarks.overhead $(REGIONS)

# What a plan of many regions costs: four minutes.
bench-plan: setup
	$(BIN)/python -m benchmarks.overhead.planning

# Hashes for every platform; no registry is named.
lock: | $(filter .venv-uv/bin/uv,$(UV))
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.12 \
	  --custom-compile-command "make lock" --group dev pyproject.toml -o requirements/dev.txt
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.12 \
	  --custom-compile-command "make lock" --group test pyproject.toml --resolution lowest-direct --upgrade \
	  -o requirements/lowest.txt
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.12 --no-deps \
	  --custom-compile-command "make lock" requirements/namesakes.in -o requirements/namesakes.txt
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.12 \
	  --custom-compile-command "make lock" pyproject.toml -c requirements/dev.txt -o requirements/run.txt
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.12 \
	  --custom-compile-command "make lock" pyproject.toml requirements/bench.in -c requirements/dev.txt \
	  --excludes requirements/bench-excludes.txt -o requirements/bench.txt
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.13 \
	  --custom-compile-command "make lock" requirements/bench-lazycogs.in -o requirements/bench-lazycogs.txt

clean:
	rm -rf .venv .venv-lowest .venv-uv .venv-bench .venv-lazycogs demo site tile
