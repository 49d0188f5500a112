# make help lists the targets. Everything runs in .venv, which the first target makes.
.DEFAULT_GOAL := help
BIN := .venv/bin
INSTALLED := .venv/.installed
PORT ?= 8000
SERVE ?= 1
# threads that spin for some microseconds, then sleep: sleeping at once makes small matrix products twice as slow on a
# quiet machine, and spinning for long twenty times as slow on a busy one
export GOMP_SPINCOUNT ?= 3000
say = @printf '== %s  %s\n' "$$(date +%H:%M:%S)"

.PHONY: help install book lab bench peers clean test lint unit strict pages matrix matrix-short

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1 \t/p' $(MAKEFILE_LIST) | expand -t 24

install: $(INSTALLED)  ## make .venv and install what requirements.lock pins
$(INSTALLED): requirements.txt requirements.lock pyproject.toml
	$(say) "install: the packages of requirements.lock into .venv (minutes, the first time)"
	@sh book/tools/make_venv.sh
	@$(BIN)/pip install -q -r requirements.txt -c requirements.lock && touch $@

book: $(INSTALLED)  ## build the book and serve it (SERVE=0 builds only, PORT=8000)
	$(say) "book: run the notebooks that changed, then build the pages"
	@exec $(BIN)/python book/tools/stage.py $(if $(filter-out 0,$(SERVE)),--serve $(PORT))

lab: $(INSTALLED)  ## open the chapters in JupyterLab (LAB=--no-browser and other options)
	$(say) "lab: JupyterLab on chapters/ (Ctrl-C twice ends it)"
	@$(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/chapters $(LAB)

test: lint unit matrix-short strict pages  ## run everything that CI runs
	$(say) "test: all passed"

lint: $(INSTALLED)  ## ruff, mypy and the notebook normaliser, without changing a file
	$(say) "lint: ruff, types, and notebooks without outputs"
	@$(BIN)/ruff check -q . && $(BIN)/ruff format -q --check . && $(BIN)/python book/tools/normalise.py --check
	@$(BIN)/mypy

unit: $(INSTALLED)  ## tests and doctests of levlib, with branch coverage
	$(say) "unit: tests and doctests, with branch coverage of levlib"
	@$(BIN)/python -m pytest -m "not book and not browser" --cov --cov-report=term

matrix-short: $(INSTALLED)  ## some numerical tests on the code paths of two older processors
	$(say) "matrix-short: numerical identities on the code paths of two older processors"
	@$(BIN)/python book/tools/matrix.py --short

matrix: $(INSTALLED)  ## the unit suite on older processors, 1 and 2 threads, oldest and newest versions
	$(say) "matrix: the unit suite in each of the ways of book/tools/matrix.py"
	@$(BIN)/python book/tools/matrix.py

strict: $(INSTALLED)  ## run stale notebooks with nbmake, then a cold build in which a warning is an error
	$(say) "strict: notebooks by nbmake, then a cold strict build"
	@$(BIN)/python book/tools/stage.py --strict

pages: $(INSTALLED)  ## tests of the built pages and of the explorers in Chromium
	$(say) "pages: tests of the executed notebooks, the built pages and the explorers"
	@LEVLIB_REQUIRE_BOOK=1 $(BIN)/python -m pytest -m "book or browser"

bench: $(INSTALLED)  ## run the benchmarks, on a machine that does nothing else
	$(say) "bench: levlib, then the explorers of the built book"
	@$(BIN)/python -m experiments.speed.library
	@$(BIN)/python -m experiments.speed.explorers

peers: .venv-peers/bin/python  ## make .venv-peers, the environment of the benchmark's peers
.venv-peers/bin/python: experiments/speed/peers.txt
	@python=$$(sh book/tools/find_python.sh) && $$python -m venv .venv-peers && .venv-peers/bin/pip install -q -r experiments/speed/peers.txt

clean:  ## remove what was built (not .venv)
	rm -rf _build .venv-oldest .venv-newest .pytest_cache .ruff_cache .hypothesis .coverage
