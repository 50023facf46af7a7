# `make demo` answers the 2012 question, `make test` runs every check, `make help` lists all targets.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help demo lint test docs coverage bench evidence wheel reproduce format constraints clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 13

demo: $(READY) ## answer the question of 2012; two to four minutes
	$(BIN)/mmusim run experiments/read-after-write-protect/experiment.toml

lint: $(READY) ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# With worksteal a worker keeps the tests of a module together, so that what they share is made once.
test: $(READY) ## lint and all tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m mmusim.engine.compiled & $(BIN)/mypy && wait $$!
	$(BIN)/pytest -n auto --dist worksteal

# A warning fails it. It needs no network.
docs: $(READY) ## build the site in docs/_build/html
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --quiet docs docs/_build/html

# The tracer makes tests of the SimPy engine two to three times as slow. Most tests run the same lines again with other
# policies, kernels or seeds. So each test runs with one set of its parameters: about 1,570 of 8,730. Left out are tests
# marked slow and the mutations, which run lines that other tests run, and the test of a full disk (untraced), to which
# the tracer would write. `make test` runs them all. If a test fails, the table comes all the same.
# Code that Numba compiles is not seen: coverage of engine/compiled is that of its Python parts.
coverage: $(READY) ## lines and branches that the tests reach: a table, coverage.md and htmlcov/
	$(BIN)/pytest mmusim/tests -n auto --dist worksteal -m "not slow and not untraced" --parameter-sets=1 --cov --cov-report= \
	  --ignore=mmusim/tests/theorems/test_mutations.py; status=$$?; \
	$(BIN)/coverage html --quiet; \
	$(BIN)/coverage report --format=markdown --skip-covered > coverage.md; \
	$(BIN)/coverage report --skip-covered --sort=cover; exit $$status

bench: $(READY) ## speed of both engines, appended to benchmarks/history.csv
	$(BIN)/mmusim bench --append benchmarks/history.csv

# From what machines and kernels have told before. A test compares the pages with each other and with the model.
COUNTERS := mmusim/tests/data/kernel_counters
RECORDED := mmusim/validation/recorded
SENTENCE := experiments/read-after-write-protect
evidence: $(READY) ## write docs/evidence/validation.md, published-times.md and their figures
	$(BIN)/mmusim evidence --to docs/evidence \
	  --host emerald-rapids-pvm --recorded $(RECORDED)/emerald-rapids-pvm.jsonl.gz \
	  --cases $(COUNTERS)/cases.jsonl --cases $(COUNTERS)/recorded.jsonl \
	  --cases $(COUNTERS)/holdout.jsonl --cases $(RECORDED)/conform.jsonl \
	  --cases $(COUNTERS)/linux-6.12.jsonl --cases $(COUNTERS)/linux-7.3.jsonl \
	  --arms $(SENTENCE)/live.toml --arms-recorded $(SENTENCE)/live.jsonl.gz

wheel: $(READY) ## build dist/mmusim-VERSION-py3-none-any.whl
	$(BIN)/python -m hatchling build -t wheel

# Every claim at full size, with its reports; counts and times against what kernels did. Goes on where it stopped.
reproduce: $(READY) ## every experiment at full size; takes hours
	$(BIN)/mmusim check experiments/ --out results --reports
	$(BIN)/mmusim index results
	$(BIN)/mmusim conform mmusim/tests/data/kernel_counters/cases.jsonl
	$(BIN)/mmusim validate --to results/published-times

format: $(READY) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Works without the venv and ensurepip modules that Debian packages apart: pip installs into the folder from outside.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv --without-pip .venv
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --require-hashes --requirement constraints.txt
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Re-resolve every version (needs uv); names, versions and hashes only, no addresses.
constraints: ## resolve the pinned versions again; needs uv
	uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links --output-file constraints.txt pyproject.toml

clean: ## remove what the targets made
	rm -rf docs/_build docs/reference/api .coverage coverage.md htmlcov dist .venv .mypy_cache .ruff_cache .hypothesis
