# make demo: the main job on a simulated archive with known truth.   make test: the tests.   make check: lint, types, imports.
.PHONY: setup demo test check bench-kernels bench-cube format lock clean

BIN := .venv/bin
# uv where there is one, else one of our own in a local venv.
UV := $(shell command -v uv 2>/dev/null || echo .venv-uv/bin/uv)
# Kernels run one thread a task: dask supplies the parallelism.
export NUMBA_NUM_THREADS ?= 1
export OMP_NUM_THREADS ?= 1
export GDAL_NUM_THREADS ?= 1

setup: .venv/.done

.venv-uv/bin/uv:
	python3 -m venv .venv-uv
	.venv-uv/bin/pip install --quiet uv

.venv/.done: requirements/dev.txt pyproject.toml | $(filter .venv-uv/bin/uv,$(UV))
	$(UV) venv --quiet --allow-existing .venv
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

demo: setup
	$(BIN)/groundbreak demo

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/check_sizes.py

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

# Hashes for every platform; no registry is named.
lock: | $(filter .venv-uv/bin/uv,$(UV))
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.12 \
	  --custom-compile-command "make lock" --group dev pyproject.toml -o requirements/dev.txt
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.12 \
	  --custom-compile-command "make lock" pyproject.toml -c requirements/dev.txt -o requirements/run.txt
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.12 \
	  --custom-compile-command "make lock" pyproject.toml requirements/bench.in -c requirements/dev.txt \
	  --excludes requirements/bench-excludes.txt -o requirements/bench.txt
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.13 \
	  --custom-compile-command "make lock" requirements/bench-lazycogs.in -o requirements/bench-lazycogs.txt

clean:
	rm -rf .venv .venv-uv .venv-bench .venv-lazycogs demo
