# make demo | test | conformance | lint | wheel | messages | clean. Everything is installed into .venv
# with the exact pins of constraints.txt; nothing else on the machine is touched.
PYTHON ?= $(shell command -v python3.11 >/dev/null 2>&1 && python3.11 -c '' 2>/dev/null && echo python3.11 || echo python3)
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test conformance lint wheel clean install messages
.DELETE_ON_ERROR:

demo: $(READY)
	$(BIN)/hubkit publish distilbert-sst2 --demo

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# What takes too long for each change: other clients, their own tests, every fault point, crashes.
conformance: $(READY)
	$(BIN)/python -m pytest -m conformance --timeout 3600

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheel: $(READY)
	$(BIN)/python -m hatchling build -t wheel

# The messages of the card templates into the catalogue of every language; what is new there is empty.
messages: $(READY)
	@mkdir -p build
	$(BIN)/pybabel -q extract -F pyproject.toml --no-location --project hubkit --version card --copyright-holder "the hubkit project" --msgid-bugs-address hubkit -o build/card.pot templates
	$(BIN)/pybabel -q update -D card -i build/card.pot -d templates/locale --no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date -w 96

install: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))' \
	  || { echo "hubkit needs Python 3.10, 3.11 or 3.12: run make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv \
	  || { echo "no venv module: on Debian and Ubuntu, apt-get install python3-venv"; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf .venv dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
