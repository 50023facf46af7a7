# `make demo` answers the 2012 question, `make test` runs every check, `make docs` builds the site, `make reproduce` runs
# every experiment at full size.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test docs reproduce format constraints clean

demo: $(READY)
	$(BIN)/mmusim run experiments/read-after-write-protect/experiment.toml

test: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m mmusim.engine.compiled & $(BIN)/mypy && wait $$!
	$(BIN)/pytest -n auto

# The site, in docs/_build/html. It needs no network; a warning fails it.
docs: $(READY)
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --quiet docs docs/_build/html

# Every claim at full size, with its reports; counts and times against what kernels did. Hours; goes on where it stopped.
reproduce: $(READY)
	$(BIN)/mmusim check experiments/ --out results --reports
	$(BIN)/mmusim index results
	$(BIN)/mmusim conform mmusim/tests/data/kernel_counters/cases.jsonl
	$(BIN)/mmusim validate --out results/published-times

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Works without the venv and ensurepip modules that Debian packages apart: pip installs into the folder from outside.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv --without-pip .venv
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --require-hashes --requirement constraints.txt
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Re-resolve every version (needs uv); names, versions and hashes only, no addresses.
constraints:
	uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links --output-file constraints.txt pyproject.toml

clean:
	rm -rf docs/_build docs/reference/api .venv .mypy_cache .ruff_cache .hypothesis
